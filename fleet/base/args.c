#include "fleet/base/args.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "platform/mem.h"
#include "platform/term.h"

struct opt_def {
    const char *name;
    char letter;
    const char *value; /* what help calls it; NULL: a switch */
    const char *help;
};
static const struct opt_def opt_defs[OPT_COUNT_] = {
    [OPT_DIR] = {"dir", 'C', "DIR", "the fleet's directory (FLEETCTL_DIR, ~/.config/fleetctl)"},
    [OPT_HELP] = {"help", 'h', NULL, "this text"},
    [OPT_OUT] = {"out", 'o', "FILE", "where to write it; - is stdout"},
    [OPT_OUTPUT] = {"output", 'o', "FORMAT", "table, wide, json or name"},
    [OPT_NO_COLOR] = {"no-color", 0, NULL, "no colours (so does NO_COLOR)"},
    [OPT_FILE] = {"file", 'f', "FILE", "manifest: JSON, // comments allowed; - is stdin"},
    [OPT_FOLLOW] = {"follow", 'f', NULL, "follow until interrupted"},
    [OPT_DEVICE] = {"device", 'd', "ID", "device"},
    [OPT_GROUP] = {"group", 'g', "NAME", "group"},
    [OPT_WAIT] = {"wait", 0, NULL, "until converged, rejected or rolled back"},
    [OPT_TIMEOUT] = {"timeout", 0, "TIME", "stop waiting after 90s, 5m, 2h ... (5m)"},
    [OPT_DRY_RUN] = {"dry-run", 0, NULL, "print what would be signed, publish nothing"},
    [OPT_EXIT_CODE] = {"exit-code", 0, NULL, "end with 2 when there is something to change"},
    [OPT_FLEET] = {"fleet", 0, "NAME", "the fleet's name"},
    [OPT_BROKER] = {"broker", 0, "HOST:PORT", "MQTT broker with TLS (localhost:8883)"},
    [OPT_HOST] = {"host", 0, "NAME", "one more name or address of the broker, may be repeated"},
    [OPT_NAME] = {"name", 0, "NAME", "the release's name (last part of the repository)"},
    [OPT_VERSION] = {"version", 0, "TEXT", "version for people (the tag)"},
    [OPT_COUNTER] = {"counter", 0, "N", "version counter (last one + 1)"},
    [OPT_SOURCE] = {"source", 0, "URL", "where devices find the repository, if not at REF"},
    [OPT_STATE_DIR] = {"state-dir", 0, "DIR", "state_dir in agentd.json (/var/lib/limpet)"},
    [OPT_RUN_DIR] = {"run-dir", 0, "DIR", "run_dir in agentd.json (/run/limpet)"},
    [OPT_LINES] = {"lines", 'n', "N", "this many of the last ones"},
    [OPT_FOR] = {"for", 0, "phase=WORD", "what to wait for (phase=converged)"},
    [OPT_EXPECT_REV] = {"expect-rev", 0, "N", "only if the last revision is N"},
    [OPT_SETTLE] = {"settle", 0, "TIME", "watch for another operator that long (0.3s)"},
    [OPT_EXPIRES] = {"expires", 0, "TIME", "valid that long from now (365d)"},
    [OPT_BY] = {"by", 0, "NAME", "who, for people (the user's name)"},
    [OPT_CA] = {"ca", 0, "FILE", "certificates that the registry is checked with"},
    [OPT_AUTH] = {"auth", 0, "FILE", "file with user:password for the registry"},
    [OPT_KEEP] = {"keep", 0, NULL, "the old key stays valid beside the new one"},
    [OPT_OFFLINE] = {"offline", 0, NULL, "do not publish it on the broker"},
    [OPT_FROM] = {"from", 0, "REF", "an older image or its tag: make patch packs from it, may be repeated"},
    [OPT_TO] = {"to", 0, "REF", "copy the image there first: a registry, or dir:/DIRECTORY:TAG"},
    [OPT_CODEC] = {"codec", 0, "LIST", "how packs are compressed: lz4, lzma or lz4,lzma (both)"},
    [OPT_NO_PACKS] = {"no-packs", 0, NULL, "plain OCI layers only"},
    [OPT_EXPLAIN] = {"explain", 0, NULL, "per file how it is carried and what it costs"},
    [OPT_OS] = {"os", 0, "FILE",
                "a bundle of RAUC or SWUpdate, put there and signed as a release of the system"},
    [OPT_RETRY] = {"retry", 0, NULL, "try again what has failed with these settings before"},
    [OPT_REV] = {"rev", 0, "N", "this revision (the last one that this directory knows, and 1)"},
    [OPT_CONFIRM] = {"confirm", 0, "NAME", "the target's name once more: yes, I mean it"},
    [OPT_PAST] = {"past", 0, "N", "ask the device (-d) for its last N events first"},
};
_Static_assert(OPT_COUNT_ <= 64, "a verb's options are one word of bits");

