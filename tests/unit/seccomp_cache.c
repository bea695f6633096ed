/* Profiles of other engines: what limpet-seccomp makes of them, run by a small interpreter of BPF and once by
 * the kernel; the cache, and what it must not take. */
#include "runtime/seccomp/seccomp_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf_run.h"
#include "check.h"
#include "platform/fs.h"
#include "platform/limits.h"
#include "runtime/seccomp/seccomp_trim.h"

#define NO_CACHE "/proc/none" /* a directory that nobody can make */

static struct sock_filter *code;
static unsigned short n_code;

static uint32_t judge(const struct seccomp_data *d)
{
    return bpf_run(code, n_code, d, NULL);
}

static uint32_t call(int nr, uint64_t a0, uint64_t a1)
{
    struct seccomp_data d = {.nr = nr, .arch = BPF_RUN_ARCH, .args = {a0, a1}};

    return judge(&d);
}

static int load_in(const char *dir, const char *text, struct err *err)
{
    free(steal_ptr(&code));
    n_code = 0;
    return seccomp_load(dir, buf_str(text), &code, &n_code, err);
}

static int load(const char *text, struct err *err)
{
    return load_in(NO_CACHE, text, err);
}

#define PROFILE(def, rules) "{\"defaultAction\":\"" def "\",\"syscalls\":[" rules "]}"
#define RULE(name, action)  "{\"names\":[\"" name "\"],\"action\":\"" action "\"}"

