#include "agent/turn/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "agent/boxes/box_fields.h"
#include "agent/core.h"
#include "agent/turn/uplink.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"

/* Limits of all apps together. */
static void put_ceiling(struct cJSON *root, const struct core *c)
{
    struct cJSON *o = json_put(root, "ceiling", json_obj());

    box_fields_put(o, "memory", &c->confine.report.memory);
    box_fields_put(o, "pids", &c->confine.report.pids);
}

static bool waits_for(const struct plan *p, enum why why)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->steps[i].kind == STEP_WAIT && p->steps[i].why == why)
            return true;
    return false;
}

static const char *phase_of(const struct core *c)
{
    enum verdict v = c->state.ledger.candidate_verdict;

    if (intake_refused(c))
        return "rejected";
    if (c->intake.held_why[0] && (!c->sets.candidate.arena || v == VERDICT_CONVERGED))
        return "pending";
    if (c->state.ledger.follow_previous)
        return "rolled-back";
    if (!c->sets.candidate.arena)
        return "pending";
    if (v != VERDICT_NONE)
        return plan_verdict_name(v);
    if (jobs_is_of(c, OWNER_APPS))
        return c->jobs.step == STEP_FETCH || c->jobs.fetches ? "downloading" : "verifying";
    if (waits_for(&c->sets.plan, WHY_WINDOW))
        return "pending";
    if (waits_for(&c->sets.plan, WHY_RETRY) || waits_for(&c->sets.plan, WHY_TURN))
        return "downloading";
    return waits_for(&c->sets.plan, WHY_PROBATION) ? "probation" : "applying";
}

static const char *app_state(struct core *c, const struct app *a, const char *name)
{
    static const char *const boxes[BOX_STATE_COUNT_] = {"stopped", "running", "stopping"};

    if (jobs_is_of(c, OWNER_APPS) && strcmp(c->jobs.app, name) == 0 && (!a || a->seen.box == BOX_NONE))
        return c->jobs.step == STEP_INSTALL ? "installing" : "fetching";
    for (unsigned i = 0; i < c->sets.plan.n; i++)
        if (c->sets.plan.steps[i].app && strcmp(c->sets.plan.steps[i].app, name) == 0 &&
            c->sets.plan.steps[i].why == WHY_DEVICE)
            return "waiting";
    if (!a)
        return "absent";
    for (unsigned i = 0; i < c->sets.plan.n; i++)
        if (c->sets.plan.steps[i].app && strcmp(c->sets.plan.steps[i].app, name) == 0 &&
            c->sets.plan.steps[i].why == WHY_BACKOFF)
            return "backoff";
    return boxes[a->seen.box];
}

static void put_usage(struct cJSON *o, struct app *a)
{
    struct cgroup_usage u;

    if (a->seen.box == BOX_NONE) {
        if (a->peak_bytes)
            json_put_u64(o, "peak", a->peak_bytes);
        return;
    }
    app_usage(a, &u);
    const struct {
        const char *key;
        uint64_t v;
    } rows[] = {{"mem", u.memory_bytes},
                {"limit", u.memory_limit_bytes},
                {"peak", u.memory_peak_bytes},
                {"pids", u.pids},
                {"cpu_ms", u.cpu_us == CGROUP_UNSET ? CGROUP_UNSET : u.cpu_us / 1000}};
    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].v != CGROUP_UNSET)
            json_put_u64(o, rows[i].key, rows[i].v);
}

static void put_last_exit(struct cJSON *o, const struct app *a)
{
    const struct ending *e = &a->seen.deaths.last;

    if (!e->at_ms)
        return;
    struct cJSON *l = json_put(o, "last_exit", json_obj());
    json_put_i64(l, "code", e->signal ? 128 + e->signal : e->code);
    json_put_i64(l, "signal", e->signal);
    json_put_str(l, "reason",
                 e->oom      ? "oom"
                 : e->by_us  ? "stopped"
                 : !e->known ? "unknown"
                 : e->signal ? "signal"
                             : "exit");
    json_put_u64(l, "at", a->last_exit_s);
}

/* How the image came in or will: planned figures first, real ones next to them afterwards. */
static void put_update(struct cJSON *o, struct core *c, const char *name)
{
    const struct want *w = manifest_find(c->sets.plan.aim, name);
    const struct image *i = w ? images_of(c, w) : NULL;

    if (!i || i->state <= IMAGE_NO_MANIFEST)
        return;
    const struct image_memo *m = images_memo_find(c, &i->manifest);
    if (!m || !m->route.known)
        return;
    struct cJSON *u = json_put(o, "update", json_obj());
    json_put_str(u, "route", route_name(m->route.kind));
    json_put_u64(u, "down", m->planned.down_bytes);
    json_put_u64(u, "write", m->planned.write_bytes);
    json_put_u64(u, "memory", m->planned.memory_bytes);
    if (i->state != IMAGE_INSTALLED)
        return;
    json_put_u64(u, "fetched", m->fetched_bytes);
    json_put_u64(u, "written", m->written_bytes);
}

