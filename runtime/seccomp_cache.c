/* seccomp_cache.c - see seccomp_cache.h. */
#include "runtime/seccomp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "platform/fs.h"
#include "platform/limits.h"
#include "platform/sys.h"
#include "runtime/ours.h"

#define PROGRAM      "limpet-seccomp"
#define FILTER_BYTES (BPF_MAXINSNS * sizeof(struct sock_filter))

/* A file of the cache: this, the filter, the text. It never leaves the machine, so it is in the machine's own form. */
struct head {
    char magic[24]; /* of this version of ours: another may compile otherwise */
    uint32_t n, text_bytes;
};
#define MAGIC "limpet seccomp " LIMPET_VERSION

static void head_init(struct head *h, size_t n, size_t text_bytes)
{
    memset(h, 0, sizeof *h);
    (void)str_copy(h->magic, sizeof h->magic, MAGIC);
    h->n = (uint32_t)n;
    h->text_bytes = (uint32_t)text_bytes;
}

/* FNV-1a: spreads names; it has to resist nobody, for the text decides. */
static void name_of(struct buf text, char dst[24])
{
    uint64_t h = 0xcbf29ce484222325;

    for (size_t i = 0; i < text.len; i++)
        h = (h ^ text.p[i]) * 0x100000001b3;
    (void)snprintf(dst, 24, "%016llx", (unsigned long long)h);
}

static bool is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

/* The folder, made if it is missing; -1: no cache. */
static int open_cache(const char *path)
{
    AUTO_FD int fd = -1;
    struct stat st;

    if (fs_open_dir(AT_FDCWD, path, true, 0700, &fd, NULL) < 0)
        return -1;
    return fstat(fd, &st) == 0 && is_ours(&st) ? steal_fd(&fd) : -1;
}

static int copy_filter(const void *code, size_t n, struct sock_filter **ret, unsigned short *ret_n)
{
    *ret = mem_need(n * sizeof **ret);
    memcpy(*ret, code, n * sizeof **ret);
    *ret_n = (unsigned short)n;
    return 0;
}

/* True: found, and the outputs are set. */
static bool look_up(int dir, const char *name, struct buf text, struct sock_filter **ret,
                    unsigned short *ret_n)
{
    AUTO_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    size_t most = sizeof(struct head) + FILTER_BYTES + text.len;
    AUTO_MEM uint8_t *bytes = NULL;
    struct head want, h;
    struct stat st;
    ssize_t got;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !is_ours(&st) || (size_t)st.st_size > most ||
        (size_t)st.st_size < sizeof h + text.len)
        return false;
    bytes = mem_need((size_t)st.st_size);
    got = fs_read_full(fd, bytes, (size_t)st.st_size, NULL);
    if (got != st.st_size)
        return false;
    memcpy(&h, bytes, sizeof h);
    head_init(&want, h.n, text.len);
    if (memcmp(&h, &want, sizeof h) != 0 || h.n == 0 || h.n > BPF_MAXINSNS ||
        (size_t)got != sizeof h + h.n * sizeof **ret + text.len ||
        memcmp(bytes + got - text.len, text.p, text.len) != 0)
        return false;
    return copy_filter(bytes + sizeof h, h.n, ret, ret_n) == 0;
}

static void keep(int dir, const char *name, struct buf text, const struct sock_filter *code, size_t n)
{
    size_t code_bytes = n * sizeof *code, all = sizeof(struct head) + code_bytes + text.len;
    AUTO_MEM uint8_t *bytes = mem_need(all);
    struct head h;

    head_init(&h, n, text.len);
    memcpy(bytes, &h, sizeof h);
    memcpy(bytes + sizeof h, code, code_bytes);
    memcpy(bytes + sizeof h + code_bytes, text.p, text.len);
    (void)fs_write_atomic(dir, name, buf_of(bytes, all), 0600,
                          NULL); /* without it the next start compiles again */
}

/* ---- the program ---- */

static int text_file(struct buf text, int *ret_fd, struct err *err)
{
    AUTO_FD int fd = memfd_create(PROGRAM, MFD_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "memfd");
    if (text.len && (fs_write_full(fd, text, err) < 0 || lseek(fd, 0, SEEK_SET) != 0))
        return err_errno(err, errno, "memfd");
    *ret_fd = fd > 2 ? steal_fd(&fd) : fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the child moves them to 0, 1, 2 */
    return *ret_fd >= 0 ? 0 : err_errno(err, errno, "memfd");
}