TEST(actions)
{
    static const struct {
        const char *name;
        uint32_t ret;
    } table[] = {{"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD},
                 {"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD},
                 {"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS},
                 {"SCMP_ACT_TRAP", SECCOMP_RET_TRAP},
                 {"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO | EPERM},
                 {"SCMP_ACT_TRACE", SECCOMP_RET_TRACE | EPERM},
                 {"SCMP_ACT_LOG", SECCOMP_RET_LOG},
                 {"SCMP_ACT_NOTIFY", SECCOMP_RET_USER_NOTIF}};
    char text[256];
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(table); i++) {
        (void)snprintf(text, sizeof text, PROFILE("SCMP_ACT_ALLOW", RULE("getcwd", "%s")), table[i].name);
        CHECK_OK(load(text, &err), err);
        CHECK(call(SYS_getcwd, 0, 0) == table[i].ret);
        CHECK(call(SYS_getpid, 0, 0) == SECCOMP_RET_ALLOW);
    }
    CHECK_OK(load("{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"syscalls\":[{\"names\":"
                  "[\"getcwd\",\"no_such_call\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":7},"
                  "{\"names\":[\"getpid\"],\"action\":\"SCMP_ACT_ALLOW\",\"args\":[]}]}",
                  &err),
             err);
    CHECK(call(SYS_getcwd, 0, 0) == (SECCOMP_RET_ERRNO | 7));
    CHECK(call(SYS_getpid, 0, 0) == SECCOMP_RET_ALLOW);
    CHECK(call(SYS_getppid, 0, 0) == (SECCOMP_RET_ERRNO | ENOSYS));
}

TEST(operators)
{
    static const struct {
        const char *op;
        uint64_t value, two;
        uint64_t hit[2], miss[2];
    } table[] = {
        {"SCMP_CMP_NE", 5, 0, {4, 5 + (1ULL << 32)}, {5, 5}},
        {"SCMP_CMP_LT", 5, 0, {4, 0}, {5, 5 + (1ULL << 32)}},
        {"SCMP_CMP_LE", 5, 0, {4, 5}, {6, 1ULL << 32}},
        {"SCMP_CMP_EQ", 5, 0, {5, 5}, {4, 5 + (1ULL << 32)}},
        {"SCMP_CMP_GE", 5, 0, {5, 1ULL << 32}, {4, 0}},
        {"SCMP_CMP_GT", 5, 0, {6, 1ULL << 32}, {5, 4}},
        {"SCMP_CMP_MASKED_EQ", 0xf0, 0x20, {0x2f, 0xf020}, {0x3f, 0x0f}},
        {"SCMP_CMP_EQ", UINT64_MAX, 0, {UINT64_MAX, UINT64_MAX}, {UINT32_MAX, 0}},
    };
    char text[400];
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(table); i++) {
        (void)snprintf(text, sizeof text,
                       PROFILE("SCMP_ACT_ALLOW", "{\"names\":[\"kill\"],\"action\":\"SCMP_ACT_ERRNO\","
                                                 "\"args\":[{\"index\":1,\"value\":%llu,\"valueTwo\":%llu,"
                                                 "\"op\":\"%s\"}]}"),
                       (unsigned long long)table[i].value, (unsigned long long)table[i].two, table[i].op);
        CHECK_OK(load(text, &err), err);
        for (int k = 0; k < 2; k++) {
            CHECK(call(SYS_kill, 0, table[i].hit[k]) == (SECCOMP_RET_ERRNO | EPERM));
            CHECK(call(SYS_kill, 0, table[i].miss[k]) == SECCOMP_RET_ALLOW);
        }
    }
}

#define ARG(index, value) "{\"index\":" #index ",\"value\":" #value ",\"op\":\"SCMP_CMP_EQ\"}"

TEST(two_arguments_are_joined)
{
    struct err err = ERR_INIT;

    CHECK_OK(
        load(PROFILE("SCMP_ACT_ALLOW", "{\"names\":[\"kill\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":[" ARG(
                                           0, 1) "," ARG(1, 2) "]}"),
             &err),
        err);
    CHECK(call(SYS_kill, 1, 2) == (SECCOMP_RET_ERRNO | EPERM));
    CHECK(call(SYS_kill, 1, 3) == SECCOMP_RET_ALLOW);
    /* the same argument twice can only mean either */
    CHECK_OK(
        load(PROFILE("SCMP_ACT_ALLOW", "{\"names\":[\"kill\"],\"action\":\"SCMP_ACT_ERRNO\",\"args\":[" ARG(
                                           1, 1) "," ARG(1, 2) "]}"),
             &err),
        err);
    CHECK(call(SYS_kill, 0, 1) == (SECCOMP_RET_ERRNO | EPERM));
    CHECK(call(SYS_kill, 0, 2) == (SECCOMP_RET_ERRNO | EPERM));
    CHECK(call(SYS_kill, 0, 3) == SECCOMP_RET_ALLOW);
}

#define OPENAT "{\"names\":[\"openat\"],\"action\":\"SCMP_ACT_ALLOW\"}"

TEST(newer_calls_are_unknown_not_forbidden)
{
    const int newer = SYS_openat > SYS_getpid ? SYS_openat + 1 : SYS_getpid + 1;
    struct seccomp_data foreign = {.nr = newer, .arch = 0x12345678};
    struct err err = ERR_INIT;

    CHECK_OK(load(PROFILE("SCMP_ACT_ERRNO", OPENAT "," RULE("getpid", "SCMP_ACT_ALLOW")), &err), err);
    CHECK(call(SYS_openat, 0, 0) == SECCOMP_RET_ALLOW);
    CHECK(call(SYS_openat - 1, 0, 0) == (SECCOMP_RET_ERRNO | EPERM));
    CHECK(call(newer, 0, 0) == (SECCOMP_RET_ERRNO | ENOSYS));
    CHECK(judge(&foreign) == SECCOMP_RET_KILL_THREAD);
    CHECK_OK(load(PROFILE("SCMP_ACT_KILL_PROCESS", OPENAT), &err), err);
    CHECK(call(newer, 0, 0) == SECCOMP_RET_KILL_PROCESS);
}

TEST(architectures_and_flags)
{
    struct err err = ERR_INIT;

    CHECK_OK(
        load(
            "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\","
            "\"SCMP_ARCH_X32\"],\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\",\"SECCOMP_FILTER_FLAG_SPEC_ALLOW\"],"
            "\"listenerPath\":\"/run/x\",\"syscalls\":[" RULE("getcwd", "SCMP_ACT_ALLOW") "]}",
            &err),
        err);
#if defined(__x86_64__)
    struct seccomp_data d = {.nr = 183 /* getcwd of i386 */, .arch = AUDIT_ARCH_I386};
    CHECK(judge(&d) == SECCOMP_RET_ALLOW);
    d.nr = 1000;
    CHECK(judge(&d) == (SECCOMP_RET_ERRNO | ENOSYS));
    CHECK(call(0x40000000 + 79, 0, 0) == SECCOMP_RET_ALLOW);
    CHECK(call(0x40000000 + 900, 0, 0) == (SECCOMP_RET_ERRNO | ENOSYS));
#endif
}

TEST(wrong_profiles_name_the_field)
{
    static const struct {
        const char *text, *says;
    } table[] = {
        {"{}", "defaultAction"},
        {"{", "linux.seccomp"},
        {PROFILE("ALLOW", ""), "defaultAction: unknown action \"ALLOW\""},
        {PROFILE("SCMP_ACT_NOTIFY", ""), "cannot be the default"},
        {PROFILE("SCMP_ACT_ALLOW", RULE("getcwd", "SCMP_ACT_MAYBE")), "syscalls[0]: action"},
        {PROFILE("SCMP_ACT_ALLOW", RULE("write", "SCMP_ACT_NOTIFY")), "syscalls[0].names[0]: write"},
        {PROFILE("SCMP_ACT_ALLOW", "{\"names\":[],\"action\":\"SCMP_ACT_KILL\"}"), "at least one"},
        {PROFILE("SCMP_ACT_ALLOW", "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"errnoRet\":1}"),
         "errnoRet: SCMP_ACT_KILL has no errno"},
        {PROFILE("SCMP_ACT_ALLOW",
                 "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":6,"
                 "\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}"),
         "args[0].index"},
        {PROFILE("SCMP_ACT_ALLOW",
                 "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,"
                 "\"value\":1,\"op\":\"EQ\"}]}"),
         "args[0].op"},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"x86\"]}",
         "architectures[0]: unknown architecture \"x86\""},
        {"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"FAST\"]}", "flags[0]: unknown flag \"FAST\""},
    };

    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct err err = ERR_INIT;
        CHECK_ERR(load(table[i].text, &err), ERR_INVALID, err);
        CHECK_MSG(err, table[i].says);
        CHECK_MSG(err, "linux.seccomp");
        CHECK(code == NULL);
    }
}

