#include "fleet/doc/diff.h"

#include <stdlib.h>
#include <string.h>

#include "fleet/base/doc.h"

#define PATH_BYTES 200

const char diff_signs[DIFF_OP_COUNT_ + 1] = "=+~-";

static char *text_of(const struct json_cur *c)
{
    return c ? json_print(c->node, false) : NULL;
}

/* Objects go deeper, all else is compared as text. Returns the number of differences. */
static unsigned diff_values(const char *path, const struct json_cur *was, const struct json_cur *will,
                            const struct diff_calls *calls);

static unsigned diff_members(const char *path, const struct json_cur *was, const struct json_cur *will,
                             const struct diff_calls *calls)
{
    char inner[PATH_BYTES];
    unsigned n = 0;
    struct json_cur other;

    for (unsigned i = 0; will && i < json_len(will); i++) {
        struct json_cur m = json_member(will, i);
        (void)str_fmt(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", m.key);
        n += diff_values(inner, was && doc_get(was, m.key, &other) ? &other : NULL, &m, calls);
    }
    for (unsigned i = 0; was && i < json_len(was); i++) {
        struct json_cur m = json_member(was, i);
        (void)str_fmt(inner, sizeof(inner), "%s%s%s", path, *path ? "." : "", m.key);
        if (!will || !doc_get(will, m.key, &other))
            n += diff_values(inner, &m, NULL, calls);
    }
    return n;
}

static unsigned diff_values(const char *path, const struct json_cur *was, const struct json_cur *will,
                            const struct diff_calls *calls)
{
    char AUTO_MEM *a = NULL;
    char AUTO_MEM *b = NULL;
    const struct json_cur *one = will ? will : was;

    if (json_is_object(one, NULL) == 0 && (!was || !will || json_is_object(was, NULL) == 0))
        return diff_members(path, was, will, calls);
    a = text_of(was);
    b = text_of(will);
    if (a && b && strcmp(a, b) == 0)
        return 0;
    if (calls->field)
        calls->field(calls->arg, path, a, b);
    return 1;
}

static bool find_app(const struct json_cur *doc, const char *name, struct json_cur *ret)
{
    struct json_cur apps;

    if (!doc || !doc_get(doc, "apps", &apps))
        return false;
    for (unsigned i = 0; i < json_len(&apps); i++) {
        struct json_cur app = json_at(&apps, i);
        if (strcmp(doc_str(&app, "name", ""), name) == 0) {
            *ret = app;
            ret->up = NULL; /* apps goes out of scope */
            return true;
        }
    }
    return false;
}

static void diff_app(const struct json_cur *was, const struct json_cur *will, const struct diff_calls *calls)
{
    const struct diff_calls count = {.field = NULL};
    const char *name = doc_str(will ? will : was, "name", "?");
    enum diff_op op;

    if (!was || !will)
        op = was ? DIFF_REMOVE : DIFF_ADD;
    else
        op = diff_members("", was, will, &count) ? DIFF_CHANGE : DIFF_SAME;
    calls->app(calls->arg, op, name, was, will);
    if (op == DIFF_CHANGE)
        (void)diff_members("", was, will, calls);
}

void diff_docs(const struct json_cur *old, const struct json_cur *next, const struct diff_calls *calls)
{
    struct json_cur apps, other;

    if (doc_get(next, "apps", &apps))
        for (unsigned i = 0; i < json_len(&apps); i++) {
            struct json_cur app = json_at(&apps, i);
            diff_app(find_app(old, doc_str(&app, "name", ""), &other) ? &other : NULL, &app, calls);
        }
    if (old && doc_get(old, "apps", &apps))
        for (unsigned i = 0; i < json_len(&apps); i++) {
            struct json_cur app = json_at(&apps, i);
            if (!find_app(next, doc_str(&app, "name", ""), &other))
                diff_app(&app, NULL, calls);
        }
}

void diff_rest(const struct json_cur *old, const struct json_cur *next, const struct diff_calls *calls)
{
    static const char *const parts[] = {"update", "os", "agent", "rollout"};
    struct json_cur a, b;

    for (unsigned i = 0; i < COUNT_OF(parts); i++) {
        bool was = old && doc_get(old, parts[i], &a), will = doc_get(next, parts[i], &b);
        if (was || will)
            (void)diff_values(parts[i], was ? &a : NULL, will ? &b : NULL, calls);
    }
}
