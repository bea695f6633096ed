/* cli_past.c - history and why: from what is on disk, so that both work when the agent is not running. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/cli/cli.h"
#include "platform/clock.h"
#include "runtime/box/logring.h"

#define EVENTS_ASKED 500

/* The ledger: live, or as core last saved it. */
static int read_ledger(const struct cli *c, struct json_cur *ret, struct err *err)
{
    char path[300];
    bool saved;

    (void)str_fmt(path, sizeof(path), "%s/state/ledger", c->state_dir);
    return cli_ask_or_read(c, "history", path, &json_limits_signed, ret, &saved, err);
}

int cli_history(const struct cli *c)
{
    struct err err = ERR_INIT;
    struct json_cur root = {.node = NULL}, list;
    char when[24];

    if (read_ledger(c, &root, &err) < 0)
        return cli_fail(c, &err);
    if (c->json) {
        char AUTO_MEM *text = json_print(root.node, false);
        term_json(stdout, text);
    } else if (json_get_array(&root, "history", JSON_REQUIRED, LIM_HISTORY, &list, &err) > 0) {
        term_print(stdout, "%-20s %6s %-12s %s\n", "AT", "REV", "VERDICT", "WHY");
        for (unsigned i = 0; i < json_len(&list); i++) {
            struct json_cur h = json_at(&list, i);
            char head[80];
            (void)str_fmt(head, sizeof(head), "%-20s %6" PRIu64 " %-12s ",
                          clock_rfc3339(cli_number(&h, "at", 0), when, sizeof(when)),
                          cli_number(&h, "rev", 0), cli_text(&h, "verdict", "?"));
            cli_wrap(head, cli_text(&h, "why", ""));
        }
    }
    (void)json_free(root.node);
    return CLI_OK;
}

/* Is this line of a plan about the app? Its name as a whole word: "web" is not in "start web2: ...". */
static bool is_about(const char *line, const char *app)
{
    static const char in_names[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(app);

    for (const char *at = strstr(line, app); at; at = strstr(at + 1, app))
        if ((at == line || !strchr(in_names, at[-1])) && (!at[len] || !strchr(in_names, at[len])))
            return true;
    return false;
}

static bool print_event(const struct cli *c, const struct logring_line *line)
{
    struct json_cur e;
    char when[24], head[80], raw[LIM_LOG_LINE_BYTES + 1];

    if (json_parse(buf_of(line->text, line->len), &json_limits_signed, &e, NULL) < 0)
        return false;
    const char *app = cli_text(&e, "app", NULL), *kind = cli_text(&e, "kind", "?");
    bool of_app = app && strcmp(app, c->argv[0]) == 0, of_all = !app && strcmp(kind, "agent-restart") != 0;
    (void)str_fmt(raw, sizeof(raw), "%.*s", (int)line->len, line->text);
    (void)str_fmt(head, sizeof(head), "%s %-12.20s ",
                  clock_rfc3339(cli_number(&e, "ts", 0), when, sizeof(when)), kind);
    if ((of_app || of_all) && c->json)
        term_json(stdout, raw);
    else if (of_app || of_all)
        cli_wrap(head, cli_text(&e, "msg", ""));
    (void)json_free(e.node);
    return of_app;
}

/* Is this app in the report? */
static bool is_reported(const struct cli *c)
{
    struct json_cur r, apps, app;
    struct err err = ERR_INIT;
    bool saved, known;

    if (cli_report(c, &r, &saved, &err) < 0)
        return false;
    known = json_get_object(&r, "apps", JSON_OPTIONAL, &apps, NULL) > 0 &&
            json_get(&apps, c->argv[0], JSON_OPTIONAL, &app, NULL) > 0;
    (void)json_free(r.node);
    return known;
}

static bool was_noted(const struct cli *c, struct logring *ring)
{
    struct logring_line line;
    bool noted = false;

    for (uint64_t seq = 0; !noted && logring_next(ring, &seq, &line) == 1;) {
        struct json_cur e;
        if (json_parse(buf_of(line.text, line.len), &json_limits_signed, &e, NULL) < 0)
            continue;
        noted = strcmp(cli_text(&e, "app", ""), c->argv[0]) == 0;
        (void)json_free(e.node);
    }
    return noted;
}

/* All that is known about why this app is in its state: its events, and what the plan says of it now. */
int cli_why(const struct cli *c)
{
    static const char *const ask_plan[] = {"plan", NULL};
    struct err err = ERR_INIT;

    AUTO_FREE(logring) struct logring *ring = NULL;
    struct logring_line line;
    char AUTO_MEM *plan = NULL;
    unsigned found = 0;
    if (c->argc != 1) {
        term_print(stderr, "usage: agentctl why APP\n");
        return CLI_USAGE;
    }
    if (cli_open_ring(c, "events", &ring, &err) < 0)
        return cli_fail(c, &err);
    if (!is_reported(c) && !was_noted(c, ring)) {
        (void)err_set(&err, ERR_INVALID, "nothing is known of an app \"%s\": agentctl status", c->argv[0]);
        return cli_fail(c, &err);
    }
    for (uint64_t seq = logring_tail(ring, EVENTS_ASKED); logring_next(ring, &seq, &line) == 1;)
        found += print_event(c, &line);
    if (!found && !c->json)
        term_print(stdout, "nothing has been noted about %s\n", c->argv[0]);
    if (cli_ask(c, ask_plan, buf_of(NULL, 0), &plan, &err) < 0) {
        term_print(stderr, "agentctl: no plan: %s\n", err.msg);
        return err.kind == ERR_OFFLINE ? CLI_AGENT_DOWN : CLI_FAILED;
    }
    for (char *save = NULL, *step = strtok_r(plan, "\n", &save); step; step = strtok_r(NULL, "\n", &save))
        if (!c->json && is_about(step, c->argv[0]))
            term_print(stdout, "now: %s\n", step);
    return CLI_OK;
}
