/* limpet.c - bin/limpet: options and verbs. See limpet_int.h. */
#include "runtime/box/exe_guard.h"
#include "runtime/limpet/limpet_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "platform/clock.h"

#define VERSION_TEXT "limpet " LIMPET_VERSION "\nspec: " SPEC_OCI_VERSION "\n"

static const struct verb {
    const char *name, *usage;
    int (*fn)(struct limpet *, struct err *);
    bool id;
    bool rest;  /* all arguments after the id are its own, even options */
    bool blind; /* does not inspect the machine's control groups */
} verbs[] = {
    {"create", "ID                  set up a container, its program waits for start", limpet_create, true},
    {"start", "ID                  let it run", limpet_start, true, .blind = true},
    {"run", "ID                  create, start, wait, delete", limpet_run, true},
    {"exec", "ID PROGRAM [ARG..]  one more program inside", limpet_exec, true},
    {"state", "ID                  what it is, as JSON", limpet_state_verb, true, .blind = true},
    {"kill", "ID [SIGNAL]         signal its first process (TERM)", limpet_kill, true},
    {"delete", "ID                  remove it; --force: kill it first", limpet_delete, true},
    {"list", "                    all containers", limpet_list, false, .blind = true},
    {"ps", "ID                  its processes", limpet_ps, true, true},
    {"pause", "ID                  all of it stands still", limpet_pause, true},
    {"resume", "ID                  let it continue", limpet_resume, true},
    {"update", "ID                  change its limits", limpet_update, true},
    {"events", "ID                  what it uses; --stats: once", limpet_events, true},
    {"mounts", "add|remove ID FILE  mounts of a running container, FILE: a JSON list (-: standard input)",
     limpet_mounts, false},
    {"spec", "                    write a config.json to start from", limpet_spec, false, .blind = true},
    {"features", "                    what this runtime and kernel can do", limpet_features, false},
};