/* ---- the cache ---- */

static char place[64];

static void new_place(void)
{
    (void)snprintf(place, sizeof place, "/tmp/limpet-seccomp-%d", (int)getpid());
    err_ignore(fs_remove_tree(AT_FDCWD, place, NULL));
}

static char *only_file(void)
{
    static char names[4][64], path[160];
    AUTO_FD int dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned n = dir < 0 ? 0 : fs_list(dir, "", names[0], sizeof names[0], 4);

    for (unsigned i = 0; i < n; i++)
        if (names[i][0] != '.') {
            (void)snprintf(path, sizeof path, "%s/%s", place, names[i]);
            return path;
        }
    return NULL;
}

static const char sample[] = PROFILE("SCMP_ACT_ALLOW", RULE("getcwd", "SCMP_ACT_ERRNO"));

/* Turn the sample's file into one whose filter says something else: who gets that, got it from the file. */
static void mark(size_t at, uint8_t flip)
{
    AUTO_FD int fd = open(only_file(), O_RDWR | O_CLOEXEC);
    uint8_t byte = 0;

    CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= flip;
    CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
}
static bool is_marked(void)
{
    return call(SYS_getcwd, 0, 0) != (SECCOMP_RET_ERRNO | EPERM);
}
/* Where the errno of the filter stands in the file. */
static size_t errno_at(void)
{
    size_t i = 0;

    while (i < n_code && (code[i].code != (BPF_RET | BPF_K) || code[i].k != (SECCOMP_RET_ERRNO | EPERM)))
        i++;
    CHECK(i < n_code);
    return 32 + i * 8 + 4;
}

TEST(what_was_compiled_is_kept)
{
    struct err err = ERR_INIT;
    struct stat st;
    unsigned short n;

    new_place();
    CHECK_OK(load_in(place, sample, &err), err);
    n = n_code;
    CHECK(stat(place, &st) == 0 && (st.st_mode & 07777) == 0700);
    CHECK(only_file() && stat(only_file(), &st) == 0 && (st.st_mode & 07777) == 0600);
    CHECK_OK(load_in(place, sample, &err), err);
    CHECK(n_code == n && !is_marked());
    mark(errno_at(), 6);
    CHECK_OK(load_in(place, sample, &err), err);
    CHECK(is_marked());
    CHECK_OK(load_in(NO_CACHE, sample, &err), err);
    CHECK(!is_marked());
    err_ignore(fs_remove_tree(AT_FDCWD, place, NULL));
}

