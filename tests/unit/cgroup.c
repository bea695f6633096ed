/* cgroup: real groups on this machine, whatever mode it has. Needs root; every group made is removed. */
#include "platform/cgroup/cgroup.h"

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
    (void)alarm(400); /* a wait that never ends must not hang the run */
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

/* Within seconds when it should, on a busy machine; that it does not is looked at for a moment. */
static bool is_moving(bool should)
{
    unsigned before = *counter;

    for (int i = 0; i < (should ? 1000 : 5) && *counter == before; i++)
        usleep(10000);
    return *counter != before;
}

TEST(kill_reaches_the_frozen)
{
    struct cgroup_report rep;
    struct cgroup *c = make(&CGROUP_LIMITS_NONE, &rep);
    pid_t child;

    counter = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    child = child_in(c, count_up);
    CHECK(is_moving(true));
    if (cgroup_freeze(c, true, &err) == 0) {
        CHECK(!is_moving(false));
        CHECK_OK(cgroup_freeze(c, false, &err), err);
        CHECK(is_moving(true));
        CHECK_OK(cgroup_freeze(c, true, &err), err);
    }
    CHECK_OK(cgroup_kill(c, &err), err);
    CHECK(exit_of(child) == 128 + SIGKILL);
    unmake(c);
}

TEST(frozen_is_seen)
{
    struct cgroup_report rep;
    struct cgroup *c = make(&CGROUP_LIMITS_NONE, &rep);
    pid_t child = child_in(c, sleeper);

    for (int i = 0; i < 5000 && cgroup_is_empty(c); i++) /* it moves itself */
        usleep(1000);
    CHECK(!cgroup_is_frozen(&host, name));
    if (cgroup_freeze(c, true, &err) == 0) {
        char who[200];
        CHECK(cgroup_is_frozen(&host, name));
        CHECK(strstr(cgroup_who(c, who, sizeof who), "unit_cgroup"));
        CHECK_OK(cgroup_freeze(c, false, &err), err);
    }
    CHECK(!cgroup_is_frozen(&host, name) && !cgroup_is_frozen(&host, "limpet-test/nothing"));
    CHECK_OK(cgroup_kill(c, &err), err);
    CHECK(exit_of(child) == 128 + SIGKILL);
    unmake(c);
}

TEST(limits_rise_and_fall_together)
{
    static const uint64_t steps[] = {64 << 20, 8 << 20, 256 << 20, 16 << 20};
    struct cgroup_limits lim = CGROUP_LIMITS_NONE;
    struct cgroup_report rep;
    struct cgroup *c;

    lim.memory_max_bytes = 32 << 20;
    lim.swap_max_bytes = 1 << 20;
    c = make(&lim, &rep);
    for (size_t i = 0; rep.swap.state == CGROUP_ENFORCED && i < COUNT_OF(steps); i++) {
        lim.memory_max_bytes = steps[i];
        CHECK_OK(cgroup_set(c, &lim, &rep, &err), err);
        CHECK(rep.memory.state == CGROUP_ENFORCED && rep.memory.value == steps[i]);
        CHECK(rep.swap.state == CGROUP_ENFORCED && rep.swap.value == 1 << 20);
    }
    unmake(c);
}

TEST(systemd_paths_are_read)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } rows[] = {{"/a/b", "/a/b"},
                {"a/b", "a/b"},
                {"/kube:x:y", "/kube:x:y"},
                {"a:b", "a:b"},
                {"machine.slice:libpod:12", "/machine.slice/libpod-12.scope"},
                {":cri:12", "/system.slice/cri-12.scope"},
                {"-.slice:p:n", "/p-n.scope"},
                {"a-b-c.slice:p:n", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"},
                {"a.slice:p:n.slice", "/a.slice/p-n.slice"},
                {"a--b.slice:p:n", NULL},
                {"noslice:p:n", NULL}};
    char got[64];

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].out) {
            CHECK(cgroup_path_read(rows[i].in, got, sizeof got));
            CHECK_STR(got, rows[i].out);
        } else {
            CHECK(!cgroup_path_read(rows[i].in, got, sizeof got));
        }
    CHECK(!cgroup_path_read("machine.slice:libpod:12", got, 20));
}

/* ---- devices ---- */

static const struct {
    const char *path;
    unsigned minor; /* of major 1 */
} nodes[] = {{"/dev/null", 3}, {"/dev/zero", 5}, {"/dev/full", 7}, {"/dev/random", 8}, {"/dev/urandom", 9}};

/* Bit i: nodes[i] could be read, bit i + 8: written. */
static int try_nodes(void)
{
    int got = 0;

    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        int r = open(nodes[i].path, O_RDONLY), w = open(nodes[i].path, O_WRONLY);
        got |= r >= 0 ? 1 << i : 0;
        got |= w >= 0 ? 1 << (i + 8) : 0;
        if (r >= 0)
            close(r);
        if (w >= 0)
            close(w);
    }
    return got;
}

static int try_in(struct cgroup *c)
{
    int p[2], got = -1;
    pid_t pid;

    if (pipe(p) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        int seen = cgroup_attach_self(c, false) < 0 ? -2 : try_nodes();
        _exit(write(p[1], &seen, sizeof seen) == sizeof seen ? 0 : 1);
    }
    CHECK(exit_of(pid) == 0 && read(p[0], &got, sizeof got) == sizeof got);
    close(p[0]);
    close(p[1]);
    return got;
}

