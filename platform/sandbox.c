#include "platform/sandbox_int.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "platform/mem.h"
#include "platform/sys.h"

/* From newer kernels than these headers. */
#define LL_REFER     (1ULL << 13) /* ABI 2 */
#define LL_TRUNCATE  (1ULL << 14) /* 3 */
#define LL_IOCTL_DEV (1ULL << 15) /* 5 */
#define LL_BIND_TCP  (1ULL << 0)  /* 4: network */
#define LL_ABSTRACT  (1ULL << 0)  /* 6: scope */
#define LL_SIGNAL    (1ULL << 1)
#define LL_VERSION   (1U << 0)

#define NOBODY      65534
#define THREADS_MAX 64 /* of all our sandboxed processes together: a resolver needs one or two */

#define LL_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LL_WRITE                                                                                      \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |       \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_SYM)
/* files below the directory may be read; a rule for a plain file may only name file rights */
#define LL_FILE_ONLY (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

static int allow_paths(int ruleset, const char *const *paths, uint64_t access)
{
    for (; paths && *paths; paths++) {
        AUTO_FD int fd = open(*paths, O_PATH | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
            continue; /* a missing path needs no rule */
        if (sys_landlock_add_path(ruleset, fd, S_ISDIR(st.st_mode) ? access : access & LL_FILE_ONLY) < 0)
            return -1;
    }
    return 0;
}

/* Restrict what this kernel knows. A newer right that is not listed stays allowed. */
static int restrict_files(const struct sandbox *s)
{
    struct { /* struct landlock_ruleset_attr, as of ABI 6 */
        uint64_t files, network, scopes;
    } attr = {LANDLOCK_ACCESS_FS_EXECUTE | LL_READ | LL_WRITE, 0, 0};
    int abi = sys_landlock_create_ruleset(NULL, 0, LL_VERSION);
    uint64_t write = LL_READ | LL_WRITE | (abi >= 3 ? LL_TRUNCATE : 0);

    if (abi < 1)
        return -1;
    attr.files |= (abi >= 2 ? LL_REFER : 0) | (abi >= 3 ? LL_TRUNCATE : 0) | (abi >= 5 ? LL_IOCTL_DEV : 0);
    attr.network = abi >= 4 ? LL_BIND_TCP : 0;
    attr.scopes = abi >= 6 ? LL_ABSTRACT | LL_SIGNAL : 0;
    AUTO_FD int ruleset = sys_landlock_create_ruleset(&attr, abi >= 6 ? 24 : abi >= 4 ? 16 : 8, 0);
    if (ruleset < 0)
        return -1;
    if (allow_paths(ruleset, s->read_paths, LL_READ | LANDLOCK_ACCESS_FS_EXECUTE) < 0 ||
        allow_paths(ruleset, s->write_paths, write) < 0)
        return -1;
    return sys_landlock_restrict_self(ruleset);
}

static int limit(int resource, uint64_t value, struct err *err)
{
    struct rlimit r = {(rlim_t)value, (rlim_t)value}, now;

    if (getrlimit(resource, &now) == 0 && now.rlim_max < r.rlim_max)
        r.rlim_cur = r.rlim_max = now.rlim_max;
    return setrlimit(resource, &r) < 0 ? err_errno(err, errno, "sandbox: rlimit %d", resource) : 0;
}

static int drop_ids(const struct sandbox *s, struct err *err)
{
    if (s->uid == 0 || geteuid() != 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
        setresuid(s->uid, s->uid, s->uid) < 0)
        return err_errno(err, errno, "sandbox: become user %u", (unsigned)s->uid);
    return 0;
}

int sandbox_enter(const struct sandbox *s, char *ret_missing, size_t size, struct err *err)
{
    bool landlock, seccomp;
    int rc = limit(RLIMIT_CORE, 0, err);

    if (rc == 0 && s->data_bytes)
        rc = limit(RLIMIT_DATA, s->data_bytes, err);
    if (rc == 0 && s->file_bytes != UINT64_MAX)
        rc = limit(RLIMIT_FSIZE, s->file_bytes, err);
    if (rc == 0 && s->open_files)
        rc = limit(RLIMIT_NOFILE, s->open_files, err);
    if (rc == 0 && s->uid != 0 &&
        s->uid != NOBODY) /* only for a user of our own; others' processes would count */
        rc = limit(RLIMIT_NPROC, THREADS_MAX, err);
    if (rc == 0)
        rc = drop_ids(s, err);
    if (rc < 0)
        return rc;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(err, errno, "sandbox: no_new_privs");
    (void)prctl(PR_SET_DUMPABLE, 0);
    landlock = restrict_files(s) == 0;
    seccomp = sandbox_filter(s->network) == 0;
    (void)str_fmt(ret_missing, size, "%s%s", landlock ? "" : "landlock ", seccomp ? "" : "seccomp ");
    return 0;
}