/* In the child: the installed program, or, in a build folder, the one beside ours. Needs no environment. */
static void become(const char *path, const int fds[3])
{
    static char name[] = PROGRAM;
    static char *const argv[] = {name, NULL}, *const env[] = {NULL};
    sigset_t none;

    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            _exit(126);
    sys_close_from(3, NULL, 0);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execve(path, argv, env);
    _exit(errno == ENOENT ? 127 : 126);
}

static int run(const int fds[3], int *ret_status, struct err *err)
{
    /* a SIGCHLD that the caller ignores would take the status away */
    struct sigaction dfl = {.sa_handler = SIG_DFL}, old;
    char path[PATH_MAX];
    pid_t pid, got;

    if (!ours_path(PROGRAM, path, sizeof path)) {
        *ret_status = 127 << 8; /* as a shell says it */
        return 0;
    }
    (void)sigaction(SIGCHLD, &dfl, &old);
    pid = fork();
    if (pid == 0)
        become(path, fds);
    do
        got = pid < 0 ? -1 : waitpid(pid, ret_status, 0);
    while (pid > 0 && got < 0 && errno == EINTR);
    (void)sigaction(SIGCHLD, &old, NULL);
    return got > 0 ? 0 : err_errno(err, errno, PROGRAM);
}

/* What the program wrote from the beginning of one of its files. */
static ssize_t read_back(int fd, void *dst, size_t size, struct err *err)
{
    return lseek(fd, 0, SEEK_SET) == 0 ? fs_read_full(fd, dst, size, err) : err_errno(err, errno, "memfd");
}

static int explain(int status, int err_fd, struct err *err)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    char text[ERR_MSG_BYTES];
    ssize_t n = read_back(err_fd, text, sizeof text - 1, NULL);

    if (code == 127)
        return err_set(err, ERR_UNSUPPORTED,
                       "linux.seccomp: no " LIMPET_LIBEXECDIR "/" PROGRAM
                       ", which compiles profiles: build Limpet with libseccomp, or take linux.seccomp out "
                       "of config.json");
    if (code < 0)
        return err_set(err, ERR_IO, "linux.seccomp: " PROGRAM " was killed by signal %d", WTERMSIG(status));
    text[n < 0 ? 0 : n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return err_set(err, code == 2 ? ERR_INVALID : ERR_UNSUPPORTED, "linux.seccomp: %s",
                   text[0] ? text : PROGRAM " failed");
}

static int compile(struct buf text, struct sock_filter **ret, unsigned short *ret_n, struct err *err)
{
    AUTO_FD int in = -1;
    AUTO_FD int out = -1;
    AUTO_FD int log = -1;
    AUTO_MEM uint8_t *code = NULL;
    int status = 0, r;
    ssize_t got;

    if ((r = text_file(text, &in, err)) < 0 || (r = text_file(buf_of(NULL, 0), &out, err)) < 0 ||
        (r = text_file(buf_of(NULL, 0), &log, err)) < 0 || (r = run((int[]){in, out, log}, &status, err)) < 0)
        return r;
    if (status != 0)
        return explain(status, log, err);
    code = mem_need(FILTER_BYTES);
    got = read_back(out, code, FILTER_BYTES, err);
    if (got < 0)
        return (int)got;
    if (got == 0 || got % (ssize_t)sizeof **ret != 0)
        return err_set(err, ERR_IO, "linux.seccomp: " PROGRAM " gave %zd bytes, which are no filter", got);
    return copy_filter(code, (size_t)got / sizeof **ret, ret, ret_n);
}

int seccomp_load(const char *cache_dir, struct buf profile_json, struct sock_filter **ret,
                 unsigned short *ret_n, struct err *err)
{
    AUTO_FD int dir = open_cache(cache_dir ? cache_dir : SECCOMP_CACHE_DIR);
    char name[24];
    int r;

    name_of(profile_json, name);
    if (dir >= 0 && look_up(dir, name, profile_json, ret, ret_n))
        return 0;
    r = compile(profile_json, ret, ret_n, err);
    if (r == 0 && dir >= 0)
        keep(dir, name, profile_json, *ret, *ret_n);
    return r;
}
