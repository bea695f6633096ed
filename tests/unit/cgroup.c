/* cgroup: real groups on this machine, whatever mode it has. Needs root; every group made is removed. */
#include "platform/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "platform/mem.h"
#include "platform/sys.h"

static struct cgroup_host host;
static struct err err;
static char name[64];

static struct cgroup *make(const struct cgroup_limits *lim, struct cgroup_report *rep)
{
    struct cgroup *c = NULL;

    if (geteuid() != 0)
        SKIP("needs root");
    CHECK_OK(cgroup_detect(&host, &err), err);
    if (strcmp(host.name, "none") == 0)
        SKIP("no cgroups here");
    (void)snprintf(name, sizeof name, "limpet-test-%d/a", (int)getpid());
    CHECK_OK(cgroup_make(&host, name, lim, &c, rep, &err), err);
    if (!c)
        exit(1);
    (void)alarm(60); /* a wait that never ends must not hang the run */
    return c;
}

static void unmake(struct cgroup *c)
{
    struct cgroup *up = NULL;

    CHECK_OK(cgroup_kill(c, &err), err);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    CHECK_OK(cgroup_remove(c, 2000, &err), err);
    (void)cgroup_free(c);
    CHECK_ERR(cgroup_open(&host, name, &c, &err), ERR_NOTFOUND, err);
    *strchr(name, '/') = '\0';
    if (cgroup_open(&host, name, &up, &err) == 0) {
        CHECK_OK(cgroup_remove(up, 2000, &err), err);
        (void)cgroup_free(up);
    }
}

/* A child inside the group that runs fn and exits with what it returns. */
static pid_t child_in(struct cgroup *c, int (*fn)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        if (cgroup_attach_self(c, false) < 0)
            _exit(99);
        _exit(fn());
    }
    return pid;
}

static int sleeper(void)
{
    while (pause() == -1)
        ;
    return 0;
}

static int exit_of(pid_t pid)
{
    int status = 0;

    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(bad_paths_are_refused)
{
    static const char *const bad[] = {"", "/", "a//b", "../x", "a/..", "a/./b", "a b", "a/", "//a", "a\nb"};
    struct cgroup_report rep;
    struct cgroup *c = NULL;

    CHECK_OK(cgroup_detect(&host, &err), err);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_ERR(cgroup_make(&host, bad[i], &CGROUP_LIMITS_NONE, &c, &rep, &err), ERR_INVALID, err);
}

TEST(limits_are_read_back)
{
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;
    struct cgroup_report rep;
    struct cgroup_usage u;
    struct cgroup *c;

    lim.memory_max_bytes = 32 << 20;
    lim.swap_max_bytes = 0;
    lim.pids_max = 7;
    lim.cpu_quota_us = 25000;
    c = make(&lim, &rep);
    printf("     mode %s: memory %s %llu, swap %s, cpu %s, pids %s\n", host.name,
           cgroup_state_name(rep.memory.state), (unsigned long long)rep.memory.value,
           cgroup_state_name(rep.swap.state), cgroup_state_name(rep.cpu.state),
           cgroup_state_name(rep.pids.state));
    if (host.ctl[CGROUP_MEMORY].mode != CGROUP_NONE)
        CHECK(rep.memory.state == CGROUP_ENFORCED && rep.memory.value == 32 << 20);
    if (host.ctl[CGROUP_PIDS].mode != CGROUP_NONE)
        CHECK(rep.pids.state == CGROUP_ENFORCED && rep.pids.value == 7);
    if (host.ctl[CGROUP_CPU].mode != CGROUP_NONE)
        CHECK(rep.cpu.state != CGROUP_NOT_ASKED);
    lim.memory_max_bytes = 64 << 20;
    lim.pids_max = CGROUP_UNSET;
    CHECK_OK(cgroup_set(c, &lim, &rep, &err), err);
    CHECK(rep.pids.state == CGROUP_NOT_ASKED && rep.pids.value == CGROUP_UNSET);
    cgroup_usage(c, &u);
    if (host.ctl[CGROUP_MEMORY].mode != CGROUP_NONE)
        CHECK(rep.memory.value == 64 << 20 && u.memory_limit_bytes == 64 << 20);
    unmake(c);
}

TEST(a_missing_controller_is_reported_not_assumed)
{
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;
    struct cgroup_host none = {.name = "none"};
    struct cgroup_report rep;
    struct cgroup *c = NULL;

    lim.memory_max_bytes = lim.pids_max = 1 << 20;
    CHECK_OK(cgroup_make(&none, "limpet-test/none", &lim, &c, &rep, &err), err);
    CHECK(rep.memory.state == CGROUP_UNSUPPORTED && rep.pids.state == CGROUP_UNSUPPORTED);
    CHECK(rep.swap.state == CGROUP_NOT_ASKED && strstr(rep.memory.why, "cgroup_enable=memory"));
    CHECK(cgroup_is_empty(c) && cgroup_kill(c, &err) == 0 && cgroup_remove(c, 0, &err) == 0);
    (void)cgroup_free(c);
}

static int forks_refused(void)
{
    int refused = 0;

    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0 * pause());
        refused += pid < 0;
    }
    return refused;
}

