#include "platform/loop.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "platform/clock.h"
#include "platform/mem.h"
#include "platform/patience.h"
#include "platform/sys.h"

#define LOOP_EVENTS 32

struct loop {
    int epoll_fd, timer_fd;
    struct loop_fd timer_watch, signal_watch;
    struct loop_timer *timers; /* sorted by at_ms */
    uint64_t timer_armed_ms;
    struct loop_child *plain_children; /* those without a pidfd: found on SIGCHLD */
    void (*on_signal)(void *arg, int sig);
    void *signal_arg;
    void (*after)(void *arg);
    void *after_arg;
    struct epoll_event events[LOOP_EVENTS]; /* of the current turn: a removed watcher is cleared in it */
    int n_events, at_event;
    uint64_t patience_ms;
    bool stop;
};

static void timer_ready(struct loop_fd *w, uint32_t events)
{
    (void)events;
    uint64_t n;
    ssize_t got = read(w->fd, &n, sizeof(n));
    (void)got; /* the timers themselves are checked after each turn */
}

static void arm(struct loop *l)
{
    uint64_t at = l->timers ? l->timers->at_ms : 0;

    if (at == l->timer_armed_ms)
        return;
    struct itimerspec t = {.it_value = {(time_t)(at / 1000), (long)(at % 1000) * 1000000}};
    if (timerfd_settime(l->timer_fd, TFD_TIMER_ABSTIME, &t, NULL) == 0)
        l->timer_armed_ms = at;
}

int loop_new(struct loop **ret, struct err *err)
{
    struct loop *l = mem_need_zero(sizeof(*l));

    l->signal_watch.fd = -1;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->timer_fd < 0) {
        int e = errno;
        (void)loop_free(l);
        return err_errno(err, e, "event loop (does the kernel have CONFIG_EPOLL and CONFIG_TIMERFD?)");
    }
    l->timer_watch.on_ready = timer_ready;
    int rc = loop_fd_add(l, &l->timer_watch, l->timer_fd, EPOLLIN, err);
    if (rc < 0) {
        (void)loop_free(l);
        return rc;
    }
    *ret = l;
    return 0;
}

struct loop *loop_free(struct loop *l)
{
    if (!l)
        return NULL;
    if (l->signal_watch.fd >= 0)
        (void)close(l->signal_watch.fd);
    if (l->timer_fd >= 0)
        (void)close(l->timer_fd);
    if (l->epoll_fd >= 0)
        (void)close(l->epoll_fd);
    free(l);
    return NULL;
}

int loop_fd_add(struct loop *l, struct loop_fd *w, int fd, uint32_t events, struct err *err)
{
    struct epoll_event e = {.events = events, .data.ptr = w};

    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
        return err_errno(err, errno, "watch fd %d", fd);
    w->fd = fd;
    return 0;
}

int loop_fd_mod(struct loop *l, struct loop_fd *w, uint32_t events, struct err *err)
{
    struct epoll_event e = {.events = events, .data.ptr = w};

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &e) < 0 ? err_errno(err, errno, "watch fd %d", w->fd)
                                                                : 0;
}