/* Each of these leaves the marked file in place, and it must not be taken. */
TEST(what_is_not_ours_is_not_taken)
{
    struct err err = ERR_INIT;
    char moved[80], file[160];
    struct stat st;

    for (int way = 0; way < 6; way++) {
        new_place();
        CHECK_OK(load_in(place, sample, &err), err);
        mark(errno_at(), 6);
        (void)str_copy(file, sizeof file, only_file());
        (void)snprintf(moved, sizeof moved, "%s.old", place);
        CHECK(stat(file, &st) == 0);
        if (way == 0)
            CHECK(chmod(place, 0750) == 0);
        else if (way == 1)
            CHECK(chmod(file, 0640) == 0);
        else if (way == 2)
            mark((size_t)st.st_size - 3, 1); /* the text */
        else if (way == 3)
            mark(3, 1); /* the version */
        else if (way == 4)
            CHECK(truncate(file, st.st_size - 1) == 0);
        else
            CHECK(rename(file, moved) == 0 && symlink(moved, file) == 0);
        CHECK_OK(load_in(place, sample, &err), err);
        CHECK(!is_marked());
        (void)unlink(moved);
    }
    if (geteuid() == 0) {
        new_place();
        CHECK_OK(load_in(place, sample, &err), err);
        mark(errno_at(), 6);
        CHECK(chown(only_file(), 1, 1) == 0);
        CHECK_OK(load_in(place, sample, &err), err);
        CHECK(!is_marked());
    }
    err_ignore(fs_remove_tree(AT_FDCWD, place, NULL));
}

TEST(the_newest_are_kept)
{
    struct seccomp_kept list[] = {{"old", 1}, {"b", 5}, {"new", 9}, {"a", 5}, {"older", 0}};

    CHECK(seccomp_trim_decide(list, 5, 3) == 3);
    CHECK_STR(list[0].name, "new");
    CHECK_STR(list[1].name, "a");
    CHECK_STR(list[2].name, "b");
    CHECK(seccomp_trim_decide(list, 2, 3) == 2);
    CHECK(seccomp_trim_decide(list, 0, 3) == 0);
}

TEST(the_cache_does_not_grow_without_end)
{
    char name[128];
    struct err err = ERR_INIT;
    struct stat st;
    struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    unsigned left = 0;

    new_place();
    CHECK(mkdir(place, 0700) == 0);
    for (unsigned i = 0; i < LIM_PROFILES; i++) { /* as if they had been made long ago, one after the other */
        (void)snprintf(name, sizeof name, "%s/%016x", place, i);
        past[0].tv_sec = past[1].tv_sec = 1000 + i;
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0 && futimens(fd, past) == 0 && close(fd) == 0);
    }
    CHECK_OK(load_in(place, sample, &err), err);
    (void)snprintf(name, sizeof name, "%s/%016x", place, 0);
    CHECK(stat(name, &st) != 0);
    for (unsigned i = 0; i < LIM_PROFILES; i++) {
        (void)snprintf(name, sizeof name, "%s/%016x", place, i);
        left += unlink(name) == 0;
    }
    CHECK(left == LIM_PROFILES - 1);
    CHECK(only_file() != NULL); /* the new one */
    err_ignore(fs_remove_tree(AT_FDCWD, place, NULL));
}

TEST(the_kernel_takes_it)
{
    struct err err = ERR_INIT;
    int status = 0;
    pid_t pid;

    CHECK_OK(load(sample, &err), err);
    (void)signal(SIGCHLD, SIG_DFL);
    pid = fork();
    if (pid == 0) {
        struct sock_fprog prog = {n_code, code};
        char dir[64];
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
            _exit(3);
        _exit(syscall(SYS_getcwd, dir, sizeof dir) < 0 && errno == EPERM && getpid() > 0 ? 0 : 4);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

TEST(a_caller_that_ignores_children)
{
    struct err err = ERR_INIT;

    (void)signal(SIGCHLD, SIG_IGN);
    CHECK_OK(load(sample, &err), err);
    CHECK(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
    free(steal_ptr(&code));
}

TEST_MAIN
