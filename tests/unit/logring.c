/* logring: lines, order, overwriting, sizes, and exactly once while the writer is killed at random instants.
 */
#include "runtime/box/logring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "platform/fs.h"
#include "platform/limits.h"

static struct err err;
static char dir[64];
static int dir_fd = -1;

static void remove_dir(void)
{
    err_ignore(fs_remove_tree(AT_FDCWD, dir, NULL));
}

static void need_dir(void)
{
    if (dir_fd >= 0)
        return;
    (void)strcpy(dir,
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm/limpet-log-XXXXXX" : "/tmp/limpet-log-XXXXXX");
    if (!mkdtemp(dir))
        exit(1);
    atexit(remove_dir);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct logring *ring(const char *name, uint32_t bytes)
{
    struct logring *r = NULL;

    need_dir();
    CHECK_OK(logring_open(dir_fd, name, bytes, &r, &err), err);
    if (!r)
        exit(1);
    return r;
}

/* Through a pipe, as a program's output comes. */
static void say_bytes(struct logring *r, char stream, const void *text, size_t len, bool close_it)
{
    int p[2];

    CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0 && write(p[1], text, len) == (ssize_t)len);
    while (logring_pump(r, p[0], stream, 1234, &err) > 0)
        ;
    close(p[1]);
    if (close_it)
        CHECK(logring_pump(r, p[0], stream, 1234, &err) == 0);
    close(p[0]);
}

static void say(struct logring *r, char stream, const char *text)
{
    say_bytes(r, stream, text, strlen(text), false);
}

static char all_text[65536];
static const char *all(struct logring *r, uint64_t seq)
{
    struct logring_line l;
    size_t at = 0;

    all_text[0] = '\0';
    while (logring_next(r, &seq, &l) == 1 && at + l.len + 8 < sizeof all_text)
        at += (size_t)snprintf(all_text + at, sizeof all_text - at, "%c%s:%.*s\n", l.stream,
                               l.partial ? "+" : "", (int)l.len, l.text);
    return all_text;
}

TEST(no_more_is_kept_than_was_asked_for)
{
    static const struct {
        uint32_t asked, kept;
    } rows[] = {{65536, 65536},   {100000, 65536}, {131071, 65536},
                {131072, 131072}, {16384, 16384},  {4096, 16384}};
    struct stat st;

    need_dir();
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct logring *r = ring("size", rows[i].asked);
        CHECK(fstatat(dir_fd, "size", &st, 0) == 0);
        CHECK(st.st_size == 5 * 4096 + (off_t)rows[i].kept);
        (void)logring_free(r);
        CHECK(unlinkat(dir_fd, "size", 0) == 0);
    }
}

TEST(lines_of_both_streams_in_order)
{
    struct logring *r = ring("a", 65536), *reader = NULL;
    struct logring_line l;
    uint64_t seq = 0;

    say(r, 'o', "one\ntw");
    say(r, 'e', "bad\n");
    CHECK_STR(all(r, 0), "o:one\ne:bad\n");
    say(r, 'o', "o\n\nthree");
    say_bytes(r, 'o', "", 0, true);
    CHECK_STR(all(r, 0), "o:one\ne:bad\no:two\no:\no:three\n");
    CHECK_OK(logring_open_read(dir_fd, "a", &reader, &err), err);
    CHECK_STR(all(reader, logring_tail(reader, 2)), "o:\no:three\n");
    CHECK(logring_next(reader, &seq, &l) == 1 && l.seq == 1 && l.wall_ms == 1234 && l.lost == 0);
    (void)logring_free(reader);
    (void)logring_free(r);
}

TEST(an_empty_pipe_and_zero_bytes)
{
    struct logring *r = ring("b", 65536);
    int p[2];

    CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
    CHECK_ERR(logring_pump(r, p[0], 'o', 1, &err), ERR_AGAIN, err);
    close(p[0]), close(p[1]);
    say_bytes(r, 'o', "a\0b\0\n", 5, false);
    CHECK_STR(all(r, 0), "o:a?b?\n");
    (void)logring_free(r);
}