enum kind { TEXT, FLAG, NUMBER, ENV, CAP, GROUP, DROP, NOTHING };
static const struct option {
    const char *name;
    char letter;
    enum kind kind;
    size_t at;
} options[] = {
    {"root", 0, TEXT, offsetof(struct limpet, root)},
    {"log", 0, TEXT, offsetof(struct limpet, log)},
    {"log-format", 0, TEXT, offsetof(struct limpet, format)},
    {"cgroup-manager", 0, TEXT, offsetof(struct limpet, cgroup_manager)},
    {"criu", 0, DROP, 0},
    {"rootless", 0, FLAG, offsetof(struct limpet, rootless)},
    {"debug", 0, NOTHING, 0},
    {"systemd-cgroup", 0, NOTHING, 0},
    {"no-new-keyring", 0, NOTHING, 0},
    {"console-socket", 0, TEXT, offsetof(struct limpet, console_socket)},
    {"no-pivot", 0, FLAG, offsetof(struct limpet, no_pivot)},
    {"tty", 't', FLAG, offsetof(struct limpet, tty)},
    {"cap", 'c', CAP, 0},
    {"additional-gids", 'g', GROUP, 0},
    {"no-new-privs", 0, FLAG, offsetof(struct limpet, no_new_privs)},
    {"cgroup", 0, TEXT, offsetof(struct limpet, sub_cgroup)},
    {"apparmor", 0, TEXT, offsetof(struct limpet, apparmor)},
    {"process-label", 0, TEXT, offsetof(struct limpet, label)},
    {"ignore-paused", 0, FLAG, offsetof(struct limpet, ignore_paused)},
    {"regex", 0, FLAG, offsetof(struct limpet, regex)},
    {"init", 0, FLAG, offsetof(struct limpet, init)},
    {"bundle", 'b', TEXT, offsetof(struct limpet, bundle)},
    {"config", 0, TEXT, offsetof(struct limpet, config)},
    {"pid-file", 0, TEXT, offsetof(struct limpet, pid_file)},
    {"process", 'p', TEXT, offsetof(struct limpet, process)},
    {"cwd", 0, TEXT, offsetof(struct limpet, cwd)},
    {"user", 'u', TEXT, offsetof(struct limpet, user)},
    {"env", 'e', ENV, 0},
    {"format", 'f', TEXT, offsetof(struct limpet, format)},
    {"preserve-fds", 0, NUMBER, offsetof(struct limpet, preserve_fds)},
    {"detach", 'd', FLAG, offsetof(struct limpet, detach)},
    {"force", 0, FLAG, offsetof(struct limpet, force)},
    {"all", 'a', FLAG, offsetof(struct limpet, all)},
    {"quiet", 'q', FLAG, offsetof(struct limpet, quiet)},
    {"keep", 0, FLAG, offsetof(struct limpet, keep)},
    {"stats", 0, FLAG, offsetof(struct limpet, stats)},
    {"interval", 0, TEXT, offsetof(struct limpet, interval)},
    {"resources", 'r', TEXT, offsetof(struct limpet, resources)},
    {"memory", 0, TEXT, offsetof(struct limpet, limit[LIMPET_MEMORY])},
    {"memory-swap", 0, TEXT, offsetof(struct limpet, limit[LIMPET_MEMORY_SWAP])},
    {"memory-reservation", 0, TEXT, offsetof(struct limpet, limit[LIMPET_MEMORY_RESERVATION])},
    {"kernel-memory", 0, TEXT, offsetof(struct limpet, limit[LIMPET_KERNEL_MEMORY])},
    {"kernel-memory-tcp", 0, TEXT, offsetof(struct limpet, limit[LIMPET_KERNEL_MEMORY_TCP])},
    {"cpu-share", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_SHARES])},
    {"cpu-shares", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_SHARES])},
    {"cpu-quota", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_QUOTA])},
    {"cpu-period", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_PERIOD])},
    {"cpu-burst", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_BURST])},
    {"cpu-rt-period", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_RT_PERIOD])},
    {"cpu-rt-runtime", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_RT_RUNTIME])},
    {"cpu-idle", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPU_IDLE])},
    {"cpuset-cpus", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPUSET_CPUS])},
    {"cpuset-mems", 0, TEXT, offsetof(struct limpet, limit[LIMPET_CPUSET_MEMS])},
    {"pids-limit", 0, TEXT, offsetof(struct limpet, limit[LIMPET_PIDS_LIMIT])},
    {"blkio-weight", 0, TEXT, offsetof(struct limpet, limit[LIMPET_BLKIO_WEIGHT])},
};

static void usage(FILE *to)
{
    (void)fprintf(to, "usage: limpet [--root DIR] [--log FILE] [--log-format text|json] VERB ...\n\n");
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        (void)fprintf(to, "  %-9s %s\n", verbs[i].name, verbs[i].usage);
    (void)fputs(
        "\nrun, create: -b BUNDLE --config FILE --pid-file FILE --console-socket PATH --preserve-fds N "
        "--no-pivot --init;"
        "\n             run: --detach --keep\n"
        "exec: -t -d -e NAME=VALUE -u UID[:GID] -g GID --cwd DIR --cap CAP --no-new-privs --cgroup SUB "
        "--apparmor P"
        "\n      --process-label L --process FILE --pid-file FILE --console-socket PATH --preserve-fds N"
        " --ignore-paused\n"
        "kill: --all; delete: --force --regex; list, ps: -q -f table|json; spec: --rootless\n"
        "update: --resources FILE|- --memory BYTES --memory-swap --memory-reservation --cpu-shares "
        "--cpu-quota"
        "\n        --cpu-period --cpuset-cpus LIST --cpuset-mems LIST --pids-limit N --blkio-weight N ...\n"
        "events: --stats --interval SECONDS\n",
        to);
}

static const struct option *find_option(const char *arg, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        if ((arg[1] == '-' && strlen(options[i].name) == len - 2 &&
             memcmp(arg + 2, options[i].name, len - 2) == 0) ||
            (arg[1] != '-' && len == 2 && options[i].letter == arg[1]))
            return &options[i];
    return NULL;
}

