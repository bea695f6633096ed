#include "fleet/view/reach.h"

#include <inttypes.h>
#include <string.h>

#include "fleet/doc/rollout.h"

const char *const reach_words[REACH_ACT_COUNT_] = {[REACH_ACTS] = "acts",
                                                   [REACH_SAME] = "unchanged",
                                                   [REACH_HELD] = "held",
                                                   [REACH_OTHER] = "not concerned",
                                                   [REACH_REFUSES] = "refuses"};

static bool runs(const struct json_cur *apps, const struct json_cur *want)
{
    struct json_cur app, release;

    return doc_get(apps, doc_str(want, "name", ""), &app) && json_is_object(&app, NULL) == 0 &&
           doc_get(want, "release", &release) &&
           strcmp(doc_str(&app, "release", ""), doc_str(&release, "digest", "?")) == 0;
}

static void add_name(char why[160], const char *what, const char *name)
{
    size_t len = strlen(why);

    (void)str_fmt(why + len, 160 - len, "%s%s", len ? ", " : what, name);
}

/* Apps that the device runs by another release than the document wants, or not at all, or too many. */
static unsigned compare_apps(const struct view_device *d, const struct json_cur *next, char why[160])
{
    struct json_cur apps, list;
    unsigned n = 0;

    why[0] = '\0';
    if (!d->state.node || !doc_get(&d->state.root, "apps", &apps) || json_is_object(&apps, NULL) < 0 ||
        !doc_get(next, "apps", &list))
        return 1;
    for (unsigned i = 0; i < json_len(&list); i++) {
        struct json_cur want = json_at(&list, i);
        if (!runs(&apps, &want)) {
            add_name(why, "has another release or none of ", doc_str(&want, "name", "?"));
            n++;
        }
    }
    for (unsigned k = 0; k < json_len(&apps); k++) {
        struct json_cur app = json_member(&apps, k);
        bool wanted = false;
        for (unsigned i = 0; i < json_len(&list); i++) {
            struct json_cur want = json_at(&list, i);
            wanted = wanted || strcmp(doc_str(&want, "name", ""), app.key) == 0;
        }
        if (!wanted) {
            add_name(why, "runs beside it ", app.key);
            n++;
        }
    }
    return n;
}

static bool ended_badly(const struct json_cur *state)
{
    static const char *const bad[] = {"rolled-back", "failed", "rejected"};

    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (strcmp(doc_str(state, "phase", ""), bad[i]) == 0)
            return true;
    return false;
}

static void say_failed(const struct view_device *d, unsigned changes, char why[160])
{
    struct json_cur e;
    const char *msg =
        doc_get(&d->state.root, "err", &e) && json_is_object(&e, NULL) == 0 ? doc_str(&e, "msg", "") : "";

    (void)str_fmt(why, 160, "%s at rev %" PRIu64 "%s%.90s%s", doc_str(&d->state.root, "phase", "?"),
                  doc_u64(&d->state.root, "want"), *msg ? ": " : "", msg, changes ? "" : " (apply --retry)");
}

struct reach reach_of(const struct view *v, const struct view_device *d, const struct target *t,
                      const struct json_cur *next, uint64_t old_rev, unsigned changes)
{
    struct reach r = {.act = REACH_ACTS, .follows = view_follows(v, d, t)};
    unsigned slot = 0;

    if (!view_meant(v, d, t)) {
        r.act = REACH_OTHER;
        (void)str_fmt(r.why, sizeof(r.why), "%s%s",
                      r.follows && !*r.follows ? "has a document of its own" : "follows group ",
                      r.follows ? r.follows : "?");
    } else if (!rollout_open_at(next, d->id, &slot)) {
        r.act = REACH_HELD;
        (void)str_fmt(r.why, sizeof(r.why), "its slot is %u", slot);
    } else if (view_is_about(d, t) && ended_badly(&d->state.root) &&
               doc_u64(&d->state.root, "want") == old_rev) {
        r.act = changes ? REACH_ACTS : REACH_REFUSES;
        say_failed(d, changes, r.why);
    } else if (!d->state.node) {
        (void)str_fmt(r.why, sizeof(r.why), "has not reported yet");
    } else if (compare_apps(d, next, r.why) == 0 && !changes && view_is_about(d, t) &&
               doc_u64(&d->state.root, "rev") == old_rev) {
        r.act = REACH_SAME;
    }
    return r;
}