TEST(pids_limit_holds)
{
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;
    struct cgroup_report rep;
    struct cgroup *c;

    lim.pids_max = 5;
    c = make(&lim, &rep);
    if (rep.pids.state == CGROUP_ENFORCED) {
        CHECK(exit_of(child_in(c, forks_refused)) == 16);
        CHECK(!cgroup_is_empty(c));
    }
    unmake(c);
}

static int eat_memory(void)
{
    size_t len = 64 << 20;
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return 98;
    for (size_t i = 0; i < len; i += 4096)
        p[i] = 1;
    return 0;
}

TEST(memory_limit_kills_inside_and_tells)
{
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;
    struct cgroup_report rep;
    struct cgroup_usage u;
    uint32_t events = 0;
    struct cgroup *c;
    int fd, code;

    lim.memory_max_bytes = 16 << 20;
    lim.swap_max_bytes = 0;
    c = make(&lim, &rep);
    fd = cgroup_oom_fd(c, &events);
    code = exit_of(child_in(c, eat_memory));
    if (rep.memory.state == CGROUP_ENFORCED) {
        struct pollfd p = {.fd = fd, .events = events == 1 ? POLLIN : POLLPRI};
        CHECK(code == 128 + SIGKILL);
        cgroup_usage(c, &u);
        CHECK(u.oom_kills >= 1 && u.oom_kills != CGROUP_UNSET);
        CHECK(fd >= 0 && poll(&p, 1, 1000) == 1);
    } else {
        CHECK(code == 0); /* the control: without the limit it has room */
    }
    if (fd >= 0)
        close(fd);
    unmake(c);
}

static void kill_walk(unsigned deny)
{
    struct cgroup_report rep;
    struct cgroup *c = make(&CGROUP_LIMITS_NONE, &rep), *again = NULL;
    pid_t pids[16], child = child_in(c, sleeper), other;

    other = fork();
    if (other == 0)
        _exit(sleeper());
    CHECK_OK(cgroup_attach(c, other, &err), err);
    for (int i = 0; i < 1000 && cgroup_pids(c, pids, 16) < 2; i++)
        usleep(1000);
    CHECK(cgroup_pids(c, pids, 16) == 2 && !cgroup_is_empty(c));
    CHECK_ERR(cgroup_remove(c, 5, &err), ERR_CONFLICT, err);
    CHECK_OK(cgroup_open(&host, name, &again, &err), err);
    sys_deny(deny);
    CHECK_OK(cgroup_kill(again, &err), err);
    sys_deny(0);
    CHECK(exit_of(child) == 128 + SIGKILL && exit_of(other) == 128 + SIGKILL);
    CHECK(cgroup_is_empty(again));
    (void)cgroup_free(again);
    unmake(c);
}

TEST(kill_reaches_all_by_the_file)
{
    kill_walk(0);
}

TEST(kill_reaches_all_by_freezing)
{
    kill_walk(1u << SYS_CALL_CGROUP_KILL);
}

static volatile unsigned *counter; /* shared with the child */

static int count_up(void)
{
    for (;; usleep(500))
        ++*counter;
    return 0;
}

static bool is_moving(void)
{
    unsigned before = *counter;

    usleep(50000);
    return *counter != before;
}

TEST(kill_reaches_the_frozen)
{
    struct cgroup_report rep;
    struct cgroup *c = make(&CGROUP_LIMITS_NONE, &rep);
    pid_t child;

    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    child = child_in(c, count_up);
    CHECK(is_moving());
    if (cgroup_freeze(c, true, &err) == 0) {
        CHECK(!is_moving());
        CHECK_OK(cgroup_freeze(c, false, &err), err);
        CHECK(is_moving());
        CHECK_OK(cgroup_freeze(c, true, &err), err);
    }
    CHECK_OK(cgroup_kill(c, &err), err);
    CHECK(exit_of(child) == 128 + SIGKILL);
    unmake(c);
}

TEST(own_group_can_be_left)
{
    struct cgroup_host h = {.v2_self = "/sys.slice/x/limpet/agent"};

    (void)str_copy(h.ctl[0].self, sizeof h.ctl[0].self, "/limpet/agent");
    (void)str_copy(h.ctl[1].self, sizeof h.ctl[1].self, "/xlimpet/agent");
    cgroup_host_leave(&h, "limpet/agent");
    CHECK_STR(h.v2_self, "/sys.slice/x");
    CHECK_STR(h.ctl[0].self, "");
    CHECK_STR(h.ctl[1].self, "/xlimpet/agent");
}
TEST_MAIN
