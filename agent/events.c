/* events.c - what happened, for the fleet and for `agentctl events`: sent with QoS 1, kept until
 * acknowledged, also in a ring below run_dir that outlives core. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/core.h"
#include "platform/clock.h"
#include "platform/log.h"

#define EVENT_RING_BYTES (64 * 1024)

static void drop_oldest(struct core *c)
{
    free(c->events[0].json);
    memmove(&c->events[0], &c->events[1], (c->n_events - 1) * sizeof(c->events[0]));
    c->n_events--;
}

/* The ring takes what a pipe brings: an event's line is shorter than PIPE_BUF, so it arrives whole. */
static void to_ring(struct core *c, const char *json)
{
    char line[1024];
    if (!c->event_log || !str_fmt(line, sizeof(line), "%s\n", json))
        return;
    if (write(c->event_pipe[1], line, strlen(line)) > 0)
        err_ignore(logring_pump(c->event_log, c->event_pipe[0], 'o', clock_wall_ms(), NULL));
}

/* What happened before the keeper told how many cores there were: it gets its number and its place in the ring now. */
static void number(struct core *c, struct event *e)
{
    static const char key[] = "\"seq\":";
    char *at = strstr(e->json, key), *rest = at ? strchr(at, ',') : NULL, *text = NULL;
    e->seq = ++c->event_seq;
    if (!rest || asprintf(&text, "%.*s%s%llu%s", (int)(at - e->json), e->json, key,
                          (unsigned long long)e->seq, rest) < 0)
        return;
    free(e->json);
    e->json = text;
    to_ring(c, e->json);
}

int events_open(struct core *c, struct err *err)
{
    if (pipe2(c->event_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_set(err, ERR_NOSPACE, "pipe for events");
    int rc = logring_open(c->run_fd, "events", EVENT_RING_BYTES, &c->event_log, err);
    c->event_seq = c->state.ledger.boots * 1000000 + c->cores_before * 10000;
    for (unsigned i = 0; i < c->n_events; i++)
        number(c, &c->events[i]);
    return rc;
}

void event_add(struct core *c, const char *kind, const char *app, const char *fmt, ...)
{
    char msg[300];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    (void)str_clean(msg);
    log_info("%s%s%s: %s", kind, app ? " " : "", app ? app : "", msg);
    struct cJSON *o = json_obj();
    json_put_u64(o, "v", 1);
    json_put_u64(o, "ts", clock_wall_s());
    json_put_u64(o, "seq", ++c->event_seq);
    json_put_str(o, "kind", kind);
    if (app)
        json_put_str(o, "app", app);
    json_put_str(o, "msg", msg);
    json_put_u64(o, "rev", c->state.ledger.candidate_rev);
    if (c->n_events == LIM_EVENTS)
        drop_oldest(c);
    struct event *e = &c->events[c->n_events++];
    *e = (struct event){.seq = c->event_seq, .json = json_print(o, false)};
    (void)json_free(o);
    to_ring(c, e->json);
    events_send(c);
}

void events_send(struct core *c)
{
    for (unsigned i = 0; i < c->n_events && uplink_is_up(c); i++) {
        struct event *e = &c->events[i];
        uint32_t id = (uint32_t)(e->seq & 0x7fffffff);
        if (e->wait_id == 0 && uplink_publish(c, "event", e->json, 1, false, 0, id))
            e->wait_id = id;
    }
}

void events_acked(struct core *c, uint32_t id, bool sent)
{
    for (unsigned i = 0; i < c->n_events; i++) {
        if (c->events[i].wait_id != id)
            continue;
        c->events[i].wait_id = 0;
        if (sent) {
            free(c->events[i].json);
            memmove(&c->events[i], &c->events[i + 1], (c->n_events - i - 1) * sizeof(c->events[0]));
            c->n_events--;
        }
        return;
    }
}
