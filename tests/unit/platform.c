/* Errors, memory, arena, clock, durable files, paths of strangers, messages, the loop, jobs, crypto. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "platform/arena.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/fs.h"
#include "platform/job.h"
#include "platform/loop.h"
#include "platform/msg.h"
#include "platform/patience.h"
#include "platform/sandbox.h"
#include "platform/sys.h"
#include "tests/unit/check.h"

static int make_temp(char *path) /* fd of a new directory; path: "/tmp/limpet-unit.XXXXXX" */
{
    return mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

TEST(each_wait_of_a_turn_leaves_time_for_those_that_come_after)
{
    patience_begin(0);
    CHECK(patience_ms(UINT64_MAX) == UINT64_MAX);
    patience_begin(60000);
    CHECK(patience_ms(UINT64_MAX) <= 30000);
    CHECK(patience_ms(UINT64_MAX) > 10000);
    CHECK(patience_ms(7) == 7);
    patience_begin(1);
    CHECK(patience_ms(5000) == 0);
    patience_begin(0);
}

TEST(errors_carry_kind_and_context)
{
    struct err err = ERR_INIT;

    CHECK(err_errno(&err, ENOSPC, "write %s", "x") == -ERR_NOSPACE);
    CHECK(err_wrap(&err, "object %d", 7) == -ERR_NOSPACE);
    CHECK_STR(err.msg, "object 7: write x: No space left on device");
    CHECK(err_set(NULL, ERR_DENIED, "nobody listens") == -ERR_DENIED);
    for (int k = ERR_INVALID; k < ERR_AGAIN; k++)
        CHECK(err_kind_parse(err_kind_name((enum err_kind)k)) == (enum err_kind)k);
    CHECK(err_kind_parse(err_kind_name(ERR_AGAIN)) == ERR_CONFLICT); /* the word that older peers know */
    CHECK(err_kind_parse(err_kind_name(ERR_EXISTS)) == ERR_CONFLICT);
    CHECK(err_kind_parse(err_kind_name(ERR_OFFLINE)) == ERR_NOTFOUND);
    CHECK(err_errno(NULL, EAGAIN, "read") == -ERR_AGAIN && err_errno(NULL, EEXIST, "make") == -ERR_EXISTS);
    CHECK(err_kind_parse("none of them") == ERR_NONE);
    CHECK(err_may_retry(ERR_NET) && !err_may_retry(ERR_INTEGRITY));
    char large[1000];
    memset(large, 'a', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    (void)err_set(&err, ERR_IO, "%s", large);
    CHECK(strlen(err.msg) == ERR_MSG_BYTES - 1);
    CHECK(err_wrap(&err, "%s", large) == -ERR_IO);
}

TEST(texts)
{
    uint64_t n;
    char s[8], evil[] = "a\x1b[2J\xffz";

    CHECK(str_is_name("a") && str_is_name("gw-17.x_y") && !str_is_name("") && !str_is_name("-a") &&
          !str_is_name("A") && !str_is_name("a/b") && !str_is_name("..") && !str_is_name("a b"));
    CHECK(!str_is_name("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")); /* 64 */
    CHECK(str_u64("0", 0, 9, &n) && n == 0);
    CHECK(!str_u64("", 0, 9, &n) && !str_u64("-1", 0, 9, &n) && !str_u64("1 ", 0, 9, &n) &&
          !str_u64("10", 0, 9, &n) && !str_u64("0x1", 0, 9, &n) &&
          !str_u64("99999999999999999999", 0, UINT64_MAX, &n));
    CHECK(str_fmt(s, sizeof(s), "%d", 1234567) && !str_fmt(s, sizeof(s), "%d", 12345678));
    CHECK(str_copy(s, sizeof(s), "1234567") && !str_copy(s, sizeof(s), "12345678"));
    CHECK_STR(s, "1234567");
    CHECK_STR(str_clean(evil), "a?[2J?z");
}

TEST(arena_is_bounded)
{
    struct arena *a = arena_new(10000);
    char *one = arena_get(a, 5000);

    CHECK(one != NULL && one[0] == 0 && one[4999] == 0);
    CHECK(arena_get(a, 6000) == NULL);
    CHECK_STR(arena_str(a, "text"), "text");
    CHECK(arena_get(a, SIZE_MAX - 8) == NULL);
    CHECK(arena_free(a) == NULL && arena_free(NULL) == NULL);
}

TEST(time_only_rises)
{
    char s[32];

    CHECK(clock_judge_s(0, 0) == clock_build_s());
    CHECK(clock_judge_s(clock_build_s() + 5, clock_build_s() + 9) == clock_build_s() + 9);
    CHECK_STR(clock_rfc3339(0, s, sizeof(s)), "1970-01-01T00:00:00Z");
    CHECK_STR(clock_rfc3339(4102444800ULL, s, sizeof(s)), "2100-01-01T00:00:00Z");
    CHECK_STR(clock_age(1000ULL * (3 * 86400 + 4 * 3600), s, sizeof(s)), "3d4h");
    CHECK_STR(clock_age(130000, s, sizeof(s)), "2m10s");
}

TEST(files_are_replaced_whole)
{
    char path[] = "/tmp/limpet-unit.XXXXXX";
    struct err err = ERR_INIT;
    uint8_t *bytes = NULL;
    size_t len;
    int dir = make_temp(path);

    CHECK_OK(fs_write_durable(dir, "f", BUF_LIT("one"), 0600, &err), err);
    CHECK_OK(fs_write_durable(dir, "f", BUF_LIT("two!"), 0640, &err), err);
    CHECK_OK(fs_read(dir, "f", 4, &bytes, &len, &err), err);
    CHECK(len == 4 && memcmp(bytes, "two!", 5) == 0);
    free(bytes);
    CHECK_ERR(fs_read(dir, "f", 3, &bytes, &len, &err), ERR_INVALID, err);
    CHECK_ERR(fs_read(dir, "none", 3, &bytes, &len, &err), ERR_NOTFOUND, err);
    CHECK_ERR(fs_read(dir, ".", 3, &bytes, &len, &err), ERR_INVALID, err);
    struct stat st;
    CHECK(fstatat(dir, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0640);
    CHECK(symlinkat("/etc/passwd", dir, "g.new~") == 0); /* a trap where the temporary file goes */
    CHECK(fs_write_durable(dir, "g", BUF_LIT("x"), 0600, &err) < 0);
    int lock = -1, again = -1;
    CHECK_OK(fs_lock(dir, "lock", &lock, &err), err);
    CHECK_ERR(fs_lock(dir, "lock", &again, &err), ERR_CONFLICT, err);
    (void)close(lock);
    CHECK_OK(fs_lock(dir, "lock", &again, &err), err);
    (void)close(again);
    CHECK_OK(fs_remove_tree(AT_FDCWD, path, &err), err);
    CHECK(access(path, F_OK) < 0);
    (void)close(dir);
}

/* Both ways to resolve a stranger's path: openat2, and step by step. */
static void try_paths(int dir)
{
    static const struct {
        const char *path;
        int below, in_root; /* 0 opens, else the kind of refusal */
    } rows[] = {
        {"d/f", 0, 0},         {"./d/../d/f", 0, 0},   {"../f", -1, -2}, {"/d/f", -1, 0},
        {"up/passwd", -1, -2}, {"abs/passwd", -1, -2}, {"in/f", -1, 0},  {"inabs/f", -1, 0},
        {"loop", -1, -1},      {"d/f/", -1, -1},       {"none", -2, -2}, {"d/../../../d/f", -1, 0},
        {"linkfile", -1, 0},   {"", -1, -1},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        int fd = -1;
        int rc = fs_open_below(dir, rows[i].path, O_RDONLY, 0, &fd, &err);
        if ((rc == 0) != (rows[i].below == 0))
            printf("  below: %s: %d %s\n", rows[i].path, rc, err.msg);
        CHECK((rc == 0) == (rows[i].below == 0));
        if (fd >= 0)
            (void)close(fd);
        fd = -1;
        rc = fs_open_in_root(dir, rows[i].path, O_RDONLY, 0, &fd, &err);
        if ((rc == 0) != (rows[i].in_root == 0))
            printf("  in root: %s: %d %s\n", rows[i].path, rc, err.msg);
        CHECK((rc == 0) == (rows[i].in_root == 0));
        if (fd >= 0)
            (void)close(fd);
    }
}

TEST(paths_of_strangers_stay_inside)
{
    char path[] = "/tmp/limpet-unit.XXXXXX";
    struct err err = ERR_INIT;
    int d = -1, dir = make_temp(path);

    CHECK_OK(fs_open_dir(dir, "d", true, 0755, &d, &err), err);
    CHECK_OK(fs_write_atomic(d, "f", BUF_LIT("x"), 0600, &err), err);
    (void)close(d);
    CHECK(symlinkat("../../etc", dir, "up") == 0 && symlinkat("/etc", dir, "abs") == 0 &&
          symlinkat("d", dir, "in") == 0 && symlinkat("/d", dir, "inabs") == 0 &&
          symlinkat("loop", dir, "loop") == 0 && symlinkat("/d/f", dir, "linkfile") == 0);
    try_paths(dir);
    sys_deny(1U << SYS_CALL_OPENAT2);
    try_paths(dir);
    sys_deny(0);
    CHECK_OK(fs_remove_tree(AT_FDCWD, path, &err), err);
    (void)close(dir);
}

TEST(removing_does_not_follow_links)
{
    char path[] = "/tmp/limpet-unit.XXXXXX", keep[] = "/tmp/limpet-unit.XXXXXX";
    struct err err = ERR_INIT;
    int dir = make_temp(path), other = make_temp(keep), sub = -1;

    CHECK_OK(fs_write_atomic(other, "canary", BUF_LIT("x"), 0600, &err), err);
    CHECK_OK(fs_open_dir(dir, "a/b/c", true, 0755, &sub, &err), err);
    CHECK(symlinkat(keep, sub, "link") == 0);
    (void)close(sub);
    CHECK_OK(fs_remove_tree(dir, "a", &err), err);
    CHECK_OK(fs_remove_tree(dir, "a", &err), err); /* absent is fine */
    CHECK(faccessat(other, "canary", F_OK, 0) == 0);
    CHECK_OK(fs_remove_tree(AT_FDCWD, path, &err), err);
    CHECK_OK(fs_remove_tree(AT_FDCWD, keep, &err), err);
    (void)close(dir);
    (void)close(other);
}

TEST(messages_bring_fds)
{
    struct err err = ERR_INIT;
    int a, b, fds[LIM_MSG_FDS];
    unsigned n = 9;
    size_t len;
    char text[16];

    CHECK_OK(msg_pair(&a, &b, &err), err);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_OK(msg_send(a, BUF_LIT("hello"), &null, 1, &err), err);
    CHECK(msg_recv(b, text, sizeof(text), &len, fds, &n, &err) == 1 && len == 5 && n == 1);
    CHECK(fcntl(fds[0], F_GETFD) == FD_CLOEXEC);
    (void)close(fds[0]);
    CHECK_OK(msg_send(a, BUF_LIT("a message that is too large"), NULL, 0, &err), err);
    CHECK_ERR(msg_recv(b, text, sizeof(text), &len, fds, &n, &err), ERR_INVALID, err);
    (void)fcntl(b, F_SETFL, O_NONBLOCK);
    CHECK_ERR(msg_recv(b, text, sizeof(text), &len, fds, &n, &err), ERR_AGAIN, err);
    (void)close(a);
    CHECK(msg_recv(b, text, sizeof(text), &len, fds, &n, &err) == 0);
    CHECK_ERR(msg_send(b, BUF_LIT("x"), NULL, 0, &err), ERR_NET, err);
    (void)close(b);
    (void)close(null);
}

/* ---- loop and jobs ---- */

static struct loop *loop;
static unsigned fired[3], n_fired;
static struct loop_timer timers[3];

static void on_timer(struct loop_timer *t)
{
    fired[n_fired++] = (unsigned)(t - timers);
    if (n_fired == 2)
        loop_stop(loop);
}

TEST(timers_fire_in_order)
{
    struct err err = ERR_INIT;
    uint64_t now = clock_boot_ms();

    CHECK_OK(loop_new(&loop, &err), err);
    for (unsigned i = 0; i < 3; i++)
        timers[i].on_fire = on_timer;
    loop_timer_set(loop, &timers[0], now + 30);
    loop_timer_set(loop, &timers[1], now + 10);
    loop_timer_set(loop, &timers[2], now + 20);
    loop_timer_del(loop, &timers[2]);
    CHECK_OK(loop_run(loop, &err), err);
    CHECK(n_fired == 2 && fired[0] == 1 && fired[1] == 0 && timers[0].at_ms == 0);
    loop = loop_free(loop);
}

struct seen_job {
    struct job_verdict verdict;
    char lines[200];
    bool done;
};
static void on_line(void *arg, const char *line)
{
    struct seen_job *s = arg;

    strncat(s->lines, line, sizeof(s->lines) - strlen(s->lines) - 1);
}
static void on_done(void *arg, const struct job_verdict *v)
{
    struct seen_job *s = arg;

    s->verdict = *v;
    s->done = true;
    loop_stop(loop);
}
static int job_says(void *arg, int line_fd, struct err *err)
{
    job_line(line_fd, "progress 1 %d\n2", 2);
    return strcmp(arg, "bad") == 0 ? err_set(err, ERR_INTEGRITY, "object %s", "x\ny") : 0;
}
static int job_sleeps(void *arg, int line_fd, struct err *err)
{
    (void)arg;
    (void)line_fd;
    (void)err;
    for (;;)
        (void)pause();
    return 0;
}
static int job_dies(void *arg, int line_fd, struct err *err)
{
    (void)arg;
    (void)line_fd;
    (void)err;
    return raise(SIGSEGV);
}
static int job_eats(void *arg, int line_fd, struct err *err)
{
    (void)arg;
    (void)err;
    for (int i = 0; i < 64; i++)
        memset(mem_need(1 << 20), 1, 1 << 20);
    job_line(line_fd, "fed");
    return 0;
}

static struct seen_job run_job(struct job_spec spec, const char *cancel)
{
    struct err err = ERR_INIT;
    struct seen_job s = {.done = false};
    struct job_calls calls = {on_line, on_done, &s};
    struct job *j = NULL;

    CHECK_OK(loop_new(&loop, &err), err);
    spec.deadline_ms = spec.deadline_ms ? spec.deadline_ms : 10000;
    CHECK_OK(job_start(loop, &spec, &calls, &j, &err), err);
    if (cancel)
        job_cancel(j, cancel);
    CHECK_OK(loop_run(loop, &err), err);
    CHECK(s.done);
    loop = loop_free(loop);
    return s;
}

TEST(jobs_give_one_verdict)
{
    char *argv[] = {"/bin/sh", "-c", "echo progress >&3; read x <&4; echo ok $x >&3", NULL};
    char *gone[] = {"/no/such/program", NULL};
    struct seen_job s = run_job((struct job_spec){.name = "good", .fn = job_says, .arg = "good"}, NULL);

    CHECK(s.verdict.err.kind == ERR_NONE);
    CHECK_STR(s.lines, "progress 1 2 2");
    s = run_job((struct job_spec){.name = "bad", .fn = job_says, .arg = "bad"}, NULL);
    CHECK(s.verdict.err.kind == ERR_INTEGRITY);
    CHECK_STR(s.verdict.err.msg, "object x y");
    s = run_job((struct job_spec){.name = "late", .fn = job_sleeps, .deadline_ms = 50}, NULL);
    CHECK(s.verdict.err.kind == ERR_TIMEOUT);
    s = run_job((struct job_spec){.name = "cancel", .fn = job_sleeps}, "not wanted");
    CHECK_STR(s.verdict.err.msg, "cancel: cancelled: not wanted");
    s = run_job((struct job_spec){.name = "crash", .fn = job_dies}, NULL);
    CHECK(s.verdict.err.kind == ERR_IO);
    int p[2];
    CHECK(pipe(p) == 0 && write(p[1], "word\n", 5) == 5);
    s = run_job((struct job_spec){.name = "exec", .argv = argv, .fds = &p[0], .n_fds = 1}, NULL);
    CHECK(s.verdict.err.kind == ERR_NONE);
    CHECK_STR(s.verdict.result, "word");
    (void)close(p[0]);
    (void)close(p[1]);
    s = run_job((struct job_spec){.name = "gone", .argv = gone}, NULL);
    CHECK(s.verdict.err.kind == ERR_NOTFOUND);
}

TEST(a_job_dies_inside_its_ceiling)
{
    struct cgroup_host h;
    struct err err = ERR_INIT;
    char path[64];

    if (getuid() != 0 || cgroup_detect(&h, &err) < 0 || h.ctl[CGROUP_MEMORY].mode == CGROUP_NONE) {
        printf("  no memory cgroup here: not tried\n");
        return;
    }
    (void)str_fmt(path, sizeof(path), "limpet-unit-%d/job", (int)getpid());
    struct job_spec spec = {
        .name = "hog", .fn = job_eats, .cgroups = &h, .cgroup_path = path, .memory_max_bytes = 8 << 20};
    struct seen_job s = run_job(spec, NULL);
    CHECK(s.verdict.err.kind == ERR_NOMEM);
    CHECK(strstr(s.lines, "fed") == NULL);
    spec.memory_max_bytes = 256 << 20; /* the control */
    s = run_job(spec, NULL);
    CHECK(s.verdict.err.kind == ERR_NONE);
    CHECK_STR(s.lines, "fed");
}

/* ---- sandbox: each "cannot" with the same done before ---- */

static int tries(void)
{
    int got = 0, p[2];

    got |= open("/etc/passwd", O_RDONLY) >= 0 ? 1 : 0;
    got |= open("/tmp/limpet-unit-sandbox", O_WRONLY | O_CREAT, 0600) >= 0 ? 2 : 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    got |= pid > 0 ? 4 : 0;
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
    got |= chroot("/") == 0 ? 8 : 0;
    got |= setuid(0) == 0 ? 16 : 0;
    got |= open("/etc/hosts", O_RDONLY) >= 0 ? 32 : 0;
    got |= pipe(p) == 0 ? 64 : 0;
    return got;
}

TEST(the_sandbox_holds)
{
    static const char *const readable[] = {"/etc/hosts", NULL};
    struct sandbox s = {
        .uid = 65534, .gid = 65534, .file_bytes = UINT64_MAX, .open_files = 32, .read_paths = readable};
    char missing[64] = "?";
    struct err err = ERR_INIT;
    int status;

    if (getuid() != 0)
        SKIP("the sandbox test needs root");
    CHECK(tries() == 127); /* the control: all of it works before */
    (void)unlink("/tmp/limpet-unit-sandbox");
    pid_t pid = fork();
    if (pid == 0) {
        if (sandbox_enter(&s, missing, sizeof(missing), &err) < 0)
            _exit(255);
        _exit(missing[0] ? 254 : tries());
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    if (WEXITSTATUS(status) == 254)
        printf("  this kernel lacks something of the sandbox: not judged\n");
    else
        CHECK(WEXITSTATUS(status) == (32 | 64)); /* what was allowed still works, nothing else */
}

/* What else a process of the same user could reach; other: one. */
static int reaches(pid_t other)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0limpet-unit-sandbox"};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct rlimit limit;
    int got = 0, fd = socket(AF_UNIX, SOCK_STREAM, 0);

    got |= fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? 1 : 0;
    got |= socket(AF_NETLINK, SOCK_RAW, 0) >= 0 ? 2 : 0;
    got |= kill(other, 0) == 0 ? 4 : 0;
    got |= prlimit(other, RLIMIT_NOFILE, NULL, &limit) == 0 ? 8 : 0;
    got |= truncate("/tmp/limpet-unit-world", 1) == 0 ? 16 : 0;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    got |= fd >= 0 ? 32 : 0;
    got |= fd >= 0 && bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 ? 64 : 0;
    got |= prlimit(0, RLIMIT_NOFILE, NULL, &limit) == 0 ? 128 : 0;
    return got;
}

static int reaches_in(const struct sandbox *s, pid_t other)
{
    char missing[64] = "";
    struct err err = ERR_INIT;
    int p[2], got = -1, status;

    CHECK(pipe(p) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (s ? sandbox_enter(s, missing, sizeof(missing), &err) < 0
              : setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
            _exit(1);
        got = missing[0] ? -2 : reaches(other);
        _exit(write(p[1], &got, sizeof(got)) != sizeof(got));
    }
    CHECK(waitpid(pid, &status, 0) == pid && read(p[0], &got, sizeof(got)) == sizeof(got));
    (void)close(p[0]);
    (void)close(p[1]);
    return got;
}

TEST(the_sandbox_holds_off_others)
{
    static const char *const none[] = {NULL};
    struct sandbox s = {.uid = 65534,
                        .gid = 65534,
                        .file_bytes = UINT64_MAX,
                        .open_files = 32,
                        .read_paths = none,
                        .network = true};
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0limpet-unit-sandbox"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), file;

    if (getuid() != 0)
        SKIP("the sandbox test needs root");
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 8) == 0);
    file = open("/tmp/limpet-unit-world", O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    CHECK(file >= 0 && fchmod(file, 0666) == 0);
    pid_t other = fork();
    if (other == 0) {
        if (setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0)
            (void)pause();
        _exit(1);
    }
    while (kill(other, 0) == 0 &&
           reaches_in(NULL, other) != 255) /* the control; until it has become that user */
        (void)usleep(1000);
    int abi = sys_landlock_create_ruleset(NULL, 0, 1), got = reaches_in(&s, other);
    if (abi < 6 || got == -2)
        printf("  this kernel lacks something of the sandbox (Landlock ABI %d): not judged\n", abi);
    else
        CHECK(got == (32 | 128));
    s.network = false;
    got = reaches_in(&s, other);
    CHECK(got == 128 || got == -2);
    (void)kill(other, SIGKILL);
    (void)waitpid(other, NULL, 0);
    (void)unlink("/tmp/limpet-unit-world");
    (void)close(file);
    (void)close(fd);
}

/* ---- crypto ---- */

TEST(hashes_and_texts)
{
    struct err err = ERR_INIT;
    struct digest d, e;
    char text[SHA256_TEXT];

    CHECK_OK(crypto_init(&err), err);
    CHECK_OK(sha256(BUF_LIT("abc"), &d, &err), err);
    CHECK_STR(digest_text(&d, text),
              "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_OK(digest_parse(text, &e, &err), err);
    CHECK(digest_eq(&d, &e));
    static const char *const bad[] = {
        "",
        "sha256:",
        "SHA256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015add",
        "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:../../etc/passwd",
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"};
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        CHECK_ERR(digest_parse(bad[i], &e, &err), ERR_INVALID, err);
}

TEST(signatures)
{
    struct err err = ERR_INIT;
    uint8_t priv[P256_PRIV_BYTES];
    struct p256_pub pub, other;
    struct p256_sig sig, bad;

    CHECK_OK(crypto_init(&err), err);
    CHECK_OK(p256_generate(priv, &pub, &err), err);
    CHECK_OK(p256_public(priv, &other, &err), err);
    CHECK(memcmp(&pub, &other, sizeof(pub)) == 0);
    CHECK_OK(p256_sign(priv, BUF_LIT("message"), &sig, &err), err);
    CHECK_OK(p256_verify(&pub, BUF_LIT("message"), &sig, &err), err);
    CHECK_ERR(p256_verify(&pub, BUF_LIT("messagf"), &sig, &err), ERR_INTEGRITY, err);
    for (unsigned bit = 0; bit < 8 * sizeof(sig.b); bit += 37) {
        bad = sig;
        bad.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(p256_verify(&pub, BUF_LIT("message"), &bad, &err) < 0);
    }
    memset(&bad, 0, sizeof(bad));
    CHECK(p256_verify(&pub, BUF_LIT("message"), &bad, &err) < 0);
    other.b[10] ^= 1; /* not on the curve */
    CHECK_ERR(p256_verify(&other, BUF_LIT("message"), &sig, &err), ERR_INVALID, err);
}

TEST(base64_is_strict)
{
    struct err err = ERR_INIT;
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    static const char *const bad[] = {
        "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9v", "Zm9v\n", "Zg==Zg==", "=Zg=", "Zm9*", "Zm9v===="};
    char out[16];
    size_t len;

    for (unsigned i = 0; i < COUNT_OF(pairs); i++) {
        char *text = base64_encode(buf_str(pairs[i][0]));
        CHECK_STR(text, pairs[i][1]);
        CHECK_OK(base64_decode(buf_str(text), out, sizeof(out), &len, &err), err);
        CHECK(len == strlen(pairs[i][0]) && memcmp(out, pairs[i][0], len) == 0);
        free(text);
    }
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        CHECK_ERR(base64_decode(buf_str(bad[i]), out, sizeof(out), &len, &err), ERR_INVALID, err);
    CHECK_ERR(base64_decode(BUF_LIT("Zm9vYg=="), out, 3, &len, &err), ERR_NOSPACE, err);
}
TEST_MAIN
