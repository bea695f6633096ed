#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent/cli/cli.h"
#include "agent/manifest/manifest.h"
#include "ota/doc/envelope.h"
#include "platform/fs.h"

/* The lines of an answer as a JSON array. */
static void print_lines(char *text)
{
    struct cJSON *a = json_arr();

    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        json_push_str(a, line);
    char AUTO_MEM *json = json_print(a, false);
    (void)json_free(a);
    term_json(stdout, json);
}

static void print_text(const char *text)
{
    size_t len = strlen(text);

    term_lines(stdout, buf_of(text, len - (len && text[len - 1] == '\n')));
    term_print(stdout, "\n");
}

static void print_answer(const struct cli *c, char *text)
{
    if (c->json)
        print_lines(text);
    else
        print_text(text);
}

static int ask_with_file(const struct cli *c, const char *verb, const char *path)
{
    const char *const words[] = {verb, NULL};
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *packed = NULL;
    size_t len = 0;
    char AUTO_MEM *text = NULL;

    if (path && cli_read_envelope(path, &packed, &len, &err) < 0)
        return cli_fail(c, &err);
    if (cli_ask(c, words, buf_of(packed, len), &text, &err) < 0)
        return cli_fail(c, &err);
    print_answer(c, text);
    return CLI_OK;
}

static int payload_of(struct buf packed, struct json_cur *ret, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = envelope_unpack(packed, &e, err);

    return rc < 0 ? rc : json_parse(buf_of(e->payload, e->payload_len), &json_limits_signed, ret, err);
}

/* The accepted manifest, as saved on disk. */
static int saved_manifest(const struct cli *c, struct json_cur *ret, struct err *err)
{
    uint8_t AUTO_MEM *packed = NULL;
    size_t len;
    char path[300];

    (void)str_fmt(path, sizeof(path), "%s/state/desired", c->state_dir);
    int rc = fs_read(AT_FDCWD, path, 2 * LIM_ENVELOPE_BYTES, &packed, &len, err);
    return rc < 0 ? rc : payload_of(buf_of(packed, len), ret, err);
}

/* The plan is never saved: without the agent only its inputs are known. */
static int plan_without_agent(const struct cli *c, const struct err *why)
{
    struct json_cur root, apps, release;
    struct err err = ERR_INIT;
    int code = cli_fail(c, why);

    if (code != CLI_AGENT_DOWN || c->json || saved_manifest(c, &root, &err) < 0)
        return code;
    term_print(stdout, "when it starts, it decides again, for rev %" PRIu64 ":\n",
               cli_number(&root, "rev", 0));
    for (unsigned i = 0;
         json_get_array(&root, "apps", JSON_OPTIONAL, LIM_APPS, &apps, NULL) > 0 && i < json_len(&apps);
         i++) {
        struct json_cur app = json_at(&apps, i);
        bool has = json_get_object(&app, "release", JSON_OPTIONAL, &release, NULL) > 0;
        term_print(stdout, "  %s  %s@%" PRIu64 "\n", cli_text(&app, "name", "?"),
                   has ? cli_text(&release, "name", "?") : "?",
                   (has ? cli_number(&release, "counter", 0) : 0));
    }
    (void)json_free(root.node);
    return code;
}

int cli_plan(const struct cli *c)
{
    static const char *const words[] = {"plan", NULL};
    struct err err = ERR_INIT;
    char AUTO_MEM *text = NULL;

    if (c->argc)
        return ask_with_file(c, "plan", c->argv[0]);
    if (cli_ask(c, words, buf_of(NULL, 0), &text, &err) < 0)
        return plan_without_agent(c, &err);
    print_answer(c, text);
    return CLI_OK;
}

int cli_apply(const struct cli *c)
{
    if (c->argc != 1) {
        term_print(stderr, "usage: agentctl apply FILE|-\n");
        return CLI_USAGE;
    }
    return ask_with_file(c, "apply", c->argv[0]);
}

int cli_rollback(const struct cli *c)
{
    return ask_with_file(c, "rollback", NULL);
}

/* ---- diff: two manifests, field by field ---- */

struct diff {
    const struct cli *c;
    struct cJSON *list; /* -o json */
    unsigned n;
};