static void put_app(struct cJSON *apps, struct core *c, const char *name)
{
    char hex[SHA256_TEXT];
    struct app *a = app_find(c, name);
    struct cJSON *o = json_put(apps, name, json_obj());

    json_put_str(o, "state", app_state(c, a, name));
    devices_report(o, c, name);
    if (!a) {
        put_update(o, c, name);
        return;
    }
    bool trial = c->sets.candidate.arena && c->state.ledger.candidate_verdict == VERDICT_NONE;
    json_put_str(o, "phase", trial ? "probation" : a->seen.health.state == HEALTH_BAD ? "bad" : "good");
    json_put_str(o, "version", a->version);
    json_put_u64(o, "counter", a->counter);
    json_put_str(o, "release", digest_text(&a->release, hex));
    if (a->seen.box != BOX_NONE) {
        json_put_i64(o, "pid", a->box.pid);
        json_put_u64(o, "since", clock_wall_s() - (clock_boot_ms() - a->seen.started_ms) / 1000);
        if (a->box.host_ip[0])
            json_put_str(o, "ip", a->box.host_ip);
        if (a->box.host_ip6[0])
            json_put_str(o, "ip6", a->box.host_ip6);
    }
    json_put_u64(o, "restarts", a->restarts);
    json_put_u64(o, "oom", a->seen.deaths.oom);
    json_put_str(o, "health", health_state_name(a->seen.health.state));
    if (a->seen.health.last[0])
        json_put_str(o, "health_why", a->seen.health.last);
    put_usage(o, a);
    put_last_exit(o, a);
    (void)json_put(o, "enforce", box_fields_build(&a->report));
    put_update(o, c, name);
}

static void put_apps(struct cJSON *root, struct core *c)
{
    const struct desired *sets[] = {c->sets.plan.aim, c->sets.plan.run};
    struct cJSON *apps = json_put(root, "apps", json_obj());

    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used &&
            (c->apps[i].seen.box != BOX_NONE || manifest_find(sets[0], c->apps[i].seen.name) ||
             manifest_find(sets[1], c->apps[i].seen.name)))
            put_app(apps, c, c->apps[i].seen.name);
    for (unsigned i = 0; sets[0] && i < sets[0]->n; i++)
        if (!app_find(c, sets[0]->apps[i].name))
            put_app(apps, c, sets[0]->apps[i].name);
}

static uint64_t mem_available(void)
{
    char text[512];
    unsigned long long kib = 0;

    if (fs_read_text(AT_FDCWD, "/proc/meminfo", text, sizeof(text), NULL) > 0) {
        const char *at = strstr(text, "MemAvailable:");
        if (at)
            (void)sscanf(at, "MemAvailable: %llu", &kib);
    }
    return kib * 1024;
}

static void put_host(struct cJSON *root, struct core *c)
{
    struct utsname u;
    struct statvfs v;
    struct cJSON *o = json_put(root, "host", json_obj());

    json_put_str(o, "arch", c->arch);
    json_put_str(o, "variant", c->variant);
    if (uname(&u) == 0)
        json_put_str(o, "kernel", u.release);
    json_put_u64(o, "mem", c->memory_total_bytes);
    json_put_u64(o, "mem_free", mem_available());
    if (fstatvfs(c->state_fd, &v) == 0) {
        json_put_u64(o, "disk", (uint64_t)v.f_blocks * v.f_frsize);
        json_put_u64(o, "disk_free", (uint64_t)v.f_bavail * v.f_frsize);
    }
    json_put_str(o, "cgroup", c->cgroups.name);
}

/* What is wrong with the images: in the running job, or in the last one; false: nothing. */
static bool find_trouble(const struct core *c, struct err *ret, const char **ret_app, uint64_t *ret_next_ms)
{
    const struct jobs *j = &c->jobs;
    const struct jobs_fault *f = jobs_fault_of(c, OWNER_APPS);
    bool now = jobs_running(c) && j->trouble.kind != ERR_NONE;

    if (!now && f->last.kind == ERR_NONE)
        return false;
    *ret = now ? j->trouble : f->err;
    *ret_app = now ? j->app : f->app;
    *ret_next_ms = now               ? j->trouble_again_ms
                   : jobs_running(c) ? 0
                                     : f->last.at_ms + plan_retry_delay_ms(f->last.in_row);
    return true;
}

