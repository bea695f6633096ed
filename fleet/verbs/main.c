/* fleetctl: the operator's program. Everything here is in the table. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fleet/verbs/verbs.h"
#include "platform/crypto.h"

#define TARGET (OPT_BIT(OPT_DEVICE) | OPT_BIT(OPT_GROUP))

static const struct verb verbs[] = {
    {.name = "init",
     .usage = "init --fleet NAME [--broker HOST:PORT] [--host NAME]... [--device ID]...",
     .summary = "make keys, certificates, trust and device bundles; completes what is missing",
     .examples = "  fleetctl init --fleet demo --device gw-1\n"
                 "  fleetctl init --fleet demo --broker broker.lan:8883 --host 192.168.7.2 --device gw-1 "
                 "--device gw-2\n",
     .opts = OPT_BIT(OPT_FLEET) | OPT_BIT(OPT_BROKER) | OPT_BIT(OPT_HOST) | TARGET | OPT_BIT(OPT_STATE_DIR) |
             OPT_BIT(OPT_RUN_DIR) | OPT_BIT(OPT_EXPIRES),
     .bare = true,
     .run = verb_init},
    {.name = "keys",
     .usage = "keys list | device ID... | broker HOST... | rotate root|release|fleet | push",
     .summary = "list keys and certificates, add devices, rotate signing keys",
     .examples = "  fleetctl keys list\n"
                 "  fleetctl keys device gw-3 --group line-a\n"
                 "  fleetctl keys rotate release --keep      # both keys count until the next rotation\n",
     .opts = OPT_BIT(OPT_GROUP) | OPT_BIT(OPT_STATE_DIR) | OPT_BIT(OPT_RUN_DIR) | OPT_BIT(OPT_KEEP) |
             OPT_BIT(OPT_OFFLINE) | OPT_BIT(OPT_EXPIRES),
     .min_pos = 1,
     .max_pos = ARGS_MAX,
     .run = verb_keys},
    {.name = "publish",
     .usage = "publish REF [--from OLD]... [--to REF] [--explain] [--os FILE] [--name NAME] [--version TEXT]",
     .summary = "check an OCI image, make its packs, sign a release of it, put both beside the image",
     .examples = "  fleetctl publish http://registry.lan:5000/demo/web:1.4.2 --from 1.4.1 --from 1.3.0\n"
                 "  fleetctl publish docker-archive:web.tar --to dir:/srv/images:1.4.2 --name web\n"
                 "  fleetctl publish dir:/media/usb/limpet:1.4.2 --name web --explain\n"
                 "  fleetctl publish http://registry.lan:5000/demo/os:2.1 --os system-2.1.raucb\n",
     .opts = OPT_BIT(OPT_NAME) | OPT_BIT(OPT_VERSION) | OPT_BIT(OPT_COUNTER) | OPT_BIT(OPT_SOURCE) |
             OPT_BIT(OPT_CA) | OPT_BIT(OPT_AUTH) | OPT_BIT(OPT_FROM) | OPT_BIT(OPT_TO) | OPT_BIT(OPT_CODEC) |
             OPT_BIT(OPT_NO_PACKS) | OPT_BIT(OPT_EXPLAIN) | OPT_BIT(OPT_OS),
     .min_pos = 1,
     .max_pos = 1,
     .run = verb_publish},
    {.name = "plan",
     .usage = "plan -f FILE -d ID|-g GROUP [--exit-code]",
     .summary = "what an apply would change, and how many bytes it costs",
     .examples = "  fleetctl plan -f web.json -d gw-1\n"
                 "  fleetctl plan -f web.json -g line-a --exit-code   # 2 when something would change\n",
     .opts = OPT_BIT(OPT_FILE) | TARGET | OPT_BIT(OPT_EXIT_CODE) | OPT_BIT(OPT_EXPIRES) | OPT_BIT(OPT_BY) |
             OPT_BIT(OPT_RETRY),
     .run = verb_plan},
    {.name = "apply",
     .usage = "apply -f FILE -d ID|-g GROUP [--wait] [--timeout 5m] [--dry-run]",
     .summary = "sign a manifest and publish it; --wait until the devices say how it went",
     .examples =
         "  fleetctl apply -f web.json -d gw-1 --wait\n"
         "  fleetctl apply -f web.json -g line-a --dry-run\n"
         "  fleetctl apply -f web.json -d gw-1 --retry           # what was rolled back is tried again\n"
         "  fleetctl apply -f web.json -d gw-1 --expect-rev 41   # 4 when another operator was faster\n",
     .opts = OPT_BIT(OPT_FILE) | TARGET | OPT_BIT(OPT_WAIT) | OPT_BIT(OPT_TIMEOUT) | OPT_BIT(OPT_DRY_RUN) |
             OPT_BIT(OPT_EXPECT_REV) | OPT_BIT(OPT_SETTLE) | OPT_BIT(OPT_EXPIRES) | OPT_BIT(OPT_BY) |
             OPT_BIT(OPT_RETRY),
     .run = verb_apply},
    {.name = "sign",
     .usage = "sign -f FILE -d ID|-g GROUP [-o FILE] [--rev N]",
     .summary = "sign a manifest for a stick or a paste, without a broker",
     .examples = "  fleetctl sign -f web.json -d gw-1 -o /media/usb/gw-1.txt   # there: agentctl apply "
                 "/media/usb/gw-1.txt\n"
                 "  fleetctl sign -f web.json -d gw-1                          # lines to paste into: "
                 "agentctl apply -\n",
     .opts = OPT_BIT(OPT_FILE) | TARGET | OPT_BIT(OPT_OUT) | OPT_BIT(OPT_REV) | OPT_BIT(OPT_EXPIRES) |
             OPT_BIT(OPT_BY) | OPT_BIT(OPT_RETRY),
     .run = verb_sign},
    {.name = "forget",
     .usage = "forget -d ID|-g GROUP [--confirm NAME]",
     .summary = "take back a target's document; for a name that was mistyped, all that the broker holds",
     .examples = "  fleetctl forget -d gw-99              # asks for the name once more\n"
                 "  fleetctl forget -g line-z --confirm line-z\n",
     .opts = TARGET | OPT_BIT(OPT_CONFIRM) | OPT_BIT(OPT_EXPIRES) | OPT_BIT(OPT_BY),
     .run = verb_forget},
    {.name = "wait",
     .usage = "wait ID... [--for phase=converged] [--timeout 5m]",
     .summary = "until devices have done what they were last asked",
     .examples = "  fleetctl wait gw-1 --timeout 15m\n  fleetctl wait gw-1 --for phase=rolled-back\n",
     .opts = OPT_BIT(OPT_FOR) | OPT_BIT(OPT_TIMEOUT),
     .min_pos = 1,
     .max_pos = ARGS_MAX,
     .run = verb_wait},
    {.name = "get",
     .usage = "get devices | apps | documents | manifest | trust | releases [-d ID|-g GROUP] [-o "
              "table|wide|json|name]",
     .summary = "a table of what the fleet reports, or was asked",
     .examples = "  fleetctl get devices\n  fleetctl get apps -g line-a -o wide\n  fleetctl get devices -o "
                 "json | jq .\n",
     .opts = TARGET,
     .min_pos = 1,
     .max_pos = 1,
     .run = verb_get},
    {.name = "describe",
     .usage = "describe ID",
     .summary = "all that is known of one device",
     .examples = "  fleetctl describe gw-1\n",
     .min_pos = 1,
     .max_pos = 1,
     .run = verb_describe},
    {.name = "events",
     .usage = "events [-f] [-d ID] [--past N] [--timeout TIME]",
     .summary = "what devices report as it happens: OOM, rollback, crash loop ...",
     .examples =
         "  fleetctl events -f\n  fleetctl events -f -d gw-1 -o json\n  fleetctl events -d gw-1 --past 20\n",
     .opts = OPT_BIT(OPT_FOLLOW) | OPT_BIT(OPT_DEVICE) | OPT_BIT(OPT_TIMEOUT) | OPT_BIT(OPT_LINES) |
             OPT_BIT(OPT_PAST),
     .run = verb_events},
    {.name = "logs",
     .usage = "logs ID/APP [-n LINES]",
     .summary = "the last lines that an app wrote",
     .examples = "  fleetctl logs gw-1/web -n 50\n",
     .opts = OPT_BIT(OPT_LINES) | OPT_BIT(OPT_TIMEOUT),
     .min_pos = 1,
     .max_pos = 1,
     .run = verb_logs},
    {.name = "explain",
     .usage = "explain [FIELD.FIELD...]",
     .summary = "the fields of a manifest, with their types and bounds",
     .examples = "  fleetctl explain apps\n  fleetctl explain apps.memory.max_bytes\n"
                 "  fleetctl explain -o json  # as JSON Schema, for editors and CI\n",
     .max_pos = 1,
     .bare = true,
     .run = verb_explain},
};
#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int usage_error(const char *msg)
{
    term_print(stderr, "fleetctl: %s\n", msg);
    return EXIT_USAGE;
}

static int unknown_verb(const char *name)
{
    const char *guess = args_verb_guess(verbs, N_VERBS, name);

    term_print(stderr, "fleetctl: unknown command '%s'", name);
    if (guess)
        term_print(stderr, ". Did you mean '%s'?\n", guess);
    else
        term_print(stderr, ": fleetctl -h\n");
    return EXIT_USAGE;
}

/* "-C DIR" and "--no-color" may stand before the verb: move the verb to the front of the rest. */
static int verb_index(int argc, char **argv)
{
    int i = 1;

    while (i < argc && argv[i][0] == '-') {
        if (strcmp(argv[i], "-C") == 0 || strcmp(argv[i], "--dir") == 0)
            i += 2;
        else if (strncmp(argv[i], "-C", 2) == 0 || strncmp(argv[i], "--dir=", 6) == 0 ||
                 strcmp(argv[i], "--no-color") == 0)
            i++;
        else
            break;
    }
    return i;
}

