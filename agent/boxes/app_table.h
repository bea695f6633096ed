/* app_table.h - boxes as core holds them: one record an app, which the files of boxes share and nobody
 * else writes: apps (start, stop, end), app_file, app_exec, logs, health_probe, devices, adopt. */
#ifndef AGENT_APP_TABLE_H
#define AGENT_APP_TABLE_H
#include "agent/decide/device_match.h"
#include "agent/decide/plan.h"
#include "platform/loop.h"
#include "runtime/box/box.h"
#include "runtime/box/logring.h"

struct core;
struct health_probe;

/* A device that a box has; dev.type 0: it has none. */
struct app_device {
    struct hot_dev dev, tried;
    struct cgroup_field rule;
    char why[144]; /* it could not be given */
};

/* seen is what the plan reads. */
struct app {
    bool used;
    struct seen seen;
    struct core *core;
    struct box_id box;
    struct box_report report;
    char network[LIM_NET_NAME + 1]; /* the shared one that the box is in; "": none */
    struct digest release, manifest;
    char version[LIM_NAME_BYTES];
    uint64_t counter, restarts, peak_bytes, last_exit_s;
    char start_why[160]; /* why it could not be started the last time */
    int pidfd, out_fd, err_fd;
    struct loop_fd exit_watch, out_watch, err_watch, oom_watch;
    struct loop_timer exit_wait, oom_wait, probe_timer, log_rest;
    struct logring *log;
    struct health_probe *probe;
    uint64_t ooms_seen;
    unsigned n_execs; /* of app_exec.c, in this app */
    struct {          /* its program is over and something of the box is still there */
        bool pending;
        struct ending e;
        uint64_t until_ms, limit_bytes;
    } end;
    bool stop_by_us, net_known; /* its network was made or checked by this core */
    struct app_device *devices; /* by the want's index, LIM_DEVICES of them; NULL: it never had one */
};

/* NULL: nothing is known of one. Borrowed; a place may be another's after app_new. */
struct app *app_find(struct core *c, const char *name);
/* Its record; a new one takes a free place, or that of an app which is neither wanted nor running. NULL:
 * there is none. */
struct app *app_new(struct core *c, const char *name);
/* Does any app have a box, running or stopping? */
bool app_table_any_box(const struct core *c);
/* What its box uses; the peak is remembered. */
void app_usage(struct app *a, struct cgroup_usage *ret);
/* Its box has gone, and with it what it had of the host's devices. */
void app_no_devices(struct app *a);
#endif
