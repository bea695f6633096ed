/* limpet_info.c - state, list, kill, delete. See limpet_int.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "platform/fs.h"
#include "runtime/box/hooks.h"
#include "runtime/limpet/limpet_int.h"
#include "runtime/limpet/regex.h"

static struct cJSON *describe(int dir, const struct limpet_state *s)
{
    const char *status = limpet_status(dir, s);
    bool stopped = strcmp(status, "stopped") == 0;
    struct hooks_state hs = {.id = s->id.id,
                             .status = status,
                             .bundle = s->bundle,
                             .annotations = s->annotations,
                             .pid = stopped ? 0 : s->id.pid};
    struct cJSON *o = hooks_state_json(&hs);

    if (stopped)
        json_put_u64(o, "pid", 0);
    json_put_str(o, "rootfs", s->rootfs);
    json_put_str(o, "created", s->created);
    if (s->id.host_ip[0])
        json_put_str(o, "ip", s->id.host_ip);
    return o;
}

int limpet_print(struct cJSON *take)
{
    AUTO_MEM char *text = json_print(take, true);

    (void)json_free(take);
    return puts(text) < 0;
}

int limpet_state_verb(struct limpet *c, struct err *err)
{
    AUTO_FD int dir = -1;
    struct limpet_state s;
    int rc = limpet_load(c, &s, err);

    if (rc < 0)
        return rc;
    if ((rc = limpet_dir(c, false, &dir, err)) == 0)
        rc = limpet_print(describe(dir, &s));
    limpet_state_done(&s);
    return rc;
}

static void owner_name(uint32_t uid, char *dst, size_t size)
{
    if (uid == 0)
        (void)snprintf(dst, size, "root");
    else
        (void)snprintf(dst, size, "%u", uid);
}

static void list_one(const struct limpet *c, int dir, const struct limpet_state *s, struct cJSON *all)
{
    char owner[16];

    owner_name(s->owner, owner, sizeof(owner));
    if (all) {
        struct cJSON *o = json_push(all, describe(dir, s));
        json_put_str(o, "owner", owner);
    } else if (c->quiet)
        (void)printf("%s\n", s->id.id);
    else
        (void)printf("%-24s %-8d %-8s %-24s %-20s %s\n", s->id.id, box_is_alive(&s->id) ? (int)s->id.pid : 0,
                     limpet_status(dir, s), s->bundle, s->created, owner);
}

int limpet_list(struct limpet *c, struct err *err)
{
    bool json = c->format && strcmp(c->format, "json") == 0;
    struct cJSON *all = json ? json_arr() : NULL;
    DIR *d;

    if (c->format && !json && strcmp(c->format, "table") != 0)
        return err_set(err, ERR_INVALID, "--format %s: neither table nor json", c->format);
    d = opendir(c->root);
    if (!json && !c->quiet)
        (void)printf("%-24s %-8s %-8s %-24s %-20s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER");
    for (struct dirent *e; d && (e = readdir(d));) {
        AUTO_FD int dir = -1;
        struct limpet_state s;
        c->id = e->d_name;
        if (e->d_name[0] == '.' || limpet_load(c, &s, NULL) < 0)
            continue;
        if (limpet_dir(c, false, &dir, NULL) == 0)
            list_one(c, dir, &s, all);
        limpet_state_done(&s);
    }
    if (d)
        (void)closedir(d);
    return json ? limpet_print(all) : 0;
}

static const char *const signal_names[] = {
    [SIGHUP] = "HUP",   [SIGINT] = "INT",     [SIGQUIT] = "QUIT", [SIGILL] = "ILL",   [SIGTRAP] = "TRAP",
    [SIGABRT] = "ABRT", [SIGBUS] = "BUS",     [SIGFPE] = "FPE",   [SIGKILL] = "KILL", [SIGUSR1] = "USR1",
    [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",   [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [SIGTERM] = "TERM",
    [SIGCHLD] = "CHLD", [SIGCONT] = "CONT",   [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP", [SIGTTIN] = "TTIN",
    [SIGTTOU] = "TTOU", [SIGWINCH] = "WINCH", [SIGIO] = "IO",     [SIGPWR] = "PWR",   [SIGSYS] = "SYS"};

static int parse_signal(const char *text, struct err *err)
{
    uint64_t n;

    if (str_u64(text, 1, 64, &n))
        return (int)n;
    if (strncmp(text, "SIG", 3) == 0)
        text += 3;
    for (int sig = 1; sig < (int)COUNT_OF(signal_names); sig++)
        if (signal_names[sig] && strcmp(signal_names[sig], text) == 0)
            return sig;
    return err_set(err, ERR_INVALID, "unknown signal %.20s", text);
}

/* All its processes, not only the first: there may be others if it has no pid namespace of its own. */
static int signal_all(const struct limpet *c, const struct box_id *b, int sig, struct err *err)
{
    struct cgroup *g = NULL;
    pid_t pids[4096];
    int rc, n;

    if (sig == SIGKILL)
        return box_kill(&c->host, b, err);
    if ((rc = cgroup_open(&c->host, b->cgroup_path, &g, err)) < 0)
        return rc;
    n = cgroup_pids(g, pids, COUNT_OF(pids));
    for (int i = 0; i < n && i < (int)COUNT_OF(pids); i++)
        (void)kill(pids[i], sig);
    (void)cgroup_free(g);
    return 0;
}

int limpet_kill(struct limpet *c, struct err *err)
{
    struct limpet_state s;
    int sig = parse_signal(c->n_args > 0 ? c->args[0] : "TERM", err), r;

    if (sig < 0)
        return sig;
    if ((r = limpet_load(c, &s, err)) < 0)
        return r;
    if (c->all)
        r = signal_all(c, &s.id, sig, err);
    else if (!box_is_alive(&s.id))
        r = err_set(err, ERR_CONFLICT, "container `%s` is not running", c->id);
    else
        r = box_signal(&s.id, -1, sig, err);
    limpet_state_done(&s);
    return r;
}

static int delete_one(struct limpet *c, struct err *err)
{
    AUTO_FD int dir = -1;
    struct limpet_state s;
    int rc = limpet_load(c, &s, err);

    if (rc == -ERR_NOTFOUND && c->force)
        return 0;
    if (rc < 0)
        return rc;
    if ((rc = limpet_dir(c, false, &dir, err)) == 0) /* if never started, no force is needed */
        rc = limpet_forget(c, &s, c->force || strcmp(limpet_status(dir, &s), "created") == 0, err);
    limpet_state_done(&s);
    return rc;
}

/* All whose id matches the expression; the first failure is reported, the others are deleted nevertheless. */
static int delete_matching(struct limpet *c, struct err *err)
{
    DIR *d = opendir(c->root);
    struct regex m;
    int rc = regex_compile(&m, c->id, err);

    if (rc < 0) {
        if (d)
            (void)closedir(d);
        return err_wrap(err, "--regex");
    }
    for (struct dirent *e; d && (e = readdir(d));) {
        c->id = e->d_name;
        if (e->d_name[0] != '.' && regex_text(&m, e->d_name)) {
            int one = delete_one(c, rc == 0 ? err : NULL);
            rc = rc == 0 ? one : rc;
        }
    }
    if (d)
        (void)closedir(d);
    return rc;
}

int limpet_delete(struct limpet *c, struct err *err)
{
    return c->regex ? delete_matching(c, err) : delete_one(c, err);
}
