/* init.c - limpet-init: the first process of a container that asks for one ("init": true, limpet run --init).
 * It starts the program, forwards each signal, reaps orphans, and exits as the program does.
 *   init PROGRAM ARG0 [ARG...]   PROGRAM: an absolute path; ARG0...: its arguments, starting with its name
 * Freestanding: no libc, no file of the image, no memory except its stack. Signals are never handled but
 * taken from a blocked set, so there are no races and none is lost: blocked signals are queued even for
 * process 1. */
#include "runtime/box/init_sys.h"

#define SIG_CHLD               17
#define SIG_SETMASK            2
#define NO_HANG                1
#define PR_SET_NAME            15
#define PR_SET_CHILD_SUBREAPER 36
#define TIOCSPGRP              0x5410
#define ENOENT                 2
#define SIGSET_BYTES           8

static long call(long n, long a, long b, long c)
{
    return init_call(n, a, b, c, 0, 0);
}

static long length(const char *s)
{
    long n = 0;

    while (s[n])
        n++;
    return n;
}

static void say(const char *text)
{
    (void)call(SYS_WRITE, 2, (long)text, length(text));
}

static void end(long status)
{
    for (;;)
        (void)call(SYS_EXIT_GROUP, status, 0, 0);
}

static void mask(const unsigned long long *set)
{
    (void)init_call(SYS_RT_SIGPROCMASK, SIG_SETMASK, (long)set, 0, SIGSET_BYTES, 0);
}

/* In the child: a process group of its own, in the terminal's foreground if there is one, so that ^C reaches
 * it once. */
static void become(const char *program, char **args, char **env)
{
    static const unsigned long long none = 0;
    int own;
    long r;

    (void)call(SYS_SETPGID, 0, 0, 0);
    own = (int)call(SYS_GETPID, 0, 0, 0);
    (void)call(SYS_IOCTL, 0, TIOCSPGRP, (long)&own); /* SIGTTOU is still blocked */
    mask(&none);
    r = call(SYS_EXECVE, (long)program, (long)args, (long)env);
    say("limpet-init: ");
    say(program);
    say(r == -ENOENT ? ": not found, or its interpreter is not in the image\n" : ": cannot be executed\n");
    end(r == -ENOENT ? 127 : 126);
}

/* Reap all that have exited. Exits with the program's own status. */
static void reap(long child)
{
    int status = 0;
    long pid;

    while ((pid = init_call(SYS_WAIT4, -1, (long)&status, NO_HANG, 0, 0)) > 0)
        if (pid == child)
            end(status & 0x7f ? 128 + (status & 0x7f) : (status >> 8) & 0xff);
}

/* stack: argc, argv, NULL, environment, NULL. */
__attribute__((used, noreturn)) void init_main(long *stack);
void init_main(long *stack)
{
    static const unsigned long long all = ~0ULL;
    char **argv = (char **)(stack + 1), **env = argv + stack[0] + 1;
    long child;

    mask(&all);
    if (stack[0] < 3) {
        say("usage: limpet-init PROGRAM ARG0 [ARG...] (started by limpet, see --init)\n");
        end(64);
    }
    (void)call(SYS_PRCTL, PR_SET_NAME, (long)"limpet-init", 0);
    (void)call(SYS_PRCTL, PR_SET_CHILD_SUBREAPER, 1, 0); /* if we are not process 1 */
    child = call(SYS_CLONE, SIG_CHLD, 0, 0);
    if (child == 0)
        become(argv[1], argv + 2, env);
    if (child < 0) {
        say("limpet-init: no process for the program (pids limit?)\n");
        end(126);
    }
    for (;;) {
        long sig = init_call(SYS_RT_SIGTIMEDWAIT, (long)&all, 0, 0, SIGSET_BYTES, 0);
        if (sig > 0 && sig != SIG_CHLD)
            (void)call(SYS_KILL, child, sig, 0);
        reap(child);
    }
}

INIT_START;
