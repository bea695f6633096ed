/* ns_why.c - see ns_why.h. */
#include "runtime/box/ns_why.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/fs.h"
#include "runtime/spec/ns_kinds.h"

static const char *why_denied(enum spec_ns_kind kind, const struct ns_facts *f)
{
    if (kind != SPEC_NS_USER)
        return "needs root, or a user namespace as well";
    if (f->unprivileged == 0)
        return "sysctl kernel.unprivileged_userns_clone is 0: set it to 1";
    if (f->apparmor_restrict > 0)
        return "sysctl kernel.apparmor_restrict_unprivileged_userns is 1: set it to 0, or give limpet an "
               "AppArmor profile with userns";
    return "a chroot, a seccomp filter or a security module around this program forbids it";
}

int ns_why_text(enum spec_ns_kind kind, int error, const struct ns_facts *f, struct err *err)
{
    const char *name = ns_kinds[kind].name, *sysctl = ns_kinds[kind].file;

    switch (error) {
    case EINVAL:
        return err_set(err, ERR_UNSUPPORTED, "linux.namespaces: %s: the kernel is built without CONFIG_%s",
                       name, ns_kinds[kind].option);
    case ENOSPC:
    case EUSERS: /* before 4.9 */
        if (f->limit == 0)
            return err_set(
                err, ERR_UNSUPPORTED,
                "linux.namespaces: %s: switched off, sysctl user.max_%s_namespaces is 0: set it higher", name,
                sysctl);
        return err_set(err, ERR_NOMEM,
                       "linux.namespaces: %s: too many, or nested too deep: raise sysctl "
                       "user.max_%s_namespaces, here or in the user namespaces around",
                       name, sysctl);
    case EPERM:
    case EACCES:
        return err_set(err, ERR_DENIED, "linux.namespaces: %s: %s: %s", name, strerror(error),
                       why_denied(kind, f));
    default:
        return err_errno(err, error, "linux.namespaces: %s", name);
    }
}

static int64_t read_sysctl(const char *path)
{
    char text[32];
    uint64_t n;

    if (fs_read_text(AT_FDCWD, path, text, sizeof(text), NULL) < 0)
        return -1;
    text[strcspn(text, "\n")] = '\0';
    return str_u64(text, 0, INT32_MAX, &n) ? (int64_t)n : -1;
}

int ns_why_kind(enum spec_ns_kind kind, int error, struct err *err)
{
    char path[64];
    struct ns_facts f = {
        .unprivileged = geteuid() == 0 ? -1 : read_sysctl("/proc/sys/kernel/unprivileged_userns_clone"),
        .apparmor_restrict = read_sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")};

    (void)snprintf(path, sizeof(path), "/proc/sys/user/max_%s_namespaces", ns_kinds[kind].file);
    f.limit = read_sysctl(path);
    return ns_why_text(kind, error, &f, err);
}

/* unshare(2)'s errno for these flags, in a child. 0: permitted. */
static int try(int flags)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(unshare(flags) == 0 ? 0 : errno);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

int ns_why(uint64_t flags, int error, struct err *err)
{
    int user = (int)(flags & CLONE_NEWUSER); /* owns the others: its permissions apply */

    for (int i = 0; i < SPEC_NS_COUNT_; i++) {
        enum spec_ns_kind kind = (enum spec_ns_kind)i;
        int flag = ns_kinds[kind].flag, said = flags & (uint64_t)flag ? try(flag | user) : 0;
        if (said != 0)
            return ns_why_kind(kind, said, err);
    }
    return err_errno(err, error, "linux.namespaces: make them");
}