static int run_verb(const struct verb *v, const struct args *args)
{
    struct ctx ctx = {.dir_fd = -1, .lock_fd = -1};
    struct err err = ERR_INIT;
    int rc = 0;

    if (!v->bare)
        rc = crypto_init(&err) < 0 || ctx_open(args, &ctx, &err) < 0 ? -(int)err.kind : 0;
    if (rc == 0)
        rc = v->run(v->bare ? NULL : &ctx, args, &err);
    if (!v->bare)
        ctx_close(&ctx);
    if ((fflush(stdout) != 0 || ferror(stdout)) && rc >= 0)
        rc = err_set(&err, ERR_IO, "standard output: not everything could be written");
    if (rc >= 0)
        return rc;
    term_print(stderr, "fleetctl: %s\n", err.msg);
    return args_exit_of(&err);
}

int main(int argc, char **argv)
{
    int at = verb_index(argc, argv), n = 0;
    const struct verb *v;
    struct args args;
    struct err err = ERR_INIT;
    char *rest[ARGS_MAX * 2];

    signal(SIGPIPE, SIG_DFL);
    if (at + 1 < argc && strcmp(argv[at], "help") == 0) {
        v = args_verb_find(verbs, N_VERBS, argv[at + 1]);
        if (!v)
            return unknown_verb(argv[at + 1]);
        args_help_verb(v);
        return EXIT_DONE;
    }
    if (at >= argc || strcmp(argv[at], "-h") == 0 || strcmp(argv[at], "--help") == 0 ||
        strcmp(argv[at], "help") == 0) {
        args_help_all(verbs, N_VERBS);
        return at >= argc ? EXIT_USAGE : EXIT_DONE;
    }
    if (strcmp(argv[at], "--version") == 0) {
        term_print(stdout, "fleetctl %s\n", LIMPET_VERSION);
        return EXIT_DONE;
    }
    v = args_verb_find(verbs, N_VERBS, argv[at]);
    if (!v)
        return unknown_verb(argv[at]);
    for (int i = 1; i < argc && n < (int)(sizeof(rest) / sizeof(rest[0])); i++)
        if (i != at)
            rest[n++] = argv[i];
    if (args_parse(v, n, rest, &args, &err) < 0)
        return usage_error(err.msg);
    if (args_has(&args, OPT_HELP)) {
        args_help_verb(v);
        return EXIT_DONE;
    }
    out_init(args_has(&args, OPT_NO_COLOR));
    return run_verb(v, &args);
}