static int push(const char **list, unsigned *n, unsigned max, const char *name, const char *value,
                struct err *err)
{
    if (*n == max)
        return err_set(err, ERR_INVALID, "--%s: more than %u", name, max);
    list[(*n)++] = value;
    return 0;
}

static bool has_value(const struct option *o)
{
    return o->kind != FLAG && o->kind != NOTHING;
}

static int set_option(struct limpet *c, const struct option *o, const char *value, struct err *err)
{
    uint64_t n;

    switch (o->kind) {
    case FLAG:
        *(bool *)(void *)((char *)c + o->at) = true;
        return 0;
    case TEXT:
        *(const char **)(void *)((char *)c + o->at) = value;
        return 0;
    case NUMBER:
        if (!str_u64(value, 0, 64, &n))
            return err_set(err, ERR_INVALID, "--%s %s: not a number up to 64", o->name, value);
        *(unsigned *)(void *)((char *)c + o->at) = (unsigned)n;
        return 0;
    case ENV:
        return push(c->env, &c->n_env, LIM_CONFIG_LIST, o->name, value, err);
    case CAP:
        return push(c->caps, &c->n_caps, COUNT_OF(c->caps), o->name, value, err);
    case GROUP:
        return push(c->groups, &c->n_groups, COUNT_OF(c->groups), o->name, value, err);
    default:
        return 0;
    }
}

/* One argument that begins with "-"; advances *i past its value. */
static int take_option(struct limpet *c, const struct verb *verb, char **argv, int argc, int *i,
                       struct err *err)
{
    const char *arg = argv[*i], *eq = strchr(arg, '=');
    const struct option *o = find_option(arg, eq ? (size_t)(eq - arg) : strlen(arg));
    const char *value = eq ? eq + 1 : NULL;

    if (verb && strcmp(verb->name, "delete") == 0 && strcmp(arg, "-f") == 0) {
        c->force = true;
        return 0;
    }
    if (!o)
        return err_set(err, ERR_INVALID, "unknown option %s", arg);
    if (has_value(o) && !value && *i + 1 >= argc)
        return err_set(err, ERR_INVALID, "%s needs a value", arg);
    if (has_value(o) && !value)
        value = argv[++*i];
    if (!verb && value && strcmp(o->name, "log-format") == 0)
        c->log_json = strcmp(value, "json") == 0;
    return set_option(c, o, value, err);
}

static int parse(struct limpet *c, int argc, char **argv, const struct verb **ret, struct err *err)
{
    const struct verb *verb = NULL;

    for (int i = 1; i < argc; i++) {
        bool known = !verb || !verb->rest || !c->id || find_option(argv[i], strcspn(argv[i], "="));
        if (argv[i][0] == '-' && argv[i][1] != '\0' && strcmp(argv[i], "--") != 0 && known) {
            int rc = take_option(c, verb, argv, argc, &i, err);
            if (rc < 0)
                return rc;
        } else if (!verb) {
            for (size_t v = 0; v < COUNT_OF(verbs); v++)
                if (strcmp(argv[i], verbs[v].name) == 0)
                    verb = &verbs[v];
            if (!verb)
                return err_set(err, ERR_INVALID, "unknown verb %s (try --help)", argv[i]);
        } else if (verb->id && !c->id) {
            c->id = argv[i];
        } else {
            c->args = argv + i + (strcmp(argv[i], "--") == 0);
            c->n_args = argc - (int)(c->args - argv);
            break;
        }
    }
    if (!verb || (verb->id && !c->id))
        return err_set(err, ERR_INVALID, verb ? "%s needs a container's id" : "no verb (try --help)",
                       verb ? verb->name : "");
    if (limpet_limits_given(c) && verb->fn != limpet_update)
        return err_set(err, ERR_INVALID, "limits as options are for update; %s takes those of config.json",
                       verb->name);
    *ret = verb;
    return 0;
}

