/* box: real containers from a busybox rootfs in a temporary directory. Needs root and /bin/busybox
 * (static). */
#include "runtime/box/box.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "platform/fs.h"
#include "platform/sys.h"

static struct cgroup_host host;
static struct err err;
static char root[64];
static char output[16384];

static void remove_root(void)
{
    err_ignore(fs_remove_tree(AT_FDCWD, root, NULL));
}

static void put_program(const char *from)
{
    char cmd[256];

    (void)snprintf(cmd, sizeof cmd,
                   "cp %s %s/bin/busybox && cd %s/bin && for a in $(./busybox --list); do test $a = busybox "
                   "|| ln -sf busybox $a; done",
                   from, root, root);
    if (system(cmd) != 0)
        SKIP("cannot copy busybox");
}

/* A rootfs as the installer lays it: programs and the mount points. */
static void need_root(void)
{
    static const char *const dirs[] = {"bin", "proc", "dev", "sys", "tmp", "run", "etc", "data"};
    char path[128];

    if (geteuid() != 0)
        SKIP("needs root");
    if (access("/bin/busybox", X_OK) != 0)
        SKIP("no busybox");
    if (root[0])
        return;
    (void)strcpy(root, "/tmp/limpet-box-XXXXXX");
    if (!mkdtemp(root))
        SKIP("no /tmp");
    atexit(remove_root);
    (void)chmod(root, 0755);
    for (size_t i = 0; i < COUNT_OF(dirs); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
        (void)mkdir(path, 0755);
    }
    put_program("/bin/busybox");
    (void)snprintf(path, sizeof path, "%s/bin", root);
    CHECK_OK(cgroup_detect(&host, &err), err);
    (void)alarm(500);
}

static struct spec spec_of(const char *const *args)
{
    static char id[32];
    struct spec s;

    need_root();
    spec_defaults(&s);
    (void)snprintf(id, sizeof id, "unit-%d", (int)getpid());
    s.id = id;
    s.rootfs_path = root;
    s.process.args = args;
    return s;
}

static void drain(struct box_started *b)
{
    size_t at = 0;
    struct pollfd p[2] = {{.fd = b->out_fd, .events = POLLIN}, {.fd = b->err_fd, .events = POLLIN}};

    while (p[0].fd >= 0 || p[1].fd >= 0) {
        (void)poll(p, 2, 20000);
        for (int i = 0; i < 2; i++) {
            ssize_t n = p[i].revents ? read(p[i].fd, output + at, sizeof output - 1 - at) : -1;
            if (p[i].revents && n <= 0 && errno != EAGAIN)
                p[i].fd = -1;
            at += n > 0 ? (size_t)n : 0;
        }
    }
    output[at] = '\0';
}

/* Run to the end: output in `output`, returns the exit code (128 + signal), or the negative error of the
 * start. */
