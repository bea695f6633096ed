/* inside.c - see inside.h. */
#define _GNU_SOURCE
#include "inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A swapper may have moved our procfs to the other of its two names, and may do so again meanwhile. */
static FILE *open_mountinfo(void)
{
    FILE *f = NULL;

    for (int i = 0; !f && i < 200; i++)
        f = fopen(i % 2 ? "/false/self/mountinfo" : "/proc/self/mountinfo", "re");
    return f;
}

static int do_token(char **argv)
{
    printf("token\n");
    for (argv++; *argv; argv++) { /* and whether these mounts are here, by the name of their source or root */
        char line[4096];
        int found = 0;
        FILE *f = open_mountinfo();
        while (f && fgets(line, sizeof line, f))
            found |= strstr(line, *argv) != NULL;
        if (f)
            (void)fclose(f);
        printf("mount %s %s\n", *argv, found ? "here" : "missing");
    }
    return 0;
}

static int do_status(char **argv)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[4096];

    (void)argv;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "Cap", 3) == 0 || strncmp(line, "Groups", 6) == 0 ||
            strncmp(line, "NoNewPrivs", 10) == 0 || strncmp(line, "Uid", 3) == 0 ||
            strncmp(line, "Seccomp:", 8) == 0)
            fputs(line, stdout);
    if (f)
        (void)fclose(f);
    printf("end\n");
    return 0;
}

static int do_fds(char **argv)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    char link[512];

    (void)argv;
    while (d && (e = readdir(d))) {
        int fd = atoi(e->d_name);
        ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof link - 1);
        if (n > 0 && fd > 2 && fd != dirfd(d))
            printf("ESCAPE descriptor %d is open: %.*s\n", fd, (int)n, link);
    }
    printf("end\n");
    return 0;
}

/* Print the bytes of files, or what keeps us from it. */
static int do_read(char **argv)
{
    for (argv++; *argv; argv++) {
        char b[256];
        int fd = open(*argv, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, b, sizeof b);
        printf("read %s: ", *argv);
        if (n < 0)
            printf("%s\n", strerrorname_(errno));
        else
            printf("\"%.*s\"\n", (int)n, b);
        if (fd >= 0)
            (void)close(fd);
    }
    printf("end\n");
    return 0;
}

/* Look at every process but this one until killed. */
static void each_process(void (*fn)(pid_t))
{
    DIR *d = opendir("/proc");
    struct dirent *e;

    while (d) {
        for (rewinddir(d); (e = readdir(d));) {
            pid_t pid = (pid_t)atoi(e->d_name);
            if (pid > 1 && pid != getpid())
                fn(pid);
        }
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

/* Hold its program open, and try to write to it as soon as nobody runs it. */
static void overwrite(pid_t pid)
{
    static int held[64];
    static unsigned n;
    static struct stat own;
    char path[64];
    struct stat st;
    int fd;

    if (own.st_ino == 0)
        (void)stat("/proc/self/exe", &own);
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) != 0 || (st.st_dev == own.st_dev && st.st_ino == own.st_ino)) {
        (void)close(fd);
        return;
    }
    printf("held another program\n");
    (void)fflush(stdout);
    if (held[n % 64])
        (void)close(held[n % 64]);
    held[n++ % 64] = fd;
    for (unsigned i = 0; i < 64 && held[i]; i++) {
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", held[i]);
        fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (fd >= 0) {
            printf("ESCAPE wrote %zd byte to another program\n", write(fd, "X", 1));
            (void)fflush(stdout);
            (void)close(fd);
        }
    }
}

static int do_overwrite(char **argv)
{
    (void)argv;
    printf("token\n");
    (void)fflush(stdout);
    each_process(overwrite);
    return 1;
}

/* May we look into it, and is it another program than ours (so: before its execve)? */
static bool reaches_other(pid_t pid)
{
    static char own[512];
    char path[64], link[512];
    ssize_t n;

    if (!own[0] && readlink("/proc/self/exe", own, sizeof own - 1) < 0)
        return false;
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    n = readlink(path, link, sizeof link - 1);
    if (n <= 0)
        return false;
    link[n] = '\0';
    return strcmp(link, own) != 0;
}

static void attach(pid_t pid)
{
    int status;

    if (reaches_other(pid))
        printf("ESCAPE looked into a process of the runtime\n");
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        if (reaches_other(pid))
            printf("ESCAPE attached to a process of the runtime\n");
        (void)ptrace(PTRACE_INTERRUPT, pid, 0, 0);
        (void)waitpid(pid, &status, __WALL);
        (void)ptrace(PTRACE_DETACH, pid, 0, 0);
    } else if (errno == EPERM) {
        printf("seen\n"); /* one that we may not attach to: the window was met */
    }
    (void)fflush(stdout);
}

