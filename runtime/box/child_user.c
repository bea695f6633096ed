/* child_user.c - the last steps before exec, shared by a box's first process and by exec: drop privileges,
 * start the program. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/json.h"
#include "platform/sys.h"
#include "runtime/box/child.h"
#include "runtime/box/hooks.h"

/* Raw calls: libc's apply them to all threads, of which we have one, at the cost of three more calls each.
 * 32-bit ARM keeps the old ones with 16-bit ids under the plain names. */
#ifdef SYS_setresuid32
#define SET_GROUPS SYS_setgroups32
#define SET_GID    SYS_setresgid32
#define SET_UID    SYS_setresuid32
#else
#define SET_GROUPS SYS_setgroups
#define SET_GID    SYS_setresgid
#define SET_UID    SYS_setresuid
#endif
#define CAP_COUNT    64 /* more than any kernel has; beyond its own the kernel returns EINVAL */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int child_be_root(struct err *err)
{
    if (syscall(SET_GROUPS, 0, NULL) != 0 &&
        errno != EPERM) /* EPERM: setgroups is denied there, groups are kept */
        return err_errno(err, errno, "groups of the user namespace");
    if (syscall(SET_GID, 0, 0, 0) != 0 || syscall(SET_UID, 0, 0, 0) != 0)
        return err_errno(err, errno, "user namespace");
    return 0;
}

int child_op_bound(struct child *c, const struct op *op, struct err *err)
{
    uint64_t keep = c->spec->process.caps.bounding;

    (void)op;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
        return err_errno(err, errno, "ambient");
    for (unsigned cap = 0; cap < CAP_COUNT; cap++) {
        if (keep >> cap & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            return 0;
        return err_errno(err, errno, "capability %u", cap);
    }
    return 0;
}

/* Only what both we and the container may have: what our own set lacks cannot be granted. */
static int set_caps(const struct spec_caps *caps, struct err *err)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};

    if (syscall(SYS_capget, &head, data) != 0)
        return err_errno(err, errno, "capget");
    for (int i = 0; i < 2; i++) {
        data[i].inheritable =
            data[i].permitted & (uint32_t)((caps->inheritable & caps->bounding) >> (32 * i));
        data[i].permitted &= (uint32_t)(caps->permitted >> (32 * i));
        data[i].effective = data[i].permitted & (uint32_t)(caps->effective >> (32 * i));
    }
    if (syscall(SYS_capset, &head, data) != 0)
        return err_errno(err, errno, "capset");
    for (unsigned cap = 0; caps->ambient >> cap;
         cap++) /* must be permitted and inheritable: others are skipped */
        if (caps->ambient >> cap & 1)
            (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    return 0;
}

