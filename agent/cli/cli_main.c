#include <stdio.h>
#include <sys/stat.h>

#include "agent/cli/cli.h"
#include "agent/manifest/config.h"

static const struct verb {
    const char *name, *args, *help;
    int (*fn)(const struct cli *c);
} verbs[] = {
    {"status", "", "what runs, what is wrong, what to look at next", cli_status},
    {"ps", "", "the apps and their processes", cli_ps},
    {"logs", "[-f] [-n N] APP", "what an app wrote (works with the agent dead)", cli_logs},
    {"exec", "[-t] APP -- CMD", "run a command inside an app's container", cli_enter},
    {"plan", "[FILE]", "what the agent will do next, or would do for FILE", cli_plan},
    {"apply", "FILE|-", "take a signed manifest from a file or pasted text", cli_apply},
    {"diff", "FILE|-", "how a manifest differs from the one in force", cli_diff},
    {"history", "", "the manifests so far and how each ended", cli_history},
    {"rollback", "", "back to the last set that was good", cli_rollback},
    {"events", "[-f] [-n N]", "what happened", cli_events},
    {"why", "APP", "why this app is as it is", cli_why},
};

static int usage(FILE *f)
{
    term_print(f, "usage: agentctl [--config FILE] [--run-dir DIR] [-o json] [VERB ...]\n"
                  "\n"
                  "  agentctl                     the state of this device\n"
                  "  agentctl logs -f web         follow an app's log\n"
                  "  agentctl apply /media/usb/desired.json\n"
                  "\n");
    for (unsigned i = 0; i < COUNT_OF(verbs); i++)
        term_print(f, "  %-9s %-17s %s\n", verbs[i].name, verbs[i].args, verbs[i].help);
    term_print(f, "\nExit: 0 well, 1 failed, 2 usage, 3 not converged or unhealthy, 4 agent not running,\n"
                  "6 denied, 125-127 exec failed. See agentctl(1).\n");
    return f == stdout ? CLI_OK : CLI_USAGE;
}

static int unknown(const char *name)
{
    const char *near = NULL;
    unsigned best = 3;

    for (unsigned i = 0; i < COUNT_OF(verbs); i++) {
        unsigned d = str_distance(name, verbs[i].name);
        if (d < best) {
            best = d;
            near = verbs[i].name;
        }
    }
    term_print(stderr, "agentctl: unknown command \"%.30s\"%s%s%s\n", name, near ? "; did you mean \"" : "",
               near ? near : "", near ? "\"?" : " (see agentctl --help)");
    return CLI_USAGE;
}

/* One option at argv[i]; returns how many words it took, 0 if it is not an option of ours. */
static int read_option(struct cli *c, char **argv, const char *value, const char **ret_config)
{
    static const struct {
        const char *name, *longer;
        size_t at;
    } flags[] = {{"-f", "--follow", offsetof(struct cli, follow)},
                 {"-t", "--tty", offsetof(struct cli, tty)},
                 {"--json", "--json", offsetof(struct cli, json)}};

    for (unsigned k = 0; k < COUNT_OF(flags); k++)
        if (strcmp(argv[0], flags[k].name) == 0 || strcmp(argv[0], flags[k].longer) == 0) {
            *(bool *)((char *)c + flags[k].at) = true;
            return 1;
        }
    if (strcmp(argv[0], "--no-color") == 0) {
        c->color = false;
        return 1;
    }
    if (!value)
        return 0;
    if (strcmp(argv[0], "--config") == 0) {
        *ret_config = value;
        return 2;
    }
    if (strcmp(argv[0], "-o") == 0 && strcmp(value, "json") == 0) {
        c->json = true;
        return 2;
    }
    return (strcmp(argv[0], "-n") == 0 && str_u64(value, 1, 100000, &c->lines)) ||
                   (strcmp(argv[0], "--run-dir") == 0 && str_copy(c->run_dir, sizeof(c->run_dir), value))
               ? 2
               : 0;
}

/* Options may appear anywhere, but after exec's app all words belong to the command. The rest is moved to the
 * front of argv; returns how many words that is, -1 for an unknown option. */
static int read_options(struct cli *c, int argc, char **argv, const char **ret_config)
{
    int kept = 0;

    for (int i = 1; i < argc;) {
        bool exec = kept >= 2 && strcmp(argv[0], "exec") == 0;
        if (exec || argv[i][0] != '-' || !argv[i][1]) {
            argv[kept++] = argv[i++];
            continue;
        }
        int took = read_option(c, argv + i, i + 1 < argc ? argv[i + 1] : NULL, ret_config);
        if (took == 0)
            return -1;
        i += took;
    }
    return kept;
}

static void fill_folders(struct cli *c, const char *config_path)
{
    struct config AUTO_MEM *config = mem_need_zero(sizeof(*config));
    struct err why = ERR_INIT;
    bool known = config_read(config_path ? config_path : CONFIG_PATH, config, &why) == 0;

    if (!known && (config_path || !c->run_dir[0])) /* another directory belongs to another agent, with its own
                                          * settings */
        (void)str_fmt(c->bad_settings, sizeof(c->bad_settings), "%s", why.msg);
    if (!c->run_dir[0])
        (void)str_copy(c->run_dir, sizeof(c->run_dir), known ? config->run_dir : "/run/limpet");
    (void)str_copy(c->state_dir, sizeof(c->state_dir), known ? config->state_dir : "/var/lib/limpet");
}

int main(int argc, char **argv)
{
    struct cli c = {.lines = 20};
    const char *config = NULL, *term = getenv("TERM"), *verb = "status";

    c.color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0 &&
              strncmp(term, "vt", 2) != 0;
    for (int k = 1; k < argc && strcmp(argv[k], "exec") != 0; k++) {
        if (strcmp(argv[k], "--help") == 0 || strcmp(argv[k], "-h") == 0)
            return usage(stdout);
        if (strcmp(argv[k], "--version") == 0) {
            term_print(stdout, "agentctl %s\n", LIMPET_VERSION);
            return CLI_OK;
        }
    }
    int n = read_options(&c, argc, argv, &config);
    if (n < 0)
        return usage(stderr);
    if (n > 0)
        verb = argv[0];
    c.argc = n > 0 ? n - 1 : 0;
    c.argv = argv + 1;
    fill_folders(&c, config);
    for (unsigned v = 0; v < COUNT_OF(verbs); v++)
        if (strcmp(verbs[v].name, verb) == 0)
            return verbs[v].fn(&c);
    return unknown(verb);
}
