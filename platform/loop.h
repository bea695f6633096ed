/* loop.h - one epoll loop per process: fds, timers, signals, children. No threads (L4).
 * Watchers are structs embedded by their owner (container_of in the callback); the loop never allocates or
 * frees them. A watcher may be removed or re-armed from any callback, including its own. */
#ifndef PLATFORM_LOOP_H
#define PLATFORM_LOOP_H
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "platform/err.h"

struct loop;

struct loop_fd {
    int fd; /* -1: not watched. Borrowed: the owner closes it after loop_fd_del */
    void (*on_ready)(struct loop_fd *w, uint32_t events);
};
struct loop_timer {
    uint64_t at_ms; /* clock_boot_ms; 0: not armed */
    void (*on_fire)(struct loop_timer *t);
    struct loop_timer *next_; /* private to the loop */
};
struct loop_child {
    pid_t pid;
    int pidfd; /* private to the loop, -1 if the kernel has none (then SIGCHLD finds it) */
    void (*on_exit)(struct loop_child *c,
                    int wait_status); /* called once; already reaped, watcher already removed */
    struct loop_fd watch_;
    struct loop_child *next_;
    struct loop *loop_;
};

/* Owner: caller (loop_free, after its watchers are removed). Errors: NOSPACE, NOMEM, IO. */
NODISCARD int loop_new(struct loop **ret, struct err *err);
struct loop *loop_free(struct loop *l);

/* loop_fd_add watches fd for EPOLLIN, EPOLLOUT ...; loop_fd_mod changes the events. *w stays the owner's.
 * Errors: NOSPACE, IO. */
NODISCARD int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, uint32_t events, struct err *err);
NODISCARD int loop_fd_mod(struct loop *l, struct loop_fd *w, uint32_t events, struct err *err);
void loop_fd_del(struct loop *l, struct loop_fd *w); /* no-op if not watched */

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ms); /* re-arms; fires once */
void loop_timer_del(struct loop *l, struct loop_timer *t);

/* Block these signals and call fn for each that arrives. Call once, before children are started. SIGCHLD is
 * reserved for the loop where pidfds are missing; do not list it. Errors: NOSPACE, IO. */
NODISCARD int loop_signals(struct loop *l, const int *sigs, unsigned n, void (*fn)(void *arg, int sig),
                           void *arg, struct err *err);

/* Watch a child process; reaps it and calls on_exit. Errors: NOSPACE, IO. */
NODISCARD int loop_child_add(struct loop *l, struct loop_child *c, pid_t pid, struct err *err);
void loop_child_del(struct loop *l, struct loop_child *c); /* stop watching; does not reap */

/* Called after the events of each turn were handled: the only place where a process observes, plans and
 * acts. */
void loop_after_turn(struct loop *l, void (*fn)(void *arg), void *arg);

/* Limit for all waits of one turn together (patience.h); 0, the default: none. */
void loop_patience(struct loop *l, uint64_t ms);

NODISCARD int loop_run(struct loop *l, struct err *err); /* until loop_stop; 0, or IO */
void loop_stop(struct loop *l);
/* One turn, waiting at most timeout_ms (-1: until something happens). Errors: IO. */
NODISCARD int loop_turn(struct loop *l, int timeout_ms, struct err *err);
#endif