int child_op_user(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_process *p = &c->spec->process;
    gid_t list[SPEC_GROUPS];
    const struct spec_caps *caps = &p->caps;

    (void)op;
    for (unsigned i = 0; i < p->n_groups; i++)
        list[i] = p->groups[i];
    if ((caps->permitted | caps->ambient) != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return err_errno(err, errno, "keep capabilities");
    if (syscall(SET_GROUPS, p->n_groups, list) != 0 && (errno != EPERM || p->n_groups > 0))
        return err_errno(err, errno, "setgroups");
    if (syscall(SET_GID, p->gid, p->gid, p->gid) != 0 || syscall(SET_UID, p->uid, p->uid, p->uid) != 0)
        return err_errno(err, errno, "user %u:%u", p->uid, p->gid);
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        return err_errno(err, errno, "prctl");
    return set_caps(caps, err);
}

/* Send the notification descriptor to the agent with the container's state (config-linux.md, "The Container
 * Process State"). */
static int send_listener(struct child *c, int fd, struct err *err)
{
    struct hooks_state hs = {.id = c->spec->id, .status = "creating", .bundle = c->bundle, .pid = c->go.pid};
    struct cJSON *o = json_obj(), *fds = json_put(o, "fds", json_arr());
    AUTO_MEM char *text = NULL;
    int rc;

    json_put_str(o, "ociVersion", SPEC_OCI_VERSION);
    json_push_str(fds, "seccompFd");
    json_put_u64(o, "pid", (uint64_t)c->go.pid);
    if (c->filter.listener_metadata)
        json_put_str(o, "metadata", c->filter.listener_metadata);
    (void)json_put(o, "state", hooks_state_json(&hs));
    text = json_print(o, false);
    (void)json_free(o);
    rc = sys_send_fd(c->listener_fd, fd, text, strlen(text));
    (void)close(fd);
    return rc == 0 ? 0 : err_errno(err, errno, "linux.seccomp.listenerPath %s", c->filter.listener);
}

int child_op_seccomp(struct child *c, const struct op *op, struct err *err)
{
    struct sock_fprog prog = {c->filter.n, (struct sock_filter *)(uintptr_t)c->filter.code};
    unsigned flags = c->filter.flags | (c->listener_fd >= 0 ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0);
    long r;

    (void)op;
    if (!c->filter.code)
        return 0;
    if (flags == 0) /* the older call, since 3.5 */
        r = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
    else
        r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (r < 0)
        return err_errno(err, errno, "seccomp");
    return c->listener_fd >= 0 ? send_listener(c, (int)r, err) : 0;
}

int child_chdir(const char *cwd, struct err *err)
{
    char now[LIM_PATH_BYTES + 1];

    if (chdir(cwd) != 0)
        return err_errno(err, errno, "process.cwd %s", cwd);
    /* a directory outside the root (a leaked descriptor) shows as "(unreachable)..." */
    if (syscall(SYS_getcwd, now, sizeof(now)) < 0 || now[0] != '/')
        return err_set(err, ERR_DENIED, "process.cwd %s lies outside of the container", cwd);
    return 0;
}

static const char *path_of(const char *const *env)
{
    for (; env && *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return DEFAULT_PATH;
}

static bool is_program(const char *path, bool *ret_denied)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return false;
    if (S_ISREG(st.st_mode) && access(path, X_OK) == 0)
        return true;
    *ret_denied = true;
    return false;
}

/* As execvp would find it, with PATH from env. */
static int find_program(const char *name, const char *const *env, char *dst, size_t size, struct err *err)
{
    bool denied = false;

    if (strchr(name, '/')) {
        if (str_copy(dst, size, name) && is_program(dst, &denied))
            return 0;
        if (!denied)
            return err_set(err, ERR_NOTFOUND, "executable file `%s`: No such file or directory", name);
    } else {
        for (const char *at = path_of(env); *name && *at;) {
            size_t n = strcspn(at, ":");
            if (str_fmt(dst, size, "%.*s/%s", (int)n, at, name) && n > 0 && is_program(dst, &denied))
                return 0;
            at += n;
            at += *at == ':';
        }
    }
    if (denied)
        return err_set(err, ERR_DENIED, "executable file `%s`: Permission denied", name);
    return err_set(err, ERR_NOTFOUND, "executable file `%s` not found in $PATH: No such file or directory",
                   name);
}

int child_op_program(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_process *p = &c->spec->process;

    (void)op;
    return find_program(p->args[0], p->env, c->program, sizeof(c->program), err);
}

/* The label for the next exec. If the kernel has several security modules, each has its own directory. */
int child_op_label(struct child *c, const struct op *op, struct err *err)
{
    const struct spec_process *p = &c->spec->process;
    char text[LIM_PATH_BYTES + 8];

    (void)op;
    if (p->selinux && fs_write_text(c->proc_fd, "thread-self/attr/exec", p->selinux, err) < 0)
        return err_wrap(err, "process.selinuxLabel %s (is SELinux on?)", p->selinux);
    if (!p->apparmor)
        return 0;
    (void)snprintf(text, sizeof(text), "exec %s", p->apparmor);
    if (fs_write_text(c->proc_fd, "thread-self/attr/apparmor/exec", text, NULL) < 0 &&
        fs_write_text(c->proc_fd, "thread-self/attr/exec", text, err) < 0)
        return err_wrap(err, "process.apparmorProfile %s (is AppArmor on, the profile loaded?)", p->apparmor);
    return 0;
}
