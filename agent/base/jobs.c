#include "agent/base/jobs.h"

#include <stdio.h>

#include "agent/core.h"
#include "platform/clock.h"

bool jobs_running(const struct core *c)
{
    return c->jobs.job != NULL;
}

bool jobs_is_of(const struct core *c, enum owner owner)
{
    return c->jobs.job && c->jobs.owner == owner;
}

void jobs_begin(struct core *c, const struct jobs_about *about)
{
    struct jobs *j = &c->jobs;

    j->owner = about->owner;
    j->step = about->step;
    j->fetches = about->fetches;
    j->done = j->total = 0;
    (void)str_copy(j->app, sizeof(j->app), about->app);
    core_tell(c);
}

/* "progress DONE TOTAL": progress means that any trouble is over. */
static void note_progress(struct jobs *j, const char *line)
{
    unsigned long long done, total;

    if (sscanf(line, "progress %llu %llu", &done, &total) != 2)
        return;
    if (done != j->done)
        j->trouble = (struct err)ERR_INIT;
    j->done = done;
    j->total = total;
    j->moves++;
}

static void on_line(void *arg, const char *line)
{
    struct core *c = arg;

    note_progress(&c->jobs, line);
    if (c->jobs.calls.on_line)
        c->jobs.calls.on_line(c->jobs.calls.arg, line);
}

static void on_done(void *arg, const struct job_verdict *v)
{
    struct core *c = arg;
    struct job_calls calls = c->jobs.calls;

    c->jobs.job = NULL;
    c->jobs.trouble = (struct err)ERR_INIT;
    calls.on_done(calls.arg, v); /* may start the next job */
}

int jobs_run(struct core *c, const char *name, int (*fn)(void *arg, int line_fd, struct err *err),
             uint64_t memory_bytes, const struct job_calls *calls, struct err *err)
{
    const struct job_calls ours = {on_line, on_done, c};
    char path[128];
    struct job_spec spec = {.name = name,
                            .fn = fn,
                            .arg = calls->arg,
                            .cgroups = &c->cgroups,
                            .cgroup_path = path,
                            .memory_max_bytes = memory_bytes,
                            .deadline_ms = LIM_JOB_MS};

    (void)str_fmt(path, sizeof(path), "%s/agent/%s", c->cgroup_root, name);
    c->jobs.calls = *calls;
    return job_start(c->loop, &spec, &ours, &c->jobs.job, err);
}

int jobs_fetch(struct core *c, const struct fetch_request *r, const struct job_calls *calls, struct err *err)
{
    const struct job_calls ours = {on_line, on_done, c};

    c->jobs.calls = *calls;
    return fetch_start(c->loop, &c->cgroups, c->store, r, &ours, &c->jobs.job, err);
}

void jobs_cancel_stale(struct core *c, const char *why)
{
    if (c->jobs.owner != OWNER_SYSTEM)
        jobs_cancel(c, why);
}

void jobs_cancel(struct core *c, const char *why)
{
    if (c->jobs.job)
        job_cancel(c->jobs.job, why);
}

bool jobs_trouble(struct core *c, uint64_t wait_ms, enum err_kind kind, const char *why)
{
    struct jobs *j = &c->jobs;

    j->trouble_again_ms = clock_boot_ms() + wait_ms;
    if (strcmp(j->trouble.msg, why) == 0)
        return false;
    (void)err_set(&j->trouble, kind, "%s", why);
    (void)str_clean(j->trouble.msg);
    core_touch(c);
    return true;
}

void jobs_fault(struct core *c, enum owner owner, const char *app, const struct err *err)
{
    struct jobs_fault *f = &c->jobs.faults[owner];

    f->last.in_row = f->last.kind == err->kind ? f->last.in_row + 1 : 1;
    f->last.kind = err->kind;
    f->last.at_ms = clock_boot_ms();
    f->tries++;
    f->err = *err;
    (void)str_clean(f->err.msg);
    (void)str_copy(f->app, sizeof(f->app), app);
    core_touch(c);
}

void jobs_fault_clear(struct core *c, enum owner owner)
{
    c->jobs.faults[owner] = (struct jobs_fault){.err = ERR_INIT};
}

const struct jobs_fault *jobs_fault_of(const struct core *c, enum owner owner)
{
    return &c->jobs.faults[owner];
}

uint64_t jobs_again_ms(const struct core *c, enum owner owner)
{
    const struct jobs_fault *f = &c->jobs.faults[owner];

    return f->tries ? f->last.at_ms + plan_retry_delay_ms(f->tries) : 0;
}
