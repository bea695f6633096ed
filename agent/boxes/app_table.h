/* app_table.h - boxes as core knows them: one record per app, shared by the files of boxes and written by
 * nothing else: apps (start, stop, end), app_file, app_exec, logs, health_probe, devices, adopt. */
#ifndef AGENT_APP_TABLE_H
#define AGENT_APP_TABLE_H
#include "agent/decide/device_match.h"
#include "agent/decide/plan.h"
#include "platform/loop.h"
#include "runtime/box/box.h"
#include "runtime/box/logring.h"

struct core;
struct health_probe;

/* A device of a box; dev.type 0: not present. */
struct app_device {
    struct hot_dev dev, tried;
    struct cgroup_field rule;
    char why[144]; /* why it could not be provided */
};

/* seen is what the plan reads. */
struct app {
    bool used;
    struct seen seen;
    struct core *core;
    struct box_id box;
    struct box_report report;
    char network[LIM_NET_NAME + 1]; /* the shared network that the box is in; "": none */
    struct digest release, manifest;
    char version[LIM_NAME_BYTES];
    uint64_t counter, restarts, peak_bytes, last_exit_s;
    char start_why[160]; /* why the last start failed */
    int pidfd, out_fd, err_fd;
    struct loop_fd exit_watch, out_watch, err_watch, oom_watch;
    struct loop_timer exit_wait, oom_wait, probe_timer, log_rest;
    struct logring *log;
    struct health_probe *probe;
    uint64_t ooms_seen;
    unsigned n_execs; /* in this app, see app_exec.c */
    struct {          /* its main process has ended, but parts of the box are left */
        bool pending;
        struct ending e;
        uint64_t until_ms, limit_bytes;
    } end;
    bool stop_by_us, net_known; /* its network was made or checked by this core */
    struct app_device *devices; /* LIM_DEVICES of them, indexed as in the want; NULL: it never had one */
};

/* NULL: unknown app. Borrowed; app_new may reuse the record for another app. */
struct app *app_find(struct core *c, const char *name);
/* The app's record; a new one takes a free slot, or that of an app which is neither wanted nor running. NULL:
 * no slot. */
struct app *app_new(struct core *c, const char *name);
/* Does any app have a box, running or stopping? */
bool app_table_any_box(const struct core *c);
/* What its box uses; also updates the recorded peak. */
void app_usage(struct app *a, struct cgroup_usage *ret);
/* Its box is gone, and with it the host devices that it had. */
void app_no_devices(struct app *a);
#endif
