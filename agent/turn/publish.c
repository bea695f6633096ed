#include "agent/turn/publish.h"

#include "agent/core.h"
#include "agent/turn/uplink.h"
#include "platform/clock.h"

#define REPORT_EVERY_MS   500 /* a burst of changes is one report */
#define PROGRESS_EVERY_MS 2000
#define STATE_EXPIRY_S    (30 * 24 * 3600)

static void publish_progress(struct core *c)
{
    const struct jobs *j = &c->jobs;
    struct publish *p = &c->publish;
    uint64_t now = clock_boot_ms();

    if (!jobs_running(c) || j->step == STEP_SCRUB || j->owner == OWNER_SYSTEM || now < p->progress_at_ms)
        return;
    p->progress_at_ms = now + PROGRESS_EVERY_MS;
    p->moves = j->moves;
    struct cJSON *o = json_obj();
    json_put_u64(o, "v", 1);
    json_put_u64(o, "rev", c->sets.plan.aim ? c->sets.plan.aim->rev : 0);
    json_put_str(o, "step",
                 j->step == STEP_FETCH || j->fetches ? "download"
                 : j->step == STEP_INSTALL           ? "install"
                                                     : "collect");
    json_put_str(o, "app", j->app);
    json_put_u64(o, "done", j->done);
    json_put_u64(o, "total", j->total);
    char AUTO_MEM *text = json_print(o, false);
    (void)json_free(o);
    (void)uplink_publish(c, "progress", text, 0, false, 60, 0);
}

void publish_state(struct core *c)
{
    struct publish *p = &c->publish;
    struct digest now = {{0}};

    c->report_dirty = false;
    p->report_at_ms = clock_boot_ms() + REPORT_EVERY_MS;
    report_save(c);
    struct cJSON *o = report_state(c);
    char AUTO_MEM *text = json_print(o, false);
    bool same = report_digest(o, &now, NULL) == 0 && digest_eq(&now, &p->digest);
    (void)json_free(o);
    if (!same || !p->told)
        p->told = uplink_publish(c, "state", text, 1, true, STATE_EXPIRY_S, 0);
    p->digest = now;
    publish_progress(c);
}

static void report_fired(struct loop_timer *t)
{
    publish_state(container_of(t, struct core, publish.report));
}

static void health_fired(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, publish.health);

    if (uplink_is_up(c)) {
        struct cJSON *o = report_health(c);
        char AUTO_MEM *text = json_print(o, false);
        (void)json_free(o);
        (void)uplink_publish(c, "health", text, 0, false, 600, 0);
    }
    loop_timer_set(c->loop, t, clock_boot_ms() + c->config.health_interval_s * 1000);
}

void publish_open(struct core *c)
{
    struct publish *p = &c->publish;

    p->report.on_fire = report_fired;
    p->health.on_fire = health_fired;
    loop_timer_set(c->loop, &p->health, clock_boot_ms() + c->config.health_interval_s * 1000);
}

void publish_again(struct core *c)
{
    c->publish.told = false;
    core_tell(c);
}

void publish_turn(struct core *c)
{
    struct publish *p = &c->publish;

    if (uplink_connection(c) != p->connection) { /* nothing was published yet on the new connection */
        p->connection = uplink_connection(c);
        p->told = false;
        p->report_at_ms = uplink_is_up(c) ? 0 : p->report_at_ms;
        core_tell(c);
    }
    if (c->report_dirty && !p->report.at_ms)
        loop_timer_set(c->loop, &p->report, p->report_at_ms);
    if (c->jobs.moves != p->moves)
        publish_progress(c);
}
