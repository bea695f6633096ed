/* seccomp_cache.c - see seccomp_cache.h. */
#include "runtime/seccomp/seccomp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "platform/fnv.h"
#include "platform/fs.h"
#include "platform/limits.h"
#include "platform/sys.h"
#include "runtime/box/exe_guard.h"
#include "runtime/box/tool.h"
#include "runtime/seccomp/seccomp_trim.h"

#define PROGRAM      "limpet-seccomp"
#define FILTER_BYTES (BPF_MAXINSNS * sizeof(struct sock_filter))

/* A cache file: this header, the filter, the text. It never leaves the machine, so it is in native format. */
struct head {
    char magic[24]; /* for our version: another may compile differently */
    uint32_t n, text_bytes;
};
#define MAGIC "limpet seccomp " LIMPET_VERSION

static void head_init(struct head *h, size_t n, size_t text_bytes)
{
    memset(h, 0, sizeof(*h));
    (void)str_copy(h->magic, sizeof(h->magic), MAGIC);
    h->n = (uint32_t)n;
    h->text_bytes = (uint32_t)text_bytes;
}

/* The hash only spreads names; it need not resist attacks, since the text is compared. */
static void name_of(struct buf text, char dst[24])
{
    (void)snprintf(dst, 24, "%016" PRIx64, fnv64(text));
}

static bool is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

/* Open the directory, creating it if missing; -1: no cache. */
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
    *ret = mem_need(n * sizeof(**ret));
    memcpy(*ret, code, n * sizeof(**ret));
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
        (size_t)st.st_size < sizeof(h) + text.len)
        return false;
    bytes = mem_need((size_t)st.st_size);
    got = fs_read_full(fd, bytes, (size_t)st.st_size, NULL);
    if (got != st.st_size)
        return false;
    memcpy(&h, bytes, sizeof(h));
    head_init(&want, h.n, text.len);
    if (memcmp(&h, &want, sizeof(h)) != 0 || h.n == 0 || h.n > BPF_MAXINSNS ||
        (size_t)got != sizeof(h) + h.n * sizeof(**ret) + text.len ||
        memcmp(bytes + got - text.len, text.p, text.len) != 0)
        return false;
    return copy_filter(bytes + sizeof(h), h.n, ret, ret_n) == 0;
}

static void keep(int dir, const char *name, struct buf text, const struct sock_filter *code, size_t n)
{
    size_t code_bytes = n * sizeof(*code), all = sizeof(struct head) + code_bytes + text.len;
    AUTO_MEM uint8_t *bytes = mem_need(all);
    struct head h;

    head_init(&h, n, text.len);
    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + sizeof(h), code, code_bytes);
    memcpy(bytes + sizeof(h) + code_bytes, text.p, text.len);
    /* without it the next start compiles again */
    if (fs_write_atomic(dir, name, buf_of(bytes, all), 0600, NULL) == 0)
        seccomp_trim(dir);
}

/* ---- the program ---- */

static int explain(const struct tool_result *did, struct err *err)
{
    int code = WIFEXITED(did->status) ? WEXITSTATUS(did->status) : -1;
    char how[40];

    if (code == 127)
        return err_set(err, ERR_UNSUPPORTED,
                       "linux.seccomp: no " LIMPET_LIBEXECDIR "/" PROGRAM
                       ", which compiles profiles: build Limpet with libseccomp, or take linux.seccomp out "
                       "of config.json");
    if (did->complaint[0])
        return err_set(err, code == 2 ? ERR_INVALID : ERR_UNSUPPORTED, "linux.seccomp: %.*s",
                       (int)strcspn(did->complaint, "\n"), did->complaint);
    tool_describe(did, how, sizeof(how));
    return err_set(err, ERR_IO, "linux.seccomp: " PROGRAM " %s", how);
}

static int compile(struct buf text, struct sock_filter **ret, unsigned short *ret_n, struct err *err)
{
    static const char *const args[] = {PROGRAM, NULL}, *const env[] = {NULL};
    char path[PATH_MAX] = "";
    struct tool t = {.path = path, .args = args, .env = env, .input = text};
    AUTO_TOOL_RESULT did = {.status = 127 << 8}; /* as a shell reports it */
    int rc = exe_guard_path(PROGRAM, path, sizeof(path)) ? tool_run(&t, &did, err) : 0;

    if (rc < 0)
        return rc;
    if (!tool_is_well(&did))
        return explain(&did, err);
    if (did.out_len == 0 || did.out_len > FILTER_BYTES || did.out_len % sizeof(**ret) != 0)
        return err_set(err, ERR_IO, "linux.seccomp: " PROGRAM " gave %zu bytes, which are not a filter",
                       did.out_len);
    return copy_filter(did.out, did.out_len / sizeof(**ret), ret, ret_n);
}

int seccomp_load(const char *cache_dir, struct buf profile_json, struct sock_filter **ret,
                 unsigned short *ret_n, struct err *err)
{
    AUTO_FD int dir = open_cache(cache_dir ? cache_dir : SECCOMP_CACHE_DIR);
    char name[24];
    int rc;

    name_of(profile_json, name);
    if (dir >= 0 && look_up(dir, name, profile_json, ret, ret_n))
        return 0;
    rc = compile(profile_json, ret, ret_n, err);
    if (rc == 0 && dir >= 0)
        keep(dir, name, profile_json, *ret, *ret_n);
    return rc;
}
