#include <inttypes.h>

#include "agent/cli/cli.h"
#include "platform/clock.h"
#include "platform/limits.h"

#define NONE UINT64_MAX

const char *cli_text(const struct json_cur *o, const char *key, const char *otherwise)
{
    const char *s = otherwise;

    err_ignore(json_get_str(o, key, JSON_OPTIONAL, 4096, &s, NULL));
    return s;
}

uint64_t cli_number(const struct json_cur *o, const char *key, uint64_t otherwise)
{
    uint64_t v = otherwise;

    err_ignore(json_get_u64(o, key, JSON_OPTIONAL, 0, LIM_INTEGER, &v, NULL));
    return v;
}

char *cli_size(uint64_t bytes, char dst[16])
{
    static const char units[] = {'B', 'K', 'M', 'G', 'T'};
    unsigned u = 0;
    uint64_t tenths = bytes * 10;

    if (bytes == NONE)
        (void)snprintf(dst, 16, "-");
    else if (bytes < 1024)
        (void)snprintf(dst, 16, "%uB", (unsigned)bytes);
    else {
        while (tenths >= 10240 && u < sizeof(units) - 1) {
            tenths /= 1024;
            u++;
        }
        if (tenths < 1000)
            (void)snprintf(dst, 16, "%u.%u%c", (unsigned)(tenths / 10), (unsigned)(tenths % 10), units[u]);
        else
            (void)snprintf(dst, 16, "%u%c", (unsigned)(tenths / 10), units[u]);
    }
    return dst;
}

/* "#####....": part of whole, as a bar. */
static char *bar(uint64_t part, uint64_t whole, char dst[8])
{
    unsigned n = part == NONE || whole == NONE || whole == 0 ? 0 : (unsigned)((part * 7 + whole - 1) / whole);

    for (unsigned i = 0; i < 7; i++)
        dst[i] = part == NONE || whole == NONE ? ' ' : i < n ? '#' : '.';
    dst[7] = '\0';
    return dst;
}

static const char *paint(const struct cli *c, bool good)
{
    return term_color(good ? TERM_GOOD : TERM_BAD, c->color);
}
static const char *plain(const struct cli *c)
{
    return term_color(TERM_PLAIN, c->color);
}

void cli_wrap(const char *head, const char *text)
{
    char part[CLI_COLUMNS + 1];
    size_t room = strlen(head) < CLI_COLUMNS - 20 ? CLI_COLUMNS - strlen(head) : 20;

    term_print(stdout, "%s", head);
    while (isatty(STDOUT_FILENO) && strlen(text) > room) {
        size_t cut = room;
        while (cut > 0 && text[cut] != ' ')
            cut--;
        cut = cut ? cut : room;
        (void)str_fmt(part, sizeof(part), "%.*s", (int)cut, text);
        term_print(stdout, "%s\n    ", part);
        text += cut + (text[cut] == ' ');
        room = CLI_COLUMNS - 4;
    }
    term_print(stdout, "%s\n", text);
}

static void print_head(const struct cli *c, const struct json_cur *r)
{
    char up[24], mem[16], mem_free[16], disk[16], disk_free[16];
    struct json_cur host, err;
    const char *phase = cli_text(r, "phase", "?"), *id = cli_text(r, "id", NULL),
               *link = cli_text(r, "link", "?");
    uint64_t rev = cli_number(r, "rev", 0), want = cli_number(r, "want", rev);

    term_print(stdout, "%.40s  %s%s%s rev %" PRIu64, cli_text(r, "device", "?"),
               paint(c, strcmp(phase, "converged") == 0), phase, plain(c), rev);
    if (want != rev)
        term_print(stdout, " (asked for %" PRIu64 ")", want);
    if (id)
        term_print(stdout, " (%.20s)", id);
    term_print(stdout, "  up %s  agent %s  %s\n",
               clock_age(cli_number(r, "uptime_s", 0) * 1000, up, sizeof(up)), cli_text(r, "agent", "?"),
               strcmp(link, "online") == 0 ? "online" : "offline");
    if (json_get_object(r, "host", JSON_OPTIONAL, &host, NULL) > 0)
        term_print(stdout, "mem %s free/%s  disk %s free/%s  cgroup %s  boot %" PRIu64 "\n",
                   cli_size(cli_number(&host, "mem_free", NONE), mem_free),
                   cli_size(cli_number(&host, "mem", NONE), mem),
                   cli_size(cli_number(&host, "disk_free", NONE), disk_free),
                   cli_size(cli_number(&host, "disk", NONE), disk), cli_text(&host, "cgroup", "?"),
                   cli_number(r, "boot", 0));
    if (strcmp(link, "online") != 0)
        term_print(stdout, "link: %.72s\n", link);
    struct json_cur scrub;
    if (json_get_object(r, "scrub", JSON_OPTIONAL, &scrub, NULL) > 0 && cli_number(&scrub, "bad", 0) > 0) {
        char what[64];
        (void)str_fmt(what, sizeof(what), "! store: %" PRIu64 " damaged, repaired or in progress:  ",
                      cli_number(&scrub, "bad", 0));
        cli_wrap(what, cli_text(&scrub, "last", ""));
    }
    if (json_get_object(r, "err", JSON_OPTIONAL, &err, NULL) > 0) {
        char what[40], text[ERR_MSG_BYTES + 160], in[24];
        uint64_t next = cli_number(&err, "next", 0), now = clock_wall_s();
        (void)str_fmt(what, sizeof(what), "! %.30s: ", cli_text(&err, "kind", "?"));
        (void)str_fmt(text, sizeof(text), "%s%s%s", cli_text(&err, "msg", ""), next ? "; next try in " : "",
                      next ? clock_age(next > now ? (next - now) * 1000 : 0, in, sizeof(in)) : "");
        cli_wrap(what, text);
    }
}