static int do_attach(char **argv)
{
    (void)argv;
    printf("token\n");
    (void)fflush(stdout);
    each_process(attach);
    return 1;
}

/* Two names of one directory change places, as fast as can be, until killed. */
static int do_swap(char **argv)
{
    while (argv[1] && argv[2])
        if (syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD, argv[2], 2 /* RENAME_EXCHANGE */) != 0 &&
            errno != ENOENT)
            return 1;
    return 1;
}

static int connects(const struct sockaddr *a, socklen_t len)
{
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ok = fd >= 0 && connect(fd, a, len) == 0;

    if (fd >= 0)
        (void)close(fd);
    return ok;
}

/* PORT NAME: a loopback port and an abstract socket of the host. */
static int do_net(char **argv)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char line[512], *at;
    unsigned cards = 0;
    FILE *f;

    in.sin_port = htons((uint16_t)atoi(argv[1] ? argv[1] : "1"));
    if (connects((struct sockaddr *)&in, sizeof in))
        printf("ESCAPE a port of the host's loopback answers\n");
    (void)snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "%s", argv[1] && argv[2] ? argv[2] : "none");
    if (connects((struct sockaddr *)&un,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(un.sun_path + 1))))
        printf("ESCAPE an abstract socket of the host answers\n");
    for (f = fopen("/proc/net/unix", "re"); f && fgets(line, sizeof line, f);)
        if ((at = strchr(line, '@')))
            printf("ESCAPE abstract name %s", at);
    if (f)
        (void)fclose(f);
    for (f = fopen("/proc/net/dev", "re"); f && fgets(line, sizeof line, f);)
        if (strchr(line, ':') && !strstr(line, " lo:") && cards++ == 0)
            printf("note a network card: %.20s\n", line);
    if (f)
        (void)fclose(f);
    if (socket(AF_PACKET, SOCK_RAW, 0) >= 0)
        printf("ESCAPE a packet socket\n");
    printf("end\n");
    return 0;
}

/* NAME: a key that the host has in its session keyring. */
static int do_key(char **argv)
{
    long ring = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", argv[1], 0);

    if (key >= 0)
        printf("ESCAPE the host's key is in the session keyring\n");
    printf("ring %ld\nend\n", ring);
    return 0;
}

static int do_uid(char **argv)
{
    (void)argv;
    printf("uid %d %d\nend\n", (int)getuid(), (int)geteuid());
    return 0;
}

/* PATH: become it; it is set-user-id root. */
static int do_become(char **argv)
{
    (void)execl(argv[1], argv[1], "uid", (char *)NULL);
    printf("end\n");
    return 0;
}

/* What can be seen of the host from the working directory. */
static int do_cwd(char **argv)
{
    char path[512];

    for (int up = 0; up < 12; up++) {
        size_t at = 0;
        for (int i = 0; i < up; i++)
            at += (size_t)snprintf(path + at, sizeof path - at, "../");
        (void)snprintf(path + at, sizeof path - at, ".%s", argv[1]);
        if (access(path, F_OK) == 0)
            printf("ESCAPE %s\n", path);
    }
    printf("end\n");
    return 0;
}

static int do_sleep(char **argv)
{
    printf("token\n");
    (void)fflush(stdout);
    sleep(argv[1] ? (unsigned)atoi(argv[1]) : 60);
    return 0;
}

/* inside: only as process 1 of a container; on the host they would do harm to what is found there. */
int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(char **);
        bool inside;
    } verbs[] = {
        {"token", do_token, false},  {"status", do_status, false},    {"fds", do_fds, false},
        {"read", do_read, false},    {"swap", do_swap, false},        {"net", do_net, false},
        {"key", do_key, false},      {"uid", do_uid, false},          {"become", do_become, false},
        {"cwd", do_cwd, false},      {"sleep", do_sleep, false},      {"overwrite", do_overwrite, true},
        {"attach", do_attach, true}, {"calls", inside_calls, true},   {"writes", inside_writes, true},
        {"sys", inside_sys, true},   {"cgroup", inside_cgroup, true}, {"devices", inside_devices, true}};

    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0 && (!verbs[i].inside || getpid() == 1)) {
            int r = verbs[i].fn(argv + 1);
            (void)fflush(stdout);
            return r;
        }
    return 2;
}
