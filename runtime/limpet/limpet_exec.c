/* limpet_exec.c - an additional process in a container. See limpet_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "platform/fs.h"
#include "runtime/limpet/limpet_int.h"

/* "UID[:GID]", numbers only: names would have to be read from the image. */
static int parse_user(const char *text, struct spec_process *p, struct err *err)
{
    char first[16];
    const char *colon = strchr(text, ':');
    uint64_t u, g = 0;

    if (!str_fmt(first, sizeof(first), "%.*s", (int)(colon ? (size_t)(colon - text) : strlen(text)), text) ||
        !str_u64(first, 0, UINT32_MAX - 1, &u) || (colon && !str_u64(colon + 1, 0, UINT32_MAX - 1, &g)))
        return err_set(err, ERR_INVALID, "--user %s: not UID[:GID] in numbers", text);
    p->uid = (uint32_t)u;
    p->gid = (uint32_t)g;
    p->n_groups = 0;
    return 0;
}

static int add_groups(const struct limpet *c, struct spec_process *p, struct err *err)
{
    for (unsigned i = 0; i < c->n_groups; i++) {
        uint64_t g;
        if (!str_u64(c->groups[i], 0, UINT32_MAX - 1, &g) || p->n_groups == COUNT_OF(p->groups))
            return err_set(err, ERR_INVALID, "--additional-gids %s: not a number, or too many", c->groups[i]);
        p->groups[p->n_groups++] = (uint32_t)g;
    }
    return 0;
}

static int add_caps(const struct limpet *c, struct spec_process *p, struct err *err)
{
    for (unsigned i = 0; i < c->n_caps; i++) {
        unsigned cap;
        if (!spec_cap_by_name(c->caps[i], &cap))
            return err_set(err, ERR_INVALID, "--cap %s: no such capability", c->caps[i]);
        p->caps.bounding |= 1ULL << cap;
        p->caps.effective |= 1ULL << cap;
        p->caps.permitted |= 1ULL << cap;
    }
    return 0;
}

/* The container's own variables, overridden by new ones of the same name. */
static const char *const *join_env(struct arena *arena, const char *const *base, const char *const *more,
                                   unsigned n_more)
{
    unsigned n = 0, at = 0;
    const char **list;

    while (base && base[n])
        n++;
    list = arena_get(arena, (n + n_more + 1) * sizeof(*list));
    for (unsigned i = 0; list && i < n; i++) {
        size_t len = strcspn(base[i], "=");
        bool replaced = false;
        for (unsigned k = 0; k < n_more && !replaced; k++)
            replaced = strncmp(more[k], base[i], len) == 0 && more[k][len] == '=';
        if (!replaced)
            list[at++] = base[i];
    }
    for (unsigned k = 0; list && k < n_more; k++)
        list[at++] = more[k];
    return list;
}

/* --process FILE replaces everything; without it the container's own process, modified by the options. */
static int fill(const struct limpet *c, struct limpet_bundle *b, struct spec_process *p, struct err *err)
{
    AUTO_MEM uint8_t *text = NULL;
    size_t len;
    int rc;

    if (c->process) {
        struct spec_process bare = {.umask = 022, .cwd = "/", .seccomp = p->seccomp};
        if ((rc = fs_read(AT_FDCWD, c->process, LIM_CONFIG_BYTES, &text, &len, err)) < 0 ||
            (rc = spec_process_from_oci(buf_of(text, len), b->arena, &bare, err)) < 0)
            return rc;
        *p = bare;
        p->terminal = p->terminal || c->tty;
        return 0;
    }
    if (c->n_args < 1)
        return err_set(err, ERR_INVALID, "exec needs a program, or --process FILE");
    p->args = (const char *const *)c->args;
    p->env = join_env(b->arena, p->env, c->env, c->n_env);
    p->cwd = c->cwd ? c->cwd : p->cwd;
    p->terminal = c->tty;
    p->no_new_privs = p->no_new_privs || c->no_new_privs;
    p->apparmor = c->apparmor ? c->apparmor : p->apparmor;
    p->selinux = c->label ? c->label : p->selinux;
    if (c->user && (rc = parse_user(c->user, p, err)) < 0)
        return rc;
    return (rc = add_groups(c, p, err)) < 0 ? rc : add_caps(c, p, err);
}

static int start(const struct limpet *c, const struct limpet_state *s, const struct spec_process *p,
                 struct limpet_tty *tty, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
    AUTO_FD int console = -1;
    struct box_exec x = {.process = p,
                         .stdin_fd = 0,
                         .stdout_fd = 1,
                         .stderr_fd = 2,
                         .preserve_fds = c->preserve_fds,
                         .sub_cgroup = c->sub_cgroup};
    int rc = 0;

    if (p->terminal && c->console_socket)
        rc = limpet_connect(c->console_socket, "--console-socket", &console, err);
    else if (p->terminal && c->detach)
        rc = err_set(err, ERR_INVALID, "exec: a terminal without a foreground needs --console-socket");
    else if (p->terminal && (rc = limpet_tty_open(tty, err)) == 0)
        console = fcntl(tty->pair[1], F_DUPFD_CLOEXEC, 3);
    if (rc < 0)
        return rc;
    x.console_fd = console;
    rc = box_exec_start(&c->host, &s->id, &x, ret_pid, ret_pidfd, err);
    return rc < 0 ? rc : limpet_write_pid(c, *ret_pid, err);
}

static int exec_in(struct limpet *c, const struct limpet_state *s, int dir, struct err *err)
{
    struct limpet_tty tty = {{-1, -1}};
    struct limpet_bundle *b = mem_need_zero(sizeof(*b));
    int pidfd = -1, rc = limpet_bundle_read(c, dir, "config.json", b, err);
    pid_t pid = 0;
    sigset_t all;

    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL); /* a signal that arrives before we wait must not be lost */
    if (rc == 0 && (rc = fill(c, b, &b->spec.process, err)) == 0)
        rc = start(c, s, &b->spec.process, &tty, &pid, &pidfd, err);
    limpet_bundle_done(b);
    free(b);
    if (rc == 0 && !c->detach)
        rc = tty.pair[0] >= 0 ? limpet_tty_run(&tty, pid, pidfd, err) : limpet_wait(NULL, pid, pidfd);
    limpet_tty_close(&tty);
    return rc;
}

int limpet_exec(struct limpet *c, struct err *err)
{
    AUTO_FD int dir = -1;
    struct limpet_state s;
    int rc = limpet_load(c, &s, err);

    if (rc < 0)
        return rc;
    if (!box_is_alive(&s.id))
        rc = err_set(err, ERR_CONFLICT, "cannot exec in a stopped container: `%s` does not run", c->id);
    else if (!c->ignore_paused && s.freezer[0] && cgroup_file_is_frozen(s.freezer))
        rc = err_set(err, ERR_CONFLICT,
                     "cannot exec in a paused container: `%s` (--ignore-paused waits for resume)", c->id);
    else if ((rc = limpet_dir(c, false, &dir, err)) == 0)
        rc = exec_in(c, &s, dir, err);
    limpet_state_done(&s);
    return rc;
}