static const int exit_codes[ERR_KIND_COUNT_] = {
    [ERR_NONE] = EXIT_DONE,       [ERR_INVALID] = EXIT_FAILED,    [ERR_INTEGRITY] = EXIT_REFUSED,
    [ERR_DENIED] = EXIT_REFUSED,  [ERR_CONFLICT] = EXIT_CONFLICT, [ERR_NOTFOUND] = EXIT_FAILED,
    [ERR_NOSPACE] = EXIT_FAILED,  [ERR_NOMEM] = EXIT_FAILED,      [ERR_IO] = EXIT_FAILED,
    [ERR_NET] = EXIT_OFFLINE,     [ERR_TIMEOUT] = EXIT_LATE,      [ERR_UNSUPPORTED] = EXIT_FAILED,
    [ERR_SOURCE] = EXIT_FAILED,   [ERR_AGAIN] = EXIT_FAILED,      [ERR_EXISTS] = EXIT_CONFLICT,
    [ERR_OFFLINE] = EXIT_OFFLINE, [ERR_USAGE] = EXIT_USAGE,
};

int args_exit_of(const struct err *err)
{
    return err->kind < ERR_KIND_COUNT_ ? exit_codes[err->kind] : EXIT_FAILED;
}

static bool takes(const struct verb *v, enum opt o)
{
    return ((v->opts | OPTS_COMMON) & OPT_BIT(o)) != 0;
}

/* The option that arg ("--name", "--name=value", "-n", "-nvalue") means for this verb; *ret_inline: the value
 * within arg. */
static int opt_find(const struct verb *v, const char *arg, const char **ret_inline)
{
    bool is_long = arg[1] == '-';
    const char *eq = is_long ? strchr(arg, '=') : NULL;
    size_t len = is_long ? (eq ? (size_t)(eq - arg - 2) : strlen(arg + 2)) : 1;

    for (unsigned i = 0; i < OPT_COUNT_; i++) {
        const struct opt_def *d = &opt_defs[i];
        if (!takes(v, (enum opt)i))
            continue;
        if (is_long ? strlen(d->name) == len && memcmp(d->name, arg + 2, len) == 0 : d->letter == arg[1]) {
            *ret_inline = is_long ? (eq ? eq + 1 : NULL) : (arg[2] ? arg + 2 : NULL);
            return (int)i;
        }
    }
    return -1;
}

/* One option at argv[*at]; moves *at to the last word it used. */
static int take_opt(const struct verb *v, int argc, char **argv, int *at, struct args *a, struct err *err)
{
    const char *inner = NULL;
    int o = opt_find(v, argv[*at], &inner);

    if (o < 0)
        return err_set(err, ERR_USAGE, "unknown option '%s' for '%s'", argv[*at], v->name);
    if (a->n_given == ARGS_MAX)
        return err_set(err, ERR_USAGE, "more than %d options", ARGS_MAX);
    if (!opt_defs[o].value && inner)
        return err_set(err, ERR_USAGE, "--%s takes no value", opt_defs[o].name);
    if (opt_defs[o].value && !inner) {
        if (*at + 1 >= argc)
            return err_set(err, ERR_USAGE, "--%s needs a value: %s", opt_defs[o].name, opt_defs[o].value);
        inner = argv[++*at];
    }
    a->given[a->n_given].opt = (enum opt)o;
    a->given[a->n_given++].val = inner;
    return 0;
}

int args_parse(const struct verb *v, int argc, char **argv, struct args *ret, struct err *err)
{
    struct args a = {.n_given = 0};
    bool only_pos = false;

    for (int i = 0; i < argc; i++) {
        if (!only_pos && strcmp(argv[i], "--") == 0) {
            only_pos = true;
        } else if (!only_pos && argv[i][0] == '-' && argv[i][1]) {
            if (take_opt(v, argc, argv, &i, &a, err) < 0)
                return -(int)err->kind;
        } else if (a.n_pos == ARGS_MAX) {
            return err_set(err, ERR_USAGE, "more than %d arguments", ARGS_MAX);
        } else {
            a.pos[a.n_pos++] = argv[i];
        }
    }
    if (!args_has(&a, OPT_HELP) && a.n_pos < v->min_pos)
        return err_set(err, ERR_USAGE, "usage: fleetctl %s", v->usage);
    if (a.n_pos > v->max_pos)
        return err_set(err, ERR_USAGE, "'%s' is one argument too many: usage: fleetctl %s", a.pos[v->max_pos],
                       v->usage);
    *ret = a;
    return 0;
}