static void differs(struct diff *d, char kind, const char *path, const char *from, const char *to)
{
    static const char *const kinds[] = {['+'] = "add", ['-'] = "remove", ['~'] = "change"};

    d->n++;
    if (!d->c->json) {
        term_print(stdout, "%c %s%s%.60s%s%.60s\n", kind, path, from ? ": " : "", from ? from : "",
                   from && to ? " -> "
                   : to       ? ": "
                              : "",
                   to ? to : "");
        return;
    }
    struct cJSON *o = json_push(d->list, json_obj());
    json_put_str(o, "kind", kinds[(unsigned char)kind]);
    json_put_str(o, "path", path);
    if (from)
        json_put_str(o, "from", from);
    if (to)
        json_put_str(o, "to", to);
}

static void diff_value(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d);

static void diff_object(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d)
{
    char below[256];

    for (unsigned side = 0; side < 2; side++) {
        const struct json_cur *from = side ? b : a, *other = side ? a : b;
        for (unsigned i = 0; i < json_len(from); i++) {
            struct json_cur x = json_member(from, i), y;
            bool both = json_get(other, x.key, JSON_OPTIONAL, &y, NULL) > 0;
            (void)str_fmt(below, sizeof(below), "%s%s%s", path, path[0] ? "." : "", x.key);
            if (both && side == 0) {
                diff_value(&x, &y, below, d);
            } else if (!both) {
                char AUTO_MEM *text = json_print(x.node, false);
                differs(d, side ? '+' : '-', below, side ? NULL : text, side ? text : NULL);
            }
        }
    }
}

/* Apps are matched by name, not by position. */
static const char *label_of(const struct json_cur *e, unsigned i, char dst[80])
{
    const char *name = NULL;

    if (json_is_object(e, NULL) == 0 && json_get_str(e, "name", JSON_OPTIONAL, 63, &name, NULL) > 0)
        (void)str_fmt(dst, 80, "%s", name);
    else
        (void)str_fmt(dst, 80, "%u", i);
    return dst;
}

static bool find_label(const struct json_cur *list, const char *label, struct json_cur *ret)
{
    char other[80];

    for (unsigned i = 0; i < json_len(list); i++) {
        struct json_cur e = json_at(list, i);
        if (strcmp(label_of(&e, i, other), label) == 0) {
            *ret = e;
            return true;
        }
    }
    return false;
}

static void diff_array(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d)
{
    char label[80], below[256];

    for (unsigned side = 0; side < 2; side++) {
        const struct json_cur *from = side ? b : a, *other = side ? a : b;
        for (unsigned i = 0; i < json_len(from); i++) {
            struct json_cur x = json_at(from, i), y;
            bool both = find_label(other, label_of(&x, i, label), &y);
            (void)str_fmt(below, sizeof(below), "%s[%s]", path, label);
            if (both && side == 0) {
                diff_value(&x, &y, below, d);
            } else if (!both) {
                differs(d, side ? '+' : '-', below, NULL, NULL);
            }
        }
    }
}

static void diff_value(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d)
{
    char AUTO_MEM *x = json_print(a->node, false), AUTO_MEM *y = json_print(b->node, false);

    if (strcmp(x, y) == 0)
        return;
    if (x[0] == '{' && y[0] == '{')
        diff_object(a, b, path, d);
    else if (x[0] == '[' && y[0] == '[')
        diff_array(a, b, path, d);
    else
        differs(d, '~', path, x, y);
}

int cli_diff(const struct cli *c)
{
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *file = NULL;
    size_t file_len;
    struct json_cur a = {.node = NULL}, b = {.node = NULL};
    struct diff d = {.c = c, .list = c->json ? json_arr() : NULL};

    if (c->argc != 1) {
        term_print(stderr, "usage: agentctl diff FILE|-\n");
        return CLI_USAGE;
    }
    if (cli_read_envelope(c->argv[0], &file, &file_len, &err) < 0 || saved_manifest(c, &a, &err) < 0 ||
        payload_of(buf_of(file, file_len), &b, &err) < 0) {
        (void)json_free(a.node);
        return cli_fail(c, &err);
    }
    diff_value(&a, &b, "", &d);
    (void)json_free(a.node);
    (void)json_free(b.node);
    if (c->json) {
        char AUTO_MEM *json = json_print(d.list, false);
        (void)json_free(d.list);
        term_json(stdout, json);
    } else if (!d.n) {
        term_print(stdout, "no difference\n");
    }
    return d.n ? CLI_FAILED : CLI_OK;
}