/* Where control groups are, and whether to use any. */
static int find_groups(struct limpet *c, struct err *err)
{
    static const char *const known[] = {"cgroupfs", "systemd", "disabled"};
    const char *m = c->cgroup_manager ? c->cgroup_manager : known[0];
    size_t i = 0;

    while (i < COUNT_OF(known) && strcmp(known[i], m) != 0)
        i++;
    if (i == COUNT_OF(known))
        return err_set(err, ERR_INVALID, "--cgroup-manager %.20s: not cgroupfs, systemd or disabled", m);
    if (i == 2) {
        c->host = (struct cgroup_host){.name = "none"};
        return 0;
    }
    if (cgroup_detect(&c->host, err) < 0)
        return -(int)err->kind;
    c->host.stay = true; /* do not move processes of the shell's session */
    return 0;
}

static void log_line(const struct limpet *c, const char *level, const char *text)
{
    FILE *f = c->log ? fopen(strncmp(c->log, "file:", 5) == 0 ? c->log + 5 : c->log, "ae") : NULL;
    char now[32];

    if (f && c->log_json) {
        struct cJSON *o = json_obj();
        AUTO_MEM char *line = NULL;
        json_put_str(o, "level", level);
        json_put_str(o, "msg", text);
        json_put_str(o, "time", clock_rfc3339(clock_wall_s(), now, sizeof(now)));
        line = json_print(o, false);
        (void)json_free(o);
        (void)fprintf(f, "%s\n", line);
    } else if (f)
        (void)fprintf(f, "%s: %s\n", level, text);
    if (f)
        (void)fclose(f);
}

void limpet_warn(const struct limpet *c, const char *text)
{
    log_line(c, "warning", text);
    if (!c->log)
        (void)fprintf(stderr, "limpet: %s\n", text);
}

/* Is its value the next argument? */
static bool takes_next(const char *arg)
{
    const struct option *o = find_option(arg, strlen(arg));

    return o && has_value(o);
}

/* A closed descriptor below 3 would be reused for one of ours, and then passed to the container. */
static void fill_stdio(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!openat(AT_FDCWD, "/dev/null", O_RDWR);
}

/* Where records are unless --root is given: for a plain user its own run directory. */
static int find_root(struct limpet *c, struct err *err)
{
    static char own[LIM_PATH_BYTES];
    const char *run = getenv("XDG_RUNTIME_DIR");

    if (c->root)
        return 0;
    c->root = "/run/limpet";
    if (geteuid() == 0)
        return 0;
    if (!run || run[0] != '/')
        return err_set(
            err, ERR_INVALID,
            "no place for the records of a plain user's containers: set XDG_RUNTIME_DIR, or use --root DIR");
    if (!str_fmt(own, sizeof(own), "%s/limpet", run))
        return err_set(err, ERR_INVALID, "XDG_RUNTIME_DIR: too long; use --root DIR");
    c->root = own;
    return 0;
}

int main(int argc, char **argv)
{
    static struct limpet c; /* zeroed pages cost nothing until used */
    const struct verb *verb = NULL;
    struct err err = ERR_INIT;
    int rc;

    fill_stdio();
    c.bundle = ".";
    c.config = "config.json";
    for (int i = 1; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-v") == 0)
            return fputs(VERSION_TEXT, stdout) < 0;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return usage(stdout), 0;
        i += takes_next(argv[i]);
    }
    rc = parse(&c, argc, argv, &verb, &err);
    if (rc == 0 && verb->fn != limpet_spec && verb->fn != limpet_features)
        rc = find_root(&c, &err);
    if (rc == 0 && (verb->fn == limpet_run || verb->fn == limpet_create || verb->fn == limpet_exec))
        exe_guard_self(argv);
    if (rc == 0)
        rc = verb->blind ? 0 : find_groups(&c, &err);
    if (rc == 0)
        rc = verb->fn(&c, &err);
    if (rc >= 0)
        return rc;
    log_line(&c, "error", err.msg);
    (void)fprintf(stderr, "limpet: %s\n", err.msg);
    return err.kind == ERR_NOTFOUND && verb && (verb->fn == limpet_exec || verb->fn == limpet_run) ? 127 : 1;
}