static int run(const struct spec *s, struct box_started *ret)
{
    struct box_started b;
    int status = 0, r;

    output[0] = '\0';
    r = box_start(&host, s, &b, &err);
    if (r < 0)
        return r;
    drain(&b);
    (void)waitpid(b.id.pid, &status, 0);
    CHECK(!box_is_alive(&b.id));
    if (ret)
        *ret = b;
    (void)close(b.out_fd);
    (void)close(b.err_fd);
    if (b.pidfd >= 0)
        (void)close(b.pidfd);
    CHECK_OK(box_cleanup(&host, &b.id, &err), err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int sh(const char *script)
{
    const char *args[] = {"/bin/sh", "-c", script, NULL};
    struct spec s = spec_of(args);
    int code = run(&s, NULL);

    if (code < 0)
        printf("     %s\n", err.msg);
    return code;
}

TEST(hello_and_its_report)
{
    const char *args[] = {"echo", "hello", NULL};
    struct spec s = spec_of(args);
    struct box_started b;

    s.limits.memory_max_bytes = 32 << 20;
    s.limits.pids_max = 32;
    CHECK(run(&s, &b) == 0);
    if (output[0] == '\0')
        printf("     %s\n", err.msg);
    CHECK_STR(output, "hello\n");
    printf("     userns %s %s, seccomp %s, memory %s\n", cgroup_state_name(b.report.userns.state),
           b.report.userns.why, cgroup_state_name(b.report.seccomp.state),
           cgroup_state_name(b.report.cgroup.memory.state));
}

TEST(what_a_program_sees_of_itself)
{
    CHECK(sh("echo $$; id -u; id -G; hostname; pwd; umask") == 0);
    printf("     %s\n", output);
    CHECK(strncmp(output, "1\n0\n0\n", 6) == 0);
    CHECK(sh("ls /proc/self/fd | tr '\\n' ' '") == 0);
    CHECK(strncmp(output, "0 1 2 3 ", 8) == 0 && strlen(output) == 8); /* 3 is ls's own directory */
    CHECK(sh("grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status") == 0);
    CHECK(strstr(output, "CapEff:\t0000000000000000") && strstr(output, "CapBnd:\t0000000000000000"));
    CHECK(strstr(output, "CapInh:\t0000000000000000") && strstr(output, "CapAmb:\t0000000000000000"));
    CHECK(strstr(output, "NoNewPrivs:\t1") && strstr(output, "Seccomp:\t2") &&
          strstr(output, "Groups:\t \n"));
}

TEST(environment_is_exact)
{
    const char *args[] = {"/bin/env", NULL}, *env[] = {"A=1", "PATH=/bin", NULL};
    struct spec s = spec_of(args);

    s.process.env = env;
    CHECK(run(&s, NULL) == 0);
    CHECK_STR(output, "A=1\nPATH=/bin\n");
}

TEST(what_a_program_cannot)
{
    /* each with its control: the same kind of thing that it can */
    CHECK(sh("echo x > /tmp/file && ! echo x > /bin/file 2>/dev/null") == 0);
    CHECK(sh("! mount -t tmpfs none /tmp 2>/dev/null && ! umount /tmp 2>/dev/null") == 0);
    CHECK(sh("! echo 1 > /proc/sys/kernel/panic 2>/dev/null && cat /proc/sys/kernel/panic >/dev/null") == 0);
    CHECK(
        sh("test $(cat /proc/kcore /proc/timer_list | wc -c) = 0 && test $(cat /proc/uptime | wc -c) != 0") ==
        0);
    CHECK(sh("test $(ls -d /proc/[0-9]* | wc -l) -le 4 && test -d /proc/1") == 0);
    CHECK(sh("! mknod /tmp/sda b 8 0 2>/dev/null && mknod /tmp/fifo p") == 0);
    CHECK(sh("! chmod 0777 /dev/null 2>/dev/null; chmod 0777 /tmp && echo x >/dev/null") == 0);
    CHECK(sh("! hostname other 2>/dev/null && test $(ls /sys/class/net | wc -l) = 1") == 0);
    CHECK(sh("test ! -e /etc/shadow && test ! -e /home") == 0);
    CHECK(sh("date -s 2020-01-01 2>&1 | grep -q set.date && date >/dev/null") == 0);
    CHECK(sh("dmesg >/tmp/log 2>&1; ! grep -q '^\\[' /tmp/log") == 0);
    CHECK(sh("! chroot / /bin/true 2>/dev/null && /bin/true") == 0);
}

TEST(ids_of_the_host_are_shifted)
{
    const char *args[] = {"sleep", "30", NULL};
    struct spec s = spec_of(args);
    struct box_started b;
    char path[64], text[2048];

    if (box_start(&host, &s, &b, &err) < 0) {
        CHECK_OK(-1, err);
        return;
    }
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)b.id.pid);
    CHECK(fs_read_text(AT_FDCWD, path, text, sizeof text, &err) > 0);
    if (b.report.userns.state == CGROUP_ENFORCED)
        CHECK(strstr(text, "Uid:\t1000000\t1000000"));
    CHECK(box_is_alive(&b.id));
    CHECK_ERR(box_cleanup(&host, &b.id, &err), ERR_CONFLICT, err);
    CHECK_OK(box_kill(&host, &b.id, &err), err);
    (void)waitpid(b.id.pid, NULL, 0);
    CHECK(!box_is_alive(&b.id));
    CHECK_ERR(box_signal(&b.id, b.pidfd, SIGTERM, &err), ERR_NOTFOUND, err);
    CHECK_OK(box_cleanup(&host, &b.id, &err), err);
    CHECK_OK(box_cleanup(&host, &b.id, &err), err);
    (void)close(b.out_fd), (void)close(b.err_fd), (void)close(b.pidfd);
}