static int expect(const struct cgroup_device *rules, unsigned n)
{
    int want = 0;

    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        struct cgroup_device d = {
            .type = 'c', .major = 1, .minor = nodes[i].minor, .access = CGROUP_DEV_READ};
        want |= cgroup_devices_decide(rules, n, &d) ? 1 << i : 0;
        d.access = CGROUP_DEV_WRITE;
        want |= cgroup_devices_decide(rules, n, &d) ? 1 << (i + 8) : 0;
    }
    return want;
}

enum { R = CGROUP_DEV_READ, W = CGROUP_DEV_WRITE, ALL = CGROUP_DEV_ALL };
static const struct rule_set {
    const char *what;
    unsigned n;
    struct cgroup_device rules[6];
    bool not_v1; /* more than v1's list can say */
} rule_sets[] = {
    {"nothing", 1, {{false, 'a', -1, -1, ALL}}, false},
    {"all", 1, {{true, 'a', -1, -1, ALL}}, false},
    {"one", 2, {{false, 'a', -1, -1, ALL}, {true, 'c', 1, 3, ALL}}, false},
    {"one for reading", 2, {{false, 'a', -1, -1, ALL}, {true, 'c', 1, 5, R}}, false},
    {"two halves", 3, {{false, 'a', -1, -1, ALL}, {true, 'c', 1, 5, R}, {true, 'c', 1, 5, W}}, false},
    {"taken back in part",
     3,
     {{false, 'a', -1, -1, ALL}, {true, 'c', 1, 5, ALL}, {false, 'c', 1, 5, W}},
     false},
    {"all of a major", 2, {{false, 'a', -1, -1, ALL}, {true, 'c', 1, -1, ALL}}, false},
    {"blocks only", 2, {{false, 'a', -1, -1, ALL}, {true, 'b', -1, -1, ALL}}, false},
    {"all but one", 2, {{true, 'a', -1, -1, ALL}, {false, 'c', 1, 5, ALL}}, false},
    {"no word of the others", 1, {{true, 'c', 1, 3, ALL}}, false},
    {"begun anew", 3, {{true, 'c', 1, 9, ALL}, {false, 'a', -1, -1, ALL}, {true, 'c', 1, 3, ALL}}, false},
    {"one of many", 3, {{false, 'a', -1, -1, ALL}, {true, 'c', 1, -1, ALL}, {false, 'c', 1, 5, ALL}}, true},
};

static void walk_rules(struct cgroup *c, bool v1)
{
    struct cgroup_field f;

    for (size_t i = 0; i < COUNT_OF(rule_sets); i++) {
        const struct rule_set *s = &rule_sets[i];
        if (v1 && s->not_v1)
            continue;
        cgroup_devices_set(c, s->rules, s->n, &f);
        CHECK(f.state == CGROUP_ENFORCED);
        if (try_in(c) != expect(s->rules, s->n)) {
            printf("     rules \"%s\": got %x, want %x\n", s->what, try_in(c), expect(s->rules, s->n));
            CHECK(!"the kernel and the model agree");
        }
    }
}

static void plug(struct cgroup *c)
{
    static const struct cgroup_device only_null[] = {{false, 'a', -1, -1, ALL}, {true, 'c', 1, 3, ALL}};
    struct cgroup_field f;

    cgroup_devices_set(c, only_null, 2, &f);
    CHECK(try_in(c) == (1 << 0 | 1 << 8));
    for (int i = 0; i < 300; i++) { /* more often than there is room for rules */
        CHECK_OK(cgroup_device_allow(c, 'c', 1, 5, ALL, &err), err);
        if (i == 0)
            CHECK(try_in(c) == (3 << 0 | 3 << 8));
        CHECK_OK(cgroup_device_deny(c, 'c', 1, 5, ALL, &err), err);
    }
    CHECK(try_in(c) == (1 << 0 | 1 << 8));
}

/* The group with a devices list of the one kind or the other; NULL: not on this machine. */
static struct cgroup *device_group(bool v1)
{
    struct cgroup_list *list = mem_need(sizeof *list);
    struct cgroup_host h;
    struct cgroup *c = make(&CGROUP_LIMITS_NONE, &(struct cgroup_report){0});

    unmake(c);
    h = host;
    if (v1 ? h.ctl[CGROUP_DEVICES].mode != CGROUP_V1 : h.v2_mount[0] == '\0') {
        free(list);
        return NULL;
    }
    if (!v1)
        h.ctl[CGROUP_DEVICES].mode = CGROUP_NONE;
    cgroup_list_init(list);
    list->has_devices = true;
    list->devices[list->n_devices++] = (struct cgroup_device){true, 'a', -1, -1, ALL};
    (void)snprintf(name, sizeof name, "limpet-test-%d/a", (int)getpid());
    CHECK_OK(cgroup_make_list(&h, name, list, &c, &err), err);
    printf("     devices by %s: %s %s\n", v1 ? "v1's list" : "a program",
           cgroup_state_name(list->device_state.state), list->device_state.why);
    if (list->device_state.state != CGROUP_ENFORCED) {
        unmake(c);
        c = NULL;
    }
    free(list);
    return c;
}

TEST(device_rules_by_the_list)
{
    struct cgroup *c = device_group(true);

    if (!c)
        return;
    walk_rules(c, true);
    plug(c);
    unmake(c);
}

TEST(device_rules_by_a_program)
{
    struct cgroup *c = device_group(false);

    if (!c)
        return;
    walk_rules(c, false);
    plug(c);
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