TEST(zero_bytes_outlive_a_killed_writer)
{
    struct logring *r = ring("z", 65536);

    say_bytes(r, 'o', "cut\0\0", 5, false);
    (void)logring_free(r); /* as a kill leaves it: nothing is written at the end */
    r = ring("z", 65536);
    say(r, 'o', "tail\n");
    CHECK_STR(all(r, 0), "o:cut??tail\n");
    (void)logring_free(r);
}

TEST(long_lines_are_cut_and_marked)
{
    static char text[LIM_LOG_LINE_BYTES + 11];
    struct logring *r = ring("c", 65536);
    struct logring_line l;
    uint64_t seq = 0;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\n';
    say_bytes(r, 'o', text, sizeof text, false);
    CHECK(logring_next(r, &seq, &l) == 1 && l.partial && l.len == LIM_LOG_LINE_BYTES);
    CHECK(logring_next(r, &seq, &l) == 1 && !l.partial && l.len == 10);
    CHECK(logring_next(r, &seq, &l) == 0);
    (void)logring_free(r);
}

TEST(the_oldest_go_and_readers_notice)
{
    struct logring *r = ring("d", 16384);
    struct logring_line l;
    uint64_t seq = 0, first;
    char line[64];
    unsigned n = 0;

    for (int i = 0; i < 5000; i++) {
        (void)snprintf(line, sizeof line, "line %d\n", i);
        say(r, i & 1 ? 'e' : 'o', line);
        if (i == 0)
            CHECK(logring_next(r, &seq, &l) == 1 && seq == 2);
    }
    CHECK(logring_next(r, &seq, &l) == 1 && l.lost > 4000 && l.lost == l.seq - 2);
    first = l.seq;
    do {
        n++;
        (void)snprintf(line, sizeof line, "line %d", (int)l.seq - 1);
        CHECK(l.len == strlen(line) && memcmp(l.text, line, l.len) == 0);
    } while (logring_next(r, &seq, &l) == 1);
    CHECK(first + n == 5001 && n > 300);
    (void)logring_free(r);
}

TEST(many_short_lines_at_once)
{
    static char text[4096];
    struct logring *r = ring("e", 16384);
    struct logring_line l;
    uint64_t seq = 0;
    unsigned n = 0;

    memset(text, '\n', sizeof text);
    say_bytes(r, 'o', text, sizeof text, false);
    while (logring_next(r, &seq, &l) == 1)
        n++;
    CHECK(seq == 4097 && n > 300 && n <= 16384 / 24);
    (void)logring_free(r);
}

TEST(reopened_and_resized_it_keeps_its_records)
{
    struct logring *r = ring("f", 16384);

    say(r, 'o', "one\ntwo\nunfin");
    (void)logring_free(r);
    r = ring("f", 16384);
    CHECK_STR(all(r, 0), "o:one\no:two\n");
    (void)logring_free(r);
    r = ring("f", 65536);
    say(r, 'o', "ished\n");
    CHECK_STR(all(r, 0), "o:one\no:two\no:unfinished\n");
    (void)logring_free(r);
    r = ring("f", 16384);
    CHECK_STR(all(r, 0), "o:one\no:two\no:unfinished\n");
    (void)logring_free(r);
}

TEST(garbage_is_replaced_and_refused_by_readers)
{
    struct logring *r = NULL;

    need_dir();
    CHECK_OK(fs_write_atomic(dir_fd, "g", BUF_LIT("not a ring"), 0600, &err), err);
    CHECK_ERR(logring_open_read(dir_fd, "g", &r, &err), ERR_INVALID, err);
    r = ring("g", 16384);
    say(r, 'o', "fine\n");
    CHECK_STR(all(r, 0), "o:fine\n");
    (void)logring_free(r);
}