/* It was meant to end, and succeeded: a one-shot. */
static bool ended_well(const struct json_cur *app)
{
    struct json_cur last;

    return strcmp(cli_text(app, "state", ""), "stopped") == 0 &&
           json_get_object(app, "last_exit", JSON_OPTIONAL, &last, NULL) > 0 &&
           strcmp(cli_text(&last, "reason", ""), "exit") == 0 && cli_number(&last, "code", 1) == 0;
}

static bool is_good(const struct json_cur *app)
{
    return ended_well(app) || (strcmp(cli_text(app, "state", "?"), "running") == 0 &&
                               strcmp(cli_text(app, "health", ""), "bad") != 0);
}

static bool print_app(const struct cli *c, const struct json_cur *a)
{
    char mem[16], limit[16], both[40], fill[8], age[24] = "-", what[40];
    const char *state = cli_text(a, "state", "?"), *health = cli_text(a, "health", "none");
    uint64_t used = cli_number(a, "mem", NONE), max = cli_number(a, "limit", NONE),
             since = cli_number(a, "since", 0);
    uint64_t restarts = cli_number(a, "restarts", 0), oom = cli_number(a, "oom", 0);

    if (since)
        (void)clock_age((clock_wall_s() - since) * 1000, age, sizeof(age));
    (void)str_fmt(both, sizeof(both), "%s/%s", cli_size(used, mem), cli_size(max, limit));
    bool good = is_good(a);
    (void)str_fmt(what, sizeof(what), "%s", strcmp(health, "none") == 0 ? "-" : health);
    term_print(stdout, "%-14.14s %-9.9s %s%-9.9s%s %12s %s %3" PRIu64 " %3" PRIu64 " %-7s %s\n", a->key,
               cli_text(a, "version", "-"), paint(c, good), state, plain(c), both, bar(used, max, fill),
               restarts, oom, age, what);
    return good;
}

/* What the operator should look at: one line each, only if there is something. */
static void print_notes(const struct json_cur *a)
{
    static const char *const fields[] = {"memory", "swap",    "cpu",     "pids",
                                         "userns", "seccomp", "network", "devices"};
    struct json_cur e, f, last;
    const char *why = cli_text(a, "health_why", "");
    char peak[16], when[24];

    if (why[0])
        term_print(stdout, "  ! %.14s: health: %.50s\n", a->key, why);
    if (!ended_well(a) && json_get_object(a, "last_exit", JSON_OPTIONAL, &last, NULL) > 0 &&
        strcmp(cli_text(&last, "reason", ""), "stopped") != 0) {
        term_print(stdout, "  ! %.14s: last exit %" PRIu64 " (%s) at %s", a->key,
                   cli_number(&last, "code", 0), cli_text(&last, "reason", "?"),
                   clock_rfc3339(cli_number(&last, "at", 0), when, sizeof(when)));
        if (strcmp(cli_text(&last, "reason", ""), "oom") == 0)
            term_print(stdout, ", peak %s", cli_size(cli_number(a, "peak", NONE), peak));
        term_print(stdout, "\n");
    }
    if (json_get_object(a, "enforce", JSON_OPTIONAL, &e, NULL) <= 0)
        return;
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        if (json_get_object(&e, fields[i], JSON_OPTIONAL, &f, NULL) > 0 &&
            strcmp(cli_text(&f, "state", ""), "enforced") != 0)
            term_print(stdout, "  ! %.14s: %s %s: %.45s\n", a->key, fields[i], cli_text(&f, "state", "?"),
                       cli_text(&f, "why", ""));
}