void loop_fd_del(struct loop *l, struct loop_fd *w)
{
    if (w->fd < 0)
        return;
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->fd = -1;
    for (int i = l->at_event + 1; i < l->n_events; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}

void loop_timer_del(struct loop *l, struct loop_timer *t)
{
    for (struct loop_timer **p = &l->timers; *p; p = &(*p)->next_)
        if (*p == t) {
            *p = t->next_;
            break;
        }
    t->at_ms = 0;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t at_ms)
{
    loop_timer_del(l, t);
    t->at_ms = at_ms ? at_ms : 1;
    struct loop_timer **p = &l->timers;
    while (*p && (*p)->at_ms <= t->at_ms)
        p = &(*p)->next_;
    t->next_ = *p;
    *p = t;
}

static void fire_timers(struct loop *l)
{
    uint64_t now = clock_boot_ms();

    while (l->timers && l->timers->at_ms <= now) {
        struct loop_timer *t = l->timers;
        l->timers = t->next_;
        t->at_ms = 0;
        t->on_fire(t);
    }
}

/* Children without a pidfd. */
static void reap_plain(struct loop *l)
{
    for (struct loop_child **p = &l->plain_children; *p;) {
        struct loop_child *c = *p;
        int status;
        if (waitpid(c->pid, &status, WNOHANG) != c->pid) {
            p = &c->next_;
            continue;
        }
        *p = c->next_;
        c->on_exit(c, status);
        p = &l->plain_children; /* the callback may have changed the list */
    }
}

static void signal_ready(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct loop *l = container_of(w, struct loop, signal_watch);
    struct signalfd_siginfo s;
    while (read(w->fd, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
        if (s.ssi_signo == SIGCHLD)
            reap_plain(l);
        else if (l->on_signal)
            l->on_signal(l->signal_arg, (int)s.ssi_signo);
    }
}

int loop_signals(struct loop *l, const int *sigs, unsigned n, void (*fn)(void *arg, int sig), void *arg,
                 struct err *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    for (unsigned i = 0; i < n; i++)
        (void)sigaddset(&set, sigs[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_errno(err, errno, "block signals");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_errno(err, errno, "signalfd (does the kernel have CONFIG_SIGNALFD?)");
    l->on_signal = fn;
    l->signal_arg = arg;
    l->signal_watch.on_ready = signal_ready;
    return loop_fd_add(l, &l->signal_watch, fd, EPOLLIN, err);
}

static void child_ready(struct loop_fd *w, uint32_t events)
{
    (void)events;
    struct loop_child *c = container_of(w, struct loop_child, watch_);
    int status;
    pid_t got = waitpid(c->pid, &status, WNOHANG);
    if (got == 0)
        return;
    loop_child_del(c->loop_, c);
    c->on_exit(c, got == c->pid ? status : -1);
}

int loop_child_add(struct loop *l, struct loop_child *c, pid_t pid, struct err *err)
{
    c->pid = pid;
    c->loop_ = l;
    c->watch_.fd = -1;
    c->pidfd = sys_pidfd_open(pid);
    if (c->pidfd < 0) { /* before 5.3 */
        c->next_ = l->plain_children;
        l->plain_children = c;
        return 0;
    }
    c->watch_.on_ready = child_ready;
    int rc = loop_fd_add(l, &c->watch_, c->pidfd, EPOLLIN, err);
    if (rc < 0) {
        (void)close(c->pidfd);
        c->pidfd = -1;
    }
    return rc;
}

void loop_child_del(struct loop *l, struct loop_child *c)
{
    for (struct loop_child **p = &l->plain_children; *p; p = &(*p)->next_)
        if (*p == c) {
            *p = c->next_;
            break;
        }
    loop_fd_del(l, &c->watch_);
    if (c->pidfd >= 0)
        (void)close(c->pidfd);
    c->pidfd = -1;
}

void loop_after_turn(struct loop *l, void (*fn)(void *arg), void *arg)
{
    l->after = fn;
    l->after_arg = arg;
}

int loop_turn(struct loop *l, int timeout_ms, struct err *err)
{
    arm(l);
    if (timeout_ms < 0)
        timeout_ms = mem_rest(clock_boot_ms(), l->timer_armed_ms);
    int n = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS, timeout_ms);
    if (n < 0 && errno != EINTR)
        return err_errno(err, errno, "epoll_wait");
    l->n_events = n > 0 ? n : 0;
    patience_begin(l->patience_ms);
    for (l->at_event = 0; l->at_event < l->n_events; l->at_event++) {
        struct loop_fd *w = l->events[l->at_event].data.ptr;
        if (w)
            w->on_ready(w, l->events[l->at_event].events);
    }
    l->n_events = 0;
    fire_timers(l);
    if (l->after)
        l->after(l->after_arg);
    return 0;
}

void loop_patience(struct loop *l, uint64_t ms)
{
    l->patience_ms = ms;
    patience_begin(ms);
}

int loop_run(struct loop *l, struct err *err)
{
    l->stop = false;
    while (!l->stop) {
        int rc = loop_turn(l, -1, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}
