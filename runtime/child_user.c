/* child_user.c - the last steps before exec, shared by a box's first process and by exec: privileges go, the
 * program comes. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/child.h"

#define CAP_COUNT    64 /* more than any kernel has; the kernel says EINVAL at its end */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int child_drop_bounding(uint64_t caps, struct err *err)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
        return err_errno(err, errno, "ambient");
    for (unsigned cap = 0; cap < CAP_COUNT; cap++) {
        if (caps >> cap & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            return 0;
        return err_errno(err, errno, "capability %u", cap);
    }
    return 0;
}

/* Only what both we and the container may have: what our own set lacks cannot be given. */
static int set_caps(uint64_t caps, struct err *err)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};

    if (syscall(SYS_capget, &head, data) != 0)
        return err_errno(err, errno, "capget");
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(caps >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) == 0 ? 0 : err_errno(err, errno, "capset");
}

int child_set_user(uint32_t uid, uint32_t gid, const uint32_t *groups, unsigned n_groups, uint64_t caps,
                   struct err *err)
{
    gid_t list[16];

    for (unsigned i = 0; i < n_groups && i < COUNT_OF(list); i++)
        list[i] = groups[i];
    if (caps != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return err_errno(err, errno, "keep capabilities");
    if (setgroups(n_groups, list) != 0)
        return err_errno(err, errno, "setgroups");
    if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return err_errno(err, errno, "user %u:%u", uid, gid);
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        return err_errno(err, errno, "prctl");
    return set_caps(caps, err);
}

int child_no_new_privs(struct err *err)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : err_errno(err, errno, "prctl");
}

int child_filter(const struct sock_filter *filter, unsigned short n, struct err *err)
{
    struct sock_fprog prog = {n, (struct sock_filter *)(uintptr_t)filter};

    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0 ? 0 : err_errno(err, errno, "seccomp");
}

int child_chdir(const char *cwd, struct err *err)
{
    char now[LIM_PATH_BYTES + 1];

    if (chdir(cwd) != 0)
        return err_errno(err, errno, "%s", cwd);
    /* a folder outside of the root (a descriptor that leaked) shows as "(unreachable)..." */
    if (syscall(SYS_getcwd, now, sizeof now) < 0 || now[0] != '/')
        return err_set(err, ERR_DENIED, "%s lies outside of the container", cwd);
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

int child_find_program(const char *name, const char *const *env, char *dst, size_t size, struct err *err)
{
    bool denied = false;

    if (strchr(name, '/')) {
        if (str_copy(dst, size, name) && is_program(dst, &denied))
            return 0;
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
        return err_set(err, ERR_DENIED, "executable file `%s` is not executable", name);
    return err_set(err, ERR_NOTFOUND, "executable file `%s` not found in $PATH: No such file or directory",
                   name);
}