char *report_trouble(const struct core *c)
{
    struct err err;
    const char *app;
    uint64_t next_ms, now_ms = clock_boot_ms();
    char text[ERR_MSG_BYTES + LIM_NAME_BYTES + 80] = "", in[24];

    if (find_trouble(c, &err, &app, &next_ms))
        (void)str_fmt(text, sizeof(text), "last try%s%s: %s; next try in %s\n", app[0] ? " for " : "", app,
                      err.msg, clock_age(next_ms > now_ms ? next_ms - now_ms : 0, in, sizeof(in)));
    return mem_need_str(text);
}

/* The first app waiting for a device; false: none. */
static bool waits_for_device(struct core *c, char *dst, size_t size)
{
    const struct desired *sets[] = {c->sets.plan.aim, c->sets.plan.run};

    for (unsigned i = 0; i < c->sets.plan.n; i++) {
        const struct step *s = &c->sets.plan.steps[i];
        for (unsigned k = 0; s->kind == STEP_WAIT && s->why == WHY_DEVICE && k < COUNT_OF(sets); k++) {
            const struct want *w = manifest_find(sets[k], s->app);
            const char *path = w ? devices_lack(c, w).path : NULL;
            if (path)
                return str_fmt(dst, size, "%s waits for %s, which is not there", s->app, path);
        }
    }
    return false;
}

static void put_err(struct cJSON *root, struct core *c)
{
    char lack[LIM_NAME_BYTES + 160];
    const struct ledger *l = &c->state.ledger;
    const char *msg = NULL, *kind = NULL, *app = "";
    uint64_t next_ms = 0, now_ms = clock_boot_ms();
    struct err trouble;
    struct statvfs v;

    if (c->intake.unsaved || follow_unsaved(&c->intake.follow)) {
        bool full = fstatvfs(c->state_fd, &v) == 0 && (v.f_bavail == 0 || (v.f_files && v.f_favail == 0));
        msg = full ? "the disk is full: the agent's state, or the newest manifest, cannot be saved; it is "
                     "tried again"
                   : "the agent's state, or the newest manifest, cannot be saved; its log says why";
        kind = err_kind_name(full ? ERR_NOSPACE : ERR_IO);
    } else if (intake_refused(c)) {
        msg = l->refused.why;
        kind = "rejected";
    } else if (c->intake.held_why[0] &&
               (!c->sets.candidate.arena || l->candidate_verdict == VERDICT_CONVERGED)) {
        msg = c->intake.held_why;
        kind = "held";
    } else if (l->candidate_verdict != VERDICT_NONE && l->candidate_verdict != VERDICT_CONVERGED) {
        msg = l->candidate_why;
        kind = plan_verdict_name(l->candidate_verdict);
    } else if (find_trouble(c, &trouble, &app, &next_ms)) {
        msg = trouble.msg;
        kind = err_kind_name(trouble.kind);
    } else if (c->intake.denied_why[0] && !c->sets.candidate.arena) {
        msg = c->intake.denied_why;
        kind = "denied";
    } else if (waits_for_device(c, lack, sizeof(lack))) {
        msg = lack;
        kind = err_kind_name(ERR_NOTFOUND);
    }
    if (!msg) {
        json_put_str(root, "err", NULL);
        return;
    }
    struct cJSON *o = json_put(root, "err", json_obj());
    char words[ERR_MSG_BYTES + LIM_NAME_BYTES + 2];
    (void)str_fmt(words, sizeof(words), "%s%s%s", app, app[0] ? ": " : "", msg);
    json_put_str(o, "kind", kind);
    json_put_str(o, "msg", words);
    if (next_ms)
        json_put_u64(o, "next", clock_wall_s() + (next_ms > now_ms ? (next_ms - now_ms + 999) / 1000 : 0));
}

/* What the device takes for the current time, and the newest document that it could not accept as one. */
static void put_doubts(struct cJSON *root, const struct core *c)
{
    struct now_facts f;
    struct cJSON *o = json_put(root, "time", json_obj());

    intake_time_facts(c, &f);
    json_put_u64(o, "now", now_s(&f));
    json_put_u64(o, "clock", f.wall_s);
    json_put_bool(o, "synced", f.synced);
    json_put_u64(o, "floor", f.floor_s);
    json_put_str(o, "from", c->state.ledger.time_from);
    if (!c->intake.denied_why[0])
        return;
    o = json_put(root, "denied", json_obj());
    json_put_u64(o, "at", c->intake.denied_at_s);
    json_put_str(o, "msg", c->intake.denied_why);
}