static int print_json(struct json_cur *r)
{
    char AUTO_MEM *text = json_print(r->node, false);

    term_json(stdout, text);
    return CLI_OK;
}

static int print_apps(const struct cli *c, const struct json_cur *r, bool *ret_good)
{
    struct json_cur apps;
    const char *first = NULL;

    if (json_get_object(r, "apps", JSON_OPTIONAL, &apps, NULL) <= 0 || json_len(&apps) == 0) {
        term_print(stdout, "no apps\n");
        return 0;
    }
    term_print(stdout, "%-14s %-9s %-9s %12s %-7s %3s %3s %-7s %s\n", "NAME", "VER", "STATE", "MEM/LIMIT", "",
               "RS", "OOM", "AGE", "HEALTH");
    for (unsigned i = 0; i < json_len(&apps); i++) {
        struct json_cur a = json_member(&apps, i);
        bool good = print_app(c, &a);
        *ret_good = *ret_good && good;
        first = first ? first : a.key;
    }
    for (unsigned i = 0; i < json_len(&apps); i++) {
        struct json_cur a = json_member(&apps, i);
        print_notes(&a);
    }
    if (first)
        term_print(stdout, "next: agentctl logs %.14s | why %.14s | history | plan\n", first, first);
    return 0;
}

int cli_status(const struct cli *c)
{
    struct err err = ERR_INIT;
    struct json_cur r;
    bool saved, good = true;
    char when[24];

    if (cli_report(c, &r, &saved, &err) < 0)
        return cli_fail(c, &err);
    if (saved && !c->json)
        term_print(stdout, "%.60s; this is what it reported at %s\n",
                   err.kind == ERR_OFFLINE ? "the agent is not running" : err.msg,
                   clock_rfc3339(cli_number(&r, "ts", 0), when, sizeof(when)));
    if (c->json) {
        (void)print_json(&r);
    } else {
        print_head(c, &r);
        (void)print_apps(c, &r, &good);
    }
    good = good && strcmp(cli_text(&r, "phase", ""), "converged") == 0;
    (void)json_free(r.node);
    return saved ? CLI_AGENT_DOWN : good ? CLI_OK : CLI_NOT_CONVERGED;
}

int cli_ps(const struct cli *c)
{
    struct err err = ERR_INIT;
    struct json_cur r, apps;
    bool saved;

    if (cli_report(c, &r, &saved, &err) < 0)
        return cli_fail(c, &err);
    if (json_get_object(&r, "apps", JSON_OPTIONAL, &apps, NULL) > 0 && c->json) {
        (void)print_json(&apps);
    } else if (apps.node) {
        term_print(stdout, "%-14s %8s %-9s %-12s %4s %4s %8s %s\n", "NAME", "PID", "STATE", "VERSION", "PIDS",
                   "OOM", "CPU", "ADDRESS");
        for (unsigned i = 0; i < json_len(&apps); i++) {
            struct json_cur a = json_member(&apps, i);
            char cpu[24] = "-", pid[24] = "-", pids[24] = "-";
            if (cli_number(&a, "pid", 0)) {
                (void)str_fmt(pid, sizeof(pid), "%" PRIu64, cli_number(&a, "pid", 0));
                (void)str_fmt(pids, sizeof(pids), "%" PRIu64, cli_number(&a, "pids", 0));
                (void)str_fmt(cpu, sizeof(cpu), "%" PRIu64 "ms", cli_number(&a, "cpu_ms", 0));
            }
            term_print(stdout, "%-14.14s %8s %-9.9s %-12.12s %4s %4" PRIu64 " %8s %s\n", a.key, pid,
                       cli_text(&a, "state", "?"), cli_text(&a, "version", "-"), pids,
                       cli_number(&a, "oom", 0), cpu, cli_text(&a, "ip", "-"));
        }
    }
    (void)json_free(r.node);
    return saved ? CLI_AGENT_DOWN : CLI_OK;
}