bool args_has(const struct args *a, enum opt o)
{
    for (unsigned i = 0; i < a->n_given; i++)
        if (a->given[i].opt == o)
            return true;
    return false;
}

const char *args_str(const struct args *a, enum opt o, const char *otherwise)
{
    for (unsigned i = a->n_given; i-- > 0;)
        if (a->given[i].opt == o)
            return a->given[i].val;
    return otherwise;
}

unsigned args_all(const struct args *a, enum opt o, const char **dst, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < a->n_given && n < max; i++)
        if (a->given[i].opt == o)
            dst[n++] = a->given[i].val;
    return n;
}

int args_u64(const struct args *a, enum opt o, uint64_t min, uint64_t max, uint64_t *ret, struct err *err)
{
    const char *text = args_str(a, o, NULL);

    if (text && !str_u64(text, min, max, ret))
        return err_set(err, ERR_USAGE, "--%s: '%s' is not a number from %" PRIu64 " to %" PRIu64,
                       opt_defs[o].name, text, min, max);
    return 0;
}

int args_duration_ms(const char *text, uint64_t *ret_ms, struct err *err)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end = NULL;
    double n = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;

    for (unsigned i = 0; end && i < COUNT_OF(units); i++)
        if (strcmp(end, units[i].unit) == 0 && n <= 36500.0 * 86400000.0 / (double)units[i].ms) {
            *ret_ms = (uint64_t)(n * (double)units[i].ms);
            return 0;
        }
    return err_set(err, ERR_USAGE, "invalid duration '%s': write 90s, 5m, 2h or 30d", text);
}

int args_ms(const struct args *a, enum opt o, uint64_t *ret_ms, struct err *err)
{
    const char *text = args_str(a, o, NULL);

    return text ? args_duration_ms(text, ret_ms, err) : 0;
}

const struct verb *args_verb_find(const struct verb *verbs, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

const char *args_verb_guess(const struct verb *verbs, unsigned n, const char *name)
{
    const char *best = NULL;
    unsigned least = 3;

    for (unsigned i = 0; i < n; i++) {
        unsigned d = str_distance(name, verbs[i].name);
        if (d < least && d < strlen(verbs[i].name)) {
            least = d;
            best = verbs[i].name;
        }
    }
    return best;
}

void args_help_verb(const struct verb *v)
{
    term_print(stdout, "%s\n\n  fleetctl %s\n\n", v->summary, v->usage);
    if (v->examples) {
        term_print(stdout, "Examples:\n");
        term_lines(stdout, buf_str(v->examples));
    }
    term_print(stdout, "\nOptions:\n");
    for (unsigned i = 0; i < OPT_COUNT_; i++) {
        const struct opt_def *d = &opt_defs[i];
        char left[48];
        if (!takes(v, (enum opt)i))
            continue;
        (void)str_fmt(left, sizeof(left), "%c%c%s --%s%s%s", d->letter ? '-' : ' ',
                      d->letter ? d->letter : ' ', d->letter ? "," : " ", d->name, d->value ? " " : "",
                      d->value ? d->value : "");
        term_print(stdout, "  %-26s %s\n", left, d->help);
    }
}

void args_help_all(const struct verb *verbs, unsigned n)
{
    term_print(stdout, "fleetctl: signs, publishes and watches what a fleet of devices runs\n\n"
                       "  fleetctl [-C DIR] VERB ...        fleetctl VERB -h for more\n\n"
                       "Examples:\n"
                       "  fleetctl init --fleet demo --broker broker.lan:8883 --device gw-1\n"
                       "  fleetctl publish http://registry.lan:5000/demo/web:1.4.2\n"
                       "  fleetctl plan -f web.json -d gw-1\n"
                       "  fleetctl apply -f web.json -d gw-1 --wait\n\nVerbs:\n");
    for (unsigned i = 0; i < n; i++)
        term_print(stdout, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    term_print(
        stdout,
        "\nExit: 0 done, 1 failed, 2 usage, 3 not converged, 4 conflict, 5 out of reach, 6 denied, 124 "
        "timeout\n");
}