struct cJSON *report_state(struct core *c)
{
    const struct ledger *l = &c->state.ledger;
    const struct desired *aim = c->sets.plan.aim;
    struct cJSON *o = json_obj();

    json_put_u64(o, "v", 1);
    json_put_u64(o, "ts", clock_wall_s());
    json_put_u64(o, "seq", ++c->report.seq);
    json_put_str(o, "device", c->config.device);
    json_put_str(o, "fleet", c->config.fleet);
    json_put_u64(o, "rev", aim ? aim->rev : 0);
    json_put_u64(o, "want", c->intake.want_rev);
    json_put_str(o, "source", l->source);
    json_put_str(o, "follows", c->intake.follows ? c->intake.follows : "");
    json_put_str(o, "id", aim ? aim->id : NULL);
    json_put_str(o, "phase", phase_of(c));
    json_put_u64(o, "since", l->n_history && l->candidate_verdict != VERDICT_NONE ? l->history[0].at_s : 0);
    put_err(o, c);
    put_doubts(o, c);
    put_ceiling(o, c);
    json_put_str(o, "agent", LIMPET_VERSION);
    json_put_u64(o, "boot", l->boots);
    json_put_u64(o, "cores", c->keeper.cores_before);
    json_put_u64(o, "uptime_s", clock_boot_ms() / 1000);
    json_put_u64(o, "trust", c->state.has_trust ? c->state.trust.version : 0);
    json_put_str(o, "link", uplink_text(c));
    struct cJSON *scrub = json_put(o, "scrub", json_obj());
    json_put_u64(scrub, "rounds", c->scrub.rounds);
    json_put_u64(scrub, "bytes", c->scrub.bytes);
    json_put_u64(scrub, "bad", c->scrub.bad);
    if (c->scrub.last_bad[0])
        json_put_str(scrub, "last", c->scrub.last_bad);
    struct cJSON *os = os_report(c);
    if (os)
        (void)json_put(o, "os", os);
    struct cJSON *self = self_report(c);
    if (self)
        (void)json_put(o, "agent_update", self);
    put_host(o, c);
    struct cJSON *groups = json_put(o, "groups", json_arr());
    for (unsigned i = 0; i < c->config.n_groups; i++)
        json_push_str(groups, c->config.groups[i]);
    put_apps(o, c);
    return o;
}

int report_digest(struct cJSON *report, struct digest *ret, struct err *err)
{
    static const char *const moving[] = {"ts",    "seq",  "uptime_s", "mem_free", "disk_free",
                                         "mem",   "peak", "cpu_ms",   "pids",     "rounds",
                                         "bytes", "next", "now",      "clock"};

    for (unsigned i = 0; i < COUNT_OF(moving); i++)
        json_drop_numbers(report, moving[i]);
    char AUTO_MEM *text = json_print(report, false);
    return sha256(buf_str(text), ret, err);
}

struct cJSON *report_health(struct core *c)
{
    double load[1] = {0};
    char text[32];
    struct cJSON *o = json_obj();

    json_put_u64(o, "v", 1);
    json_put_u64(o, "ts", clock_wall_s());
    json_put_u64(o, "uptime_s", clock_boot_ms() / 1000);
    (void)getloadavg(load, 1);
    json_put_u64(o, "load1_percent", (uint64_t)(load[0] * 100));
    json_put_u64(o, "mem_free", mem_available());
    unsigned long long pages = 0;
    if (fs_read_text(AT_FDCWD, "/proc/self/statm", text, sizeof(text), NULL) > 0 &&
        sscanf(text, "%*u %llu", &pages) == 1)
        json_put_u64(o, "agent_rss", pages * (uint64_t)sysconf(_SC_PAGESIZE));
    struct cJSON *apps = json_put(o, "apps", json_obj());
    for (unsigned i = 0; i < LIM_APPS; i++) {
        struct app *a = &c->apps[i];
        if (!a->used || a->seen.box == BOX_NONE)
            continue;
        struct cJSON *e = json_put(apps, a->seen.name, json_obj());
        put_usage(e, a);
        json_put_u64(e, "restarts", a->restarts);
        json_put_u64(e, "oom", a->seen.deaths.oom);
    }
    return o;
}

void report_save(struct core *c)
{
    struct err err = ERR_INIT;
    struct cJSON *o = report_state(c);
    char AUTO_MEM *text = json_print(o, false);

    (void)json_free(o);
    if (fs_write_atomic(c->run_fd, "state.json", buf_str(text), 0600, &err) < 0)
        log_error("%s", err.msg);
}