/* Writes numbered lines of odd lengths, never more ahead of the reader than the ring holds, until told to
 * stop. */
struct pace {
    volatile unsigned ahead, stop;
};
static void writer(int fd, const struct pace *pace)
{
    const struct timespec pause_100us = {0, 100000};
    char line[700];

    for (unsigned i = 0; !pace->stop; i++) {
        while (i >= pace->ahead && !pace->stop)
            (void)nanosleep(&pause_100us, NULL);
        int n = snprintf(line, sizeof line, "%u:%0*u\n", i, (int)(i * 7919 % 600) + 1, i);
        if (write(fd, line, (size_t)n) != n)
            _exit(1);
    }
    _exit(0);
}

static void pumper(int fd)
{
    struct logring *r = NULL;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (logring_open(dir_fd, "kill", 4 << 20, &r, &err) < 0)
        _exit(2);
    for (;;) {
        int n = logring_pump(r, fd, 'o', 7, &err);
        if (n == 0)
            _exit(0);
        if (n == -ERR_AGAIN)
            (void)poll(&p, 1, -1);
        else if (n < 0)
            _exit(3);
    }
}

/* Check that each number from *next on comes once and whole; returns how many. */
static unsigned verify(struct logring *r, uint64_t *seq, unsigned *next)
{
    struct logring_line l;
    char want[700];
    unsigned n = 0;

    while (logring_next(r, seq, &l) == 1) {
        int len = snprintf(want, sizeof want, "%u:%0*u", *next, (int)(*next * 7919 % 600) + 1, *next);
        CHECK(l.lost == 0);
        CHECK(l.len == (uint32_t)len && memcmp(l.text, want, l.len) == 0);
        if (l.len != (uint32_t)len || memcmp(l.text, want, l.len) != 0) {
            printf("     line %u is \"%.*s\"\n", *next, (int)(l.len < 40 ? l.len : 40), l.text);
            exit(1);
        }
        ++*next;
        n++;
    }
    return n;
}

TEST(killed_thousands_of_times_no_line_is_lost_or_twice)
{
    enum { KILLS = 3000, AHEAD = 6000 /* lines of 350 bytes in a ring of 4 MiB */ };
    struct pace *pace = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct logring *r = ring("kill", 4 << 20), *reader = NULL;
    unsigned next = 0, kills = 0, code = 0;
    uint64_t seq = 0;
    pid_t source, pump;
    int p[2], status;

    (void)logring_free(r);
    (void)alarm(400);
    pace->ahead = AHEAD;
    CHECK(pipe2(p, O_CLOEXEC) == 0);
    source = fork();
    if (source == 0)
        (void)(alarm(500), close(p[0])), writer(p[1], pace);
    close(p[1]);
    (void)fcntl(p[0], F_SETFL, O_NONBLOCK);
    CHECK_OK(logring_open_read(dir_fd, "kill", &reader, &err), err);
    srand(4711);
    for (; kills < KILLS; kills++) {
        struct timespec t = {0, rand() % 400000};
        pump = fork();
        if (pump == 0)
            pumper(p[0]);
        (void)nanosleep(&t, NULL);
        (void)kill(pump, SIGKILL);
        (void)waitpid(pump, &status, 0);
        if (!WIFSIGNALED(status))
            code++;
        (void)verify(reader, &seq, &next);
        pace->ahead = next + AHEAD;
    }
    pace->stop = 1; /* the writer ends; one last pump takes what is left */
    pump = fork();
    if (pump == 0)
        pumper(p[0]);
    (void)waitpid(pump, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    (void)waitpid(source, NULL, 0);
    (void)verify(reader, &seq, &next);
    printf("     %u kills, %u lines, each once\n", kills - code, next);
    CHECK(next > KILLS && code == 0);
    (void)logring_free(reader);
    close(p[0]);
    (void)munmap(pace, 4096);
}
TEST_MAIN
