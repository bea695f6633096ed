/* sys: calls and their switches, fds closed on both ways, identity of a process. */
#include "platform/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "platform/fs.h"
#include "platform/mem.h"

static int fd_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static long own_oom(void)
{
    char text[16];

    return fs_read_text(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof text, NULL) > 0
               ? strtol(text, NULL, 10)
               : -2000;
}

TEST(what_can_be_done_again_goes_before_its_parent_when_memory_is_gone)
{
    long own = own_oom(), want = own + 300 < 0 ? 0 : own + 300 > 1000 ? 1000 : own + 300;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        sys_oom_raise(300, 0);
        _exit(own_oom() == want ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(own_oom() == own); /* control: only the child */
}

TEST(denied_call_answers_enosys_and_comes_back)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC};
    int fd;

    sys_deny(1u << SYS_CALL_OPENAT2);
    errno = 0;
    CHECK(sys_openat2(AT_FDCWD, "/", &how) == -1 && errno == ENOSYS);
    CHECK(sys_denied(SYS_CALL_OPENAT2) && !sys_denied(SYS_CALL_CLONE3));
    sys_deny(0);
    fd = sys_openat2(AT_FDCWD, "/", &how);
    CHECK(fd >= 0 || errno == ENOSYS);
    if (fd >= 0)
        close(fd);
}

/* In a child, since it closes everything: which of 100..105 survive? Bit mask. */
static int closed_with(unsigned deny)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int keep[] = {101, 104}, mask = 0;
        for (int i = 100; i <= 105; i++)
            dup2(0, i);
        for (int i = 200; i < 400; i++)
            dup2(0, i);
        sys_deny(deny);
        sys_close_from(100, keep, 2);
        for (int i = 200; i < 400; i++)
            if (fd_is_open(i))
                _exit(255);
        for (int i = 0; i < 6; i++)
            mask |= fd_is_open(100 + i) << i;
        _exit(mask);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(close_from_keeps_the_list_on_each_way)
{
    CHECK(closed_with(0) == (1 << 1 | 1 << 4));
    CHECK(closed_with(1u << SYS_CALL_CLOSE_RANGE) == (1 << 1 | 1 << 4));
}

TEST(proc_start_tells_processes_apart)
{
    uint64_t mine = sys_proc_start(getpid());
    pid_t pid = fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    CHECK(mine > 0 && sys_proc_start(getpid()) == mine);
    CHECK(sys_proc_start(pid) >= mine);
    CHECK(sys_kill_fd(-1, pid, SIGKILL) == 0);
    waitpid(pid, NULL, 0);
    CHECK(sys_proc_start(pid) == 0);
    CHECK(sys_kill_fd(-1, pid, 0) == -1 && errno == ESRCH);
}

TEST(clone3_forks_and_gives_a_pidfd)
{
    int pidfd = -1, status = 0;
    struct sys_clone_args a = {
        .flags = 0x1000 /* CLONE_PIDFD */, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    pid_t pid = sys_clone3(&a);

    if (pid == 0) {
        pause();
        _exit(0);
    }
    if (pid < 0 && errno == ENOSYS)
        return; /* before 5.3 */
    CHECK(pid > 0 && pidfd >= 0);
    CHECK(sys_kill_fd(pidfd, pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHECK(sys_kill_fd(pidfd, pid, SIGKILL) == -1 && errno == ESRCH);
    close(pidfd);
}
TEST(ignored_signals_are_told)
{
    AUTO_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    uint64_t before = sys_ignored_signals(proc), bit = 1ULL << (SIGUSR2 - 1);

    CHECK(sys_ignored_signals(-1) == UINT64_MAX);
    (void)signal(SIGUSR2, SIG_IGN);
    CHECK(sys_ignored_signals(proc) == (before | bit));
    (void)signal(SIGUSR2, SIG_DFL);
    CHECK(sys_ignored_signals(proc) == (before & ~bit));
}

/* A pipe whose end reads as this letter. */
static int letter(char c)
{
    int p[2];

    if (pipe(p) < 0 || write(p[1], (char[]){c, '\n'}, 2) != 2)
        return -1;
    (void)close(p[1]);
    return p[0];
}

TEST(a_program_finds_its_descriptors_from_3_on)
{
    int fds[3], status = 0;
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"},
                    (char[]){"read a <&3; read b <&4; read c <&5; [ $a$b$c = xyz ] || exit 1; ! (: <&6)"},
                    NULL};

    for (unsigned i = 0; i < 3; i++)
        fds[i] = letter((char)('z' - (char)i));
    (void)letter('-'); /* one that must not get there */
    const int swapped[3] = {fds[2], fds[1], fds[0]};
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(open("/dev/null", O_WRONLY), 2);
        (void)sys_exec("/bin/sh", argv, environ, swapped, 3);
        _exit(127);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (unsigned i = 0; i < 3; i++)
        (void)close(fds[i]);
}

TEST_MAIN
