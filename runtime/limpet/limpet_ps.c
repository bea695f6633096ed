/* limpet_ps.c - ps: the processes of a container as the host sees them, from /proc only. See limpet_int.h. */
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/fs.h"
#include "runtime/limpet/limpet_int.h"

#define MAX_SHOWN 4096

/* The columns for one process. */
struct row {
    uint32_t uid;
    int pid, ppid;
    unsigned long long ticks, start; /* CPU time used; start time after boot */
    char tty[16], name[32], command[256];
};

static void read_command(int pid, struct row *ret)
{
    char path[40];
    AUTO_FD int fd = -1;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, ret->command, sizeof(ret->command) - 1);
    ret->command[n < 0 ? 0 : n] = '\0';
    for (ssize_t i = 0; i + 1 < n; i++)
        if (ret->command[i] == '\0')
            ret->command[i] = ' ';
    if (n <= 0)
        (void)snprintf(ret->command, sizeof(ret->command), "[%s]", ret->name);
    (void)str_clean(ret->command);
}

/* False if it is gone. */
static bool read_row(int pid, struct row *ret)
{
    char path[40], text[1024], *open_at, *close_at;
    unsigned long long user, system;
    unsigned tty;
    struct stat st;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (stat(path, &st) != 0 || fs_read_text(AT_FDCWD, path, text, sizeof(text), NULL) <= 0)
        return false;
    open_at = strchr(text, '(');
    close_at = strrchr(text, ')');
    if (!open_at || !close_at ||
        sscanf(close_at + 1,
               " %*c %d %*d %*d %u %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu",
               &ret->ppid, &tty, &user, &system, &ret->start) != 5)
        return false;
    ret->uid = st.st_uid;
    ret->pid = pid;
    ret->ticks = user + system;
    (void)snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(close_at - open_at - 1), open_at + 1);
    if (tty >> 8 >= 136 && tty >> 8 < 144)
        (void)snprintf(ret->tty, sizeof(ret->tty), "pts/%u", (tty & 0xff) | (tty >> 12 & 0xfff00));
    else
        (void)str_copy(ret->tty, sizeof(ret->tty), "?");
    read_command(pid, ret);
    return true;
}

static void print_row(const struct row *r, double uptime_s, time_t now)
{
    const struct passwd *pw = getpwuid(r->uid);
    long hz = sysconf(_SC_CLK_TCK);
    double age = uptime_s - (double)r->start / (double)hz;
    time_t begun = now - (time_t)(age < 0 ? 0 : age);
    unsigned long long used = r->ticks / (unsigned long long)hz;
    char uid[16];
    char when[32]; /* "2026-11-22T07:05:00Z": the date for old ones, the time (UTC) for others */

    (void)snprintf(uid, sizeof(uid), "%u", r->uid);
    (void)clock_rfc3339((uint64_t)begun, when, sizeof(when));
    (void)printf("%-8.8s %7d %7d %2u %5.5s %-8s %02llu:%02llu:%02llu %s\n", pw ? pw->pw_name : uid, r->pid,
                 r->ppid, age < 1 ? 0 : (unsigned)((double)used * 100 / age), when + (age < 86400 ? 11 : 5),
                 r->tty, used / 3600, used / 60 % 60, used % 60, r->command);
}

static void print_table(const pid_t *pids, int n)
{
    struct timespec up = {0}, now = {0};
    struct row row;

    (void)clock_gettime(CLOCK_BOOTTIME, &up);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)printf("%-8s %7s %7s %2s %5s %-8s %8s %s\n", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME",
                 "CMD");
    for (int i = 0; i < n; i++)
        if (read_row(pids[i], &row))
            print_row(&row, (double)up.tv_sec, now.tv_sec);
}

static int compare(const void *a, const void *b)
{
    const pid_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* Without a group: those in its pid namespace, as far as visible to us. */
static int find_by_namespace(pid_t first, pid_t *pids, int max)
{
    char path[48], name[LIM_NAME_BYTES];
    struct stat want, got;
    DIR *d = opendir("/proc");
    struct dirent *e;
    int n = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)first);
    if (d && stat(path, &want) == 0)
        while (n < max && (e = readdir(d)) != NULL) {
            uint64_t pid;
            if (!str_copy(name, sizeof(name), e->d_name) || !str_u64(name, 1, INT32_MAX, &pid))
                continue;
            (void)snprintf(path, sizeof(path), "/proc/%u/ns/pid", (unsigned)pid);
            if (stat(path, &got) == 0 && got.st_ino == want.st_ino && got.st_dev == want.st_dev)
                pids[n++] = (pid_t)pid;
        }
    if (d)
        (void)closedir(d);
    return n;
}

/* Those in its group; a plain user's container may have none. */
static int find_pids(const struct limpet *c, pid_t *pids, int max, struct err *err)
{
    struct cgroup *g = NULL;
    struct limpet_state s;
    int n, rc = limpet_open_running(c, &s, &g, err);

    if (rc == -ERR_UNSUPPORTED && geteuid() != 0)
        return find_by_namespace(s.id.pid, pids, max);
    if (rc < 0)
        return rc;
    n = cgroup_pids(g, pids, (unsigned)max);
    (void)cgroup_free(g);
    return n;
}

int limpet_ps(struct limpet *c, struct err *err)
{
    AUTO_MEM pid_t *pids = mem_need(MAX_SHOWN * sizeof(*pids));
    bool json = c->format && strcmp(c->format, "json") == 0;
    int n;

    if (c->format && !json && strcmp(c->format, "table") != 0)
        return err_set(err, ERR_INVALID, "--format %.20s: neither table nor json", c->format);
    if ((n = find_pids(c, pids, MAX_SHOWN, err)) < 0)
        return n;
    qsort(pids, (size_t)n, sizeof(*pids), compare);
    if (c->n_args > 0)
        limpet_warn(c, "ps: options for ps(1) are not used: the table is made from /proc");
    if (!json) {
        print_table(pids, n);
        return 0;
    }
    (void)putchar('[');
    for (int i = 0; i < n; i++)
        (void)printf("%s%d", i ? "," : "", (int)pids[i]);
    return puts("]") < 0;
}