TEST(starts_that_fail_leave_nothing)
{
    const char *none[] = {"/bin/nothing", NULL}, *dir[] = {"/bin", NULL};
    struct spec s = spec_of(none);

    CHECK_ERR(run(&s, NULL), ERR_NOTFOUND, err);
    CHECK_MSG(err, "/bin/nothing");
    s.process.args = dir;
    CHECK_ERR(run(&s, NULL), ERR_DENIED, err);
    s.process.args = none;
    s.process.cwd = "/nowhere";
    CHECK_ERR(run(&s, NULL), ERR_NOTFOUND, err);
    CHECK_MSG(err, "chdir");
    s.mounts[s.n_mounts++] = (struct spec_mount){
        .kind = SPEC_MOUNT_BIND, .source = "/nowhere", .source_fd = -1, .target = "/data"};
    CHECK_ERR(run(&s, NULL), ERR_NOTFOUND, err);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

TEST(old_kernels_by_refusing_calls)
{
    static const unsigned all = (1u << SYS_CALL_LANDLOCK) - 1;
    const char *args[] = {"/bin/sh", "-c", "echo ok; test ! -w /bin; test -c /dev/null", NULL};
    struct spec s = spec_of(args);

    for (unsigned i = 0; i <= SYS_CALL_COUNT_; i++) {
        int code;
        sys_deny(i < SYS_CALL_COUNT_ ? 1u << i : all | 1u << SYS_CALL_CGROUP_KILL);
        code = run(&s, NULL);
        CHECK(code == 0);
        if (code != 0)
            printf("     without call %u: %d %s\n", i, code, code < 0 ? err.msg : output);
        CHECK_STR(output, "ok\n");
    }
    sys_deny(0);
}

TEST(memory_ceiling_is_contained)
{
    const char *args[] = {"/bin/sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done", NULL};
    struct spec s = spec_of(args);
    struct box_started b;
    struct cgroup_usage u;
    int status;

    s.limits.memory_max_bytes = 8 << 20;
    s.limits.swap_max_bytes = 0;
    CHECK_OK(box_start(&host, &s, &b, &err), err);
    drain(&b);
    (void)waitpid(b.id.pid, &status, 0);
    box_usage(&host, &b.id, &u);
    if (b.report.cgroup.memory.state == CGROUP_ENFORCED)
        CHECK(WIFSIGNALED(status) && u.oom_kills >= 1 && u.oom_kills != CGROUP_UNSET);
    CHECK_OK(box_cleanup(&host, &b.id, &err), err);
    (void)close(b.out_fd), (void)close(b.err_fd), (void)close(b.pidfd);
}

static int exec_in(const struct box_id *b, const char *script, int *ret_code)
{
    const char *args[] = {"/bin/sh", "-c", script, NULL};
    static const char *const path_only[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    struct spec_process process = {.args = args,
                                   .env = path_only,
                                   .cwd = "/",
                                   .umask = 022,
                                   .no_new_privs = true,
                                   .seccomp_default = true};
    struct box_exec x = {.process = &process, .stdin_fd = -1, .stderr_fd = -1, .console_fd = -1};
    int p[2], pidfd = -1, status = 0, r;
    size_t at = 0;
    ssize_t n;
    pid_t pid;

    output[0] = '\0';
    CHECK(pipe2(p, O_CLOEXEC) == 0);
    x.stdout_fd = p[1];
    r = box_exec_start(&host, b, &x, &pid, &pidfd, &err);
    (void)close(p[1]);
    while (r == 0 && (n = read(p[0], output + at, sizeof output - 1 - at)) > 0)
        at += (size_t)n;
    output[at] = '\0';
    (void)close(p[0]);
    if (r == 0) {
        CHECK(waitpid(pid, &status, 0) == pid);
        *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        (void)close(pidfd);
    }
    return r;
}

TEST(exec_enters_all_of_it)
{
    const char *args[] = {"/bin/sh", "-c", "echo up >/tmp/mark; nc -l -p 7777 -e /bin/echo served & sleep 60",
                          NULL};
    struct spec s = spec_of(args);
    struct box_started b;
    int code = -1, fd = -1;
    char text[32] = "";

    if (box_start(&host, &s, &b, &err) < 0) {
        CHECK_OK(-1, err);
        return;
    }
    for (int i = 0; i < 200; i++) { /* the file is there before its text is */
        if (exec_in(&b.id, "cat /tmp/mark", &code) == 0 && code == 0 && output[0])
            break;
        usleep(10000);
    }
    CHECK(code == 0);
    CHECK_STR(output, "up\n");
    CHECK_OK(
        exec_in(&b.id,
                "cat /proc/1/comm; grep -E '^(Cap(Eff|Bnd)|NoNewPrivs|Seccomp:)' /proc/self/status; id -u",
                &code),
        err);
    CHECK(strncmp(output, "sh\n", 3) == 0 || strncmp(output, "sleep\n", 6) == 0);
    CHECK(strstr(output, "CapEff:\t0000000000000000") && strstr(output, "CapBnd:\t0000000000000000"));
    CHECK(strstr(output, "NoNewPrivs:\t1") && strstr(output, "Seccomp:\t2") && strstr(output, "\n0\n"));
    CHECK_OK(exec_in(&b.id, "exit 7", &code), err);
    CHECK(code == 7);
    for (int i = 0; i < 200 && text[0] == '\0'; i++) { /* until it listens */
        CHECK_OK(box_tcp_connect(&b.id, 7777, &fd, &err), err);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        (void)poll(&p, 1, 3000);
        if (read(fd, text, sizeof text - 1) <= 0)
            usleep(50000);
        (void)close(fd);
    }
    CHECK_STR(text, "served\n");
    CHECK_OK(box_kill(&host, &b.id, &err), err);
    (void)waitpid(b.id.pid, NULL, 0);
    CHECK_ERR(exec_in(&b.id, "true", &code), ERR_NOTFOUND, err);
    CHECK_OK(box_cleanup(&host, &b.id, &err), err);
    (void)close(b.out_fd), (void)close(b.err_fd), (void)close(b.pidfd);
}

/* A free port of the host, above 20000. */
static uint16_t free_port(void)
{
    for (unsigned try = 0; try < 100; try++) {
        uint16_t port = (uint16_t)(20000 + (unsigned)(getpid() * 7 + (int)try * 131) % 20000);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
            r = bind(fd, (struct sockaddr *)&a, sizeof a);
        (void)close(fd);
        if (r == 0)
            return port;
    }
    return 0;
}

/* What 127.0.0.1:port says, "" when nothing. */
static const char *ask(uint16_t port)
{
    static char text[64];
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {1, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n = -1;

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        n = read(fd, text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    (void)close(fd);
    return text;
}

/* A bridge with nobody on it. That others of this machine have boxes on it is no fault. */
static bool bridge_is_idle(void)
{
    DIR *d = opendir("/sys/class/net/limpet0/brif");
    unsigned n = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        n += e->d_name[0] != '.';
    if (d)
        (void)closedir(d);
    return d && n == 0;
}

static void end_box(struct box_started *b)
{
    CHECK_OK(box_kill(&host, &b->id, &err), err);
    (void)waitpid(b->id.pid, NULL, 0);
    CHECK_OK(box_cleanup(&host, &b->id, &err), err);
    (void)close(b->out_fd), (void)close(b->err_fd), (void)close(b->pidfd);
}

TEST(bridge_publishes_a_port_on_the_host)
{
    const char *args[] = {"/bin/sh", "-c", "while :; do nc -l -p 80 -e /bin/echo served; done", NULL};
    struct spec s = spec_of(args);
    struct box_started b;
    uint16_t port = free_port();
    const char *got = "";
    int code = -1;

    spec_set_net(&s, SPEC_NET_BRIDGE);
    s.ports[s.n_ports++] = (struct spec_port){.host = port, .container = 80};
    if (box_start(&host, &s, &b, &err) < 0) {
        if (err.kind == ERR_UNSUPPORTED || err.kind == ERR_CONFLICT)
            printf("     %s\n", err.msg);
        else
            CHECK_OK(-1, err);
        return;
    }
    printf("     address %s, network %s %s\n", b.id.host_ip, cgroup_state_name(b.report.network.state),
           b.report.network.why);
    for (int i = 0; i < 200 && strcmp(got, "served\n") != 0;
         i++, usleep(50000)) /* a loaded machine is slow */
        got = ask(port);
    if (b.report.network.state == CGROUP_ENFORCED)
        CHECK_STR(got, "served\n");
    CHECK_OK(exec_in(&b.id, "ip route | grep default", &code), err);
    CHECK(strncmp(output, "default via 10.88.77.1 dev eth0", 31) == 0);
    CHECK_OK(box_kill(&host, &b.id, &err), err);
    (void)waitpid(b.id.pid, NULL, 0);
    CHECK_OK(box_cleanup(&host, &b.id, &err), err);
    CHECK_STR(ask(port), "");
    CHECK(!bridge_is_idle());
    (void)close(b.out_fd), (void)close(b.err_fd), (void)close(b.pidfd);
}

TEST(a_host_port_is_published_once)
{
    const char *args[] = {"/bin/sleep", "30", NULL};
    struct spec s = spec_of(args), t = s;
    struct box_started b, other;
    char id[40], name[32], rule[64];

    spec_set_net(&s, SPEC_NET_BRIDGE);
    spec_set_net(&t, SPEC_NET_BRIDGE);
    s.ports[s.n_ports++] = (struct spec_port){.host = free_port(), .container = 80, .host_ip = "127.0.0.1"};
    t.ports[t.n_ports++] = (struct spec_port){.host = s.ports[0].host, .container = 81};
    (void)snprintf(id, sizeof id, "%s-other", s.id);
    t.id = id;
    if (box_start(&host, &s, &b, &err) < 0) {
        printf("     %s\n", err.msg);
        return;
    }
    if (b.report.network.state == CGROUP_ENFORCED) {
        CHECK_ERR(box_start(&host, &t, &other, &err), ERR_CONFLICT, err);
        CHECK_MSG(err, b.id.host_ip);
        t.ports[0].udp = true; /* the controls: another protocol, another address */
        CHECK_OK(box_start(&host, &t, &other, &err), err);
        end_box(&other);
        t.ports[0] = (struct spec_port){.host = s.ports[0].host, .container = 81, .host_ip = "127.0.0.2"};
        CHECK_OK(box_start(&host, &t, &other, &err), err);
        end_box(&other);
        /* a box that died and was not cleaned up holds nothing */
        t.ports[0].host_ip = NULL;
        CHECK_OK(box_kill(&host, &b.id, &err), err);
        (void)waitpid(b.id.pid, NULL, 0);
        (void)snprintf(name, sizeof name, "/sys/class/net/limpet%s", strrchr(b.id.host_ip, '.') + 1);
        for (int i = 0; i < 500 && access(name, F_OK) == 0; i++)
            usleep(10000);
        CHECK_OK(box_start(&host, &t, &other, &err), err);
        (void)snprintf(rule, sizeof rule, "nft list table ip limpet_%s >/dev/null 2>&1", name + 21);
        CHECK(strcmp(other.id.host_ip, b.id.host_ip) == 0 || system(rule) != 0);
        end_box(&other);
        /* nor does its clean-up touch the box that has its address now */
        t.id = s.id;
        CHECK_OK(box_start(&host, &t, &other, &err), err);
        if (strcmp(other.id.host_ip, b.id.host_ip) == 0) {
            (void)strcat(b.id.id, "-dead");
            b.id.pid = 0;
            b.id.cgroup_path[0] = '\0';
            CHECK_OK(box_cleanup(&host, &b.id, &err), err);
            CHECK(access(name, F_OK) == 0);
        }
        end_box(&other);
        (void)close(b.out_fd), (void)close(b.err_fd), (void)close(b.pidfd);
        return;
    }
    end_box(&b);
}

TEST(the_kernel_can_be_asked)
{
    struct box_caps c;

    need_root();
    CHECK_OK(box_probe(&host, root, &c, &err), err);
    printf("     userns %d idmap %d seccomp %d bridge %d nat %d memory %d swap %d cpu %d pids %d mode %s\n",
           c.userns, c.idmap, c.seccomp, c.bridge, c.nat, c.cgroup_memory, c.cgroup_swap, c.cgroup_cpu,
           c.cgroup_pids, c.cgroup_mode);
    CHECK_STR(c.cgroup_mode, host.name);
}
TEST_MAIN
