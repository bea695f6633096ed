/* ns_why: what a person is told when the kernel refuses a namespace. Pure: the real refusals are in
 * sys.runtime_ns. */
#include "runtime/box/ns_why.h"

#include <errno.h>
#include <sched.h>

#include "check.h"

static struct err err;

TEST(each_refusal_names_the_kind_and_what_helps)
{
    static const struct {
        enum spec_ns_kind kind;
        int error;
        struct ns_facts f;
        enum err_kind want;
        const char *part[2];
    } rows[] = {
        {SPEC_NS_USER,
         ENOSPC,
         {0, -1, -1},
         ERR_UNSUPPORTED,
         {"user: switched off", "user.max_user_namespaces is 0"}},
        {SPEC_NS_NET, ENOSPC, {0, -1, -1}, ERR_UNSUPPORTED, {"network:", "user.max_net_namespaces is 0"}},
        {SPEC_NS_MOUNT, ENOSPC, {0, -1, -1}, ERR_UNSUPPORTED, {"mount:", "user.max_mnt_namespaces"}},
        {SPEC_NS_PID, ENOSPC, {100, -1, -1}, ERR_NOMEM, {"pid: too many", "user.max_pid_namespaces"}},
        {SPEC_NS_USER, EUSERS, {-1, -1, -1}, ERR_NOMEM, {"nested too deep", "user.max_user_namespaces"}},
        {SPEC_NS_TIME, EINVAL, {-1, -1, -1}, ERR_UNSUPPORTED, {"time:", "CONFIG_TIME_NS"}},
        {SPEC_NS_USER, EINVAL, {-1, -1, -1}, ERR_UNSUPPORTED, {"user:", "CONFIG_USER_NS"}},
        {SPEC_NS_USER, EPERM, {9, 0, -1}, ERR_DENIED, {"user:", "kernel.unprivileged_userns_clone is 0"}},
        {SPEC_NS_USER,
         EACCES,
         {9, 1, 1},
         ERR_DENIED,
         {"user:", "apparmor_restrict_unprivileged_userns is 1"}},
        {SPEC_NS_USER, EPERM, {9, 1, 0}, ERR_DENIED, {"user:", "seccomp filter"}},
        {SPEC_NS_UTS, EPERM, {9, 1, 0}, ERR_DENIED, {"uts:", "needs root"}},
        {SPEC_NS_IPC, ENOMEM, {9, 1, 0}, ERR_NOMEM, {"ipc", "memory"}},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        err = ERR_INIT;
        CHECK_ERR(ns_why_text(rows[i].kind, rows[i].error, &rows[i].f, &err), rows[i].want, err);
        CHECK(strncmp(err.msg, "linux.namespaces: ", 18) == 0);
        CHECK_MSG(err, rows[i].part[0]);
        CHECK_MSG(err, rows[i].part[1]);
    }
}

TEST(what_fails_together_and_not_alone_is_told_as_it_came)
{
    CHECK_ERR(ns_why(0, ENOMEM, &err), ERR_NOMEM, err);
    CHECK_MSG(err, "linux.namespaces: make them: ");
}

TEST_MAIN
