/* stamp.c - the benches' clock, scales and payload in one static program. Times are nanoseconds of
 * CLOCK_BOOTTIME, which a container shares with its host.
 *   stamp                      print the time: what a payload does first
 *   stamp pause                the same, then stay until SIGTERM
 *   stamp idle                 stay until SIGTERM, print nothing
 *   stamp once FILE            end at once if FILE exists, else stay (tests/sys/agent_cycles.sh)
 *   stamp serve PORT           print the time, then answer every connection with one byte
 *   stamp gap PORT FILE        connect all the time; FILE grows a line "time" per answer, until SIGTERM
 *   stamp time FILE CMD... [";" CMD...]
 *                              run one command after the other; FILE grows a line "begin end status cpu rss":
 *                              begin is
 *                              taken right before the first exec; cpu: microseconds of user and system time
 *                              of all that
 *                              they started and that ended, as the kernel accounts it; rss: KiB, the largest
 *                              of them
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned long long now(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
}

static void print_now(void)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu\n", now());

    (void)!write(1, text, (size_t)n);
}

static void on_term(int sig)
{
    (void)sig;
    _exit(0);
}

static _Noreturn void stay(void)
{
    for (;;)
        (void)pause();
}

static struct sockaddr_in place(const char *port, in_addr_t host)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};

    a.sin_addr.s_addr = htonl(host);
    return a;
}

static int serve(const char *port)
{
    struct sockaddr_in a = place(port, INADDR_ANY);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0)
        return 1;
    print_now();
    for (;;) {
        int c = accept(fd, NULL, NULL);
        if (c < 0)
            continue;
        (void)!write(c, "+", 1);
        (void)close(c);
    }
}

/* One connection that must bring its byte within 20 ms: a lost SYN would be sent again only after a second.
 */
static int answered(const struct sockaddr_in *a)
{
    char byte;
    int ok = 0, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EINPROGRESS)
        ok = poll(&p, 1, 20) == 1 && read(fd, &byte, 1) == 1;
    (void)close(fd);
    return ok;
}

static int gap(const char *port, const char *file)
{
    const struct timespec pause_2ms = {0, 2000000};
    struct sockaddr_in a = place(port, INADDR_LOOPBACK);
    FILE *f = fopen(file, "a");

    if (!f)
        return 1;
    setvbuf(f, NULL, _IOLBF, 256);
    for (;; (void)nanosleep(&pause_2ms, NULL))
        if (answered(&a))
            (void)fprintf(f, "%llu\n", now());
}

/* One command; who was left to us by earlier ones is reaped on the way, or they would stand about as
 * zombies. */
static int run_one(char **argv, unsigned long long *begin)
{
    int start[2], status = 0;
    unsigned long long at = 0;
    pid_t pid, got;

    if (pipe(start) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        at = now();
        (void)!write(start[1], &at, sizeof(at));
        (void)close(start[0]);
        (void)close(start[1]);
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    do
        got = waitpid(-1, &status, 0);
    while (got != pid && (got > 0 || errno == EINTR));
    if (read(start[0], &at, sizeof(at)) == (ssize_t)sizeof(at) && *begin == 0)
        *begin = at;
    (void)close(start[0]);
    (void)close(start[1]);
    return status;
}

static int timed(const char *file, char **argv)
{
    unsigned long long begin = 0;
    struct rusage use;
    int status = 0;

    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    for (char **next = argv; status == 0 && next; argv = next) {
        for (next = argv; *next && strcmp(*next, ";") != 0; next++)
            ;
        if (*next)
            *next++ = NULL;
        else
            next = NULL;
        status = run_one(argv, &begin);
    }
    unsigned long long end = now();
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    (void)getrusage(RUSAGE_CHILDREN, &use);
    FILE *f = fopen(file, "a");
    if (!f)
        return 1;
    (void)fprintf(f, "%llu %llu %d %lld %ld\n", begin, end, status,
                  (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000LL + use.ru_utime.tv_usec +
                      use.ru_stime.tv_usec,
                  use.ru_maxrss);
    (void)fclose(f);
    return status ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";

    if (argc == 1) {
        print_now();
        return 0;
    }
    if (strcmp(verb, "time") == 0 && argc > 3)
        return timed(argv[2], argv + 3);
    (void)signal(SIGTERM, on_term);
    (void)signal(SIGINT, on_term);
    if (strcmp(verb, "pause") == 0) {
        print_now();
        stay();
    }
    if (strcmp(verb, "idle") == 0)
        stay();
    if (strcmp(verb, "once") == 0 && argc == 3) {
        if (access(argv[2], F_OK) != 0)
            stay();
        return 0;
    }
    if (strcmp(verb, "serve") == 0 && argc == 3)
        return serve(argv[2]);
    if (strcmp(verb, "gap") == 0 && argc == 4)
        return gap(argv[2], argv[3]);
    return 2;
}
