#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "agent/cli/cli.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "runtime/box/logring.h"

static void print_line(const struct cli *c, const struct logring_line *l)
{
    char when[24];

    if (l->lost)
        term_print(stdout, "-- %" PRIu64 " lines lost --\n", l->lost);
    if (c->json) {
        struct cJSON *o = json_obj();
        char text[LIM_LOG_LINE_BYTES + 1], stream[2] = {l->stream, '\0'};
        (void)str_fmt(text, sizeof(text), "%.*s", (int)l->len, l->text);
        json_put_u64(o, "ts_ms", l->wall_ms);
        json_put_str(o, "stream", stream);
        json_put_str(o, "text", text);
        char AUTO_MEM *line = json_print(o, false);
        (void)json_free(o);
        term_json(stdout, line);
        return;
    }
    term_print(stdout, "%s%s ", clock_rfc3339(l->wall_ms / 1000, when, sizeof(when)) + 5,
               l->stream == 'e' ? " !" : "");
    term_lines(stdout, buf_of(l->text, l->len));
    term_print(stdout, "\n");
}

int cli_open_ring(const struct cli *c, const char *name, struct logring **ret, struct err *err)
{
    AUTO_FD int dir = -1;
    char path[300];

    (void)str_fmt(path, sizeof(path), "%s%s", c->run_dir, strcmp(name, "events") == 0 ? "" : "/app");
    int rc = fs_open_dir(AT_FDCWD, path, false, 0, &dir, err);
    return rc < 0 ? rc : logring_open_read(dir, name, ret, err);
}

/* Read directly from the ring: works without the daemon, and costs core nothing. */
int cli_logs(const struct cli *c)
{
    char name[LIM_NAME_BYTES + 8];
    struct err err = ERR_INIT;

    AUTO_FREE(logring) struct logring *ring = NULL;
    struct logring_line line;
    const struct timespec pause = {0, 200000000};
    if (c->argc != 1 || !str_is_name(c->argv[0]) || !str_fmt(name, sizeof(name), "%s.log", c->argv[0])) {
        term_print(stderr, "usage: agentctl logs [-f] [-n LINES] APP\n");
        return CLI_USAGE;
    }
    if (cli_open_ring(c, name, &ring, &err) < 0) {
        if (err.kind == ERR_NOTFOUND)
            (void)err_set(&err, ERR_NOTFOUND,
                          "no app \"%s\" has run since this machine started: agentctl status", c->argv[0]);
        return cli_fail(c, &err);
    }
    uint64_t left = c->follow ? UINT64_MAX : c->lines; /* without -f, lines that arrive while we print are
                                                        * left out */
    for (uint64_t seq = logring_tail(ring, (uint32_t)c->lines);;) {
        while (left && logring_next(ring, &seq, &line) == 1) {
            print_line(c, &line);
            left--;
        }
        if (!c->follow || fflush(stdout) != 0)
            return CLI_OK;
        (void)nanosleep(&pause, NULL);
    }
}

int cli_events(const struct cli *c)
{
    struct err err = ERR_INIT;

    AUTO_FREE(logring) struct logring *ring = NULL;
    struct logring_line line;
    const struct timespec pause = {0, 200000000};
    if (cli_open_ring(c, "events", &ring, &err) < 0)
        return cli_fail(c, &err);
    for (uint64_t seq = logring_tail(ring, (uint32_t)c->lines);;) {
        while (logring_next(ring, &seq, &line) == 1) {
            struct json_cur e;
            const char *kind = "?", *app = "", *msg = "";
            char when[24], head[LIM_LOG_LINE_BYTES + 1];
            if (c->json) {
                (void)str_fmt(head, sizeof(head), "%.*s", (int)line.len, line.text);
                term_json(stdout, head);
            } else if (json_parse(buf_of(line.text, line.len), &json_limits_signed, &e, NULL) == 0) {
                err_ignore(json_get_str(&e, "kind", JSON_OPTIONAL, 64, &kind, NULL));
                err_ignore(json_get_str(&e, "app", JSON_OPTIONAL, 64, &app, NULL));
                err_ignore(json_get_str(&e, "msg", JSON_OPTIONAL, 4096, &msg, NULL));
                (void)str_fmt(head, sizeof(head), "%s %-13s %.63s%s",
                              clock_rfc3339(line.wall_ms / 1000, when, sizeof(when)), kind, app,
                              app[0] ? ": " : "");
                cli_wrap(head, msg);
                (void)json_free(e.node);
            }
        }
        if (!c->follow || fflush(stdout) != 0)
            return CLI_OK;
        (void)nanosleep(&pause, NULL);
    }
}
