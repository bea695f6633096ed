/* events.c - the queue is sent with QoS 1 and kept until acknowledged; the ring below run_dir survives
 * core. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "agent/core.h"
#include "platform/clock.h"
#include "platform/log.h"

#define EVENT_RING_BYTES (64 * 1024)

/* Never 0, which means not sent yet. */
static uint32_t id_of(const struct event *e)
{
    return (uint32_t)(e->seq % 0x7fffffff) + 1;
}

static void drop_oldest(struct core *c)
{
    free(c->events.list[0].json);
    memmove(&c->events.list[0], &c->events.list[1], (c->events.n - 1) * sizeof(c->events.list[0]));
    c->events.n--;
}

/* The ring takes input as from a pipe: an event's line is shorter than PIPE_BUF, so it arrives whole. */
static void to_ring(struct core *c, const char *json)
{
    char line[1024];

    if (!c->events.log || !str_fmt(line, sizeof(line), "%s\n", json))
        return;
    if (write(c->events.pipe[1], line, strlen(line)) > 0)
        err_ignore(logring_pump(c->events.log, c->events.pipe[0], 'o', clock_wall_ms(), NULL));
}

/* An event from before the keeper reported the number of cores: it gets its id and its place in the ring
 * now. */
static void number(struct core *c, struct event *e)
{
    static const char key[] = "\"seq\":";
    char *at = strstr(e->json, key), *rest = at ? strchr(at, ',') : NULL, *text = NULL;

    e->seq = ++c->events.seq;
    if (!rest || asprintf(&text, "%.*s%s%" PRIu64 "%s", (int)(at - e->json), e->json, key, e->seq, rest) < 0)
        return;
    free(e->json);
    e->json = text;
    to_ring(c, e->json);
}

int events_open(struct core *c, struct err *err)
{
    if (pipe2(c->events.pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return err_set(err, ERR_NOSPACE, "pipe for events");
    int rc = logring_open(c->run_fd, "events", EVENT_RING_BYTES, &c->events.log, err);
    c->events.seq = c->state.ledger.boots * 1000000 + c->keeper.cores_before * 10000;
    for (unsigned i = 0; i < c->events.n; i++)
        number(c, &c->events.list[i]);
    return rc;
}

void events_add(struct core *c, const char *kind, const char *app, const char *fmt, ...)
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
    json_put_u64(o, "seq", ++c->events.seq);
    json_put_str(o, "kind", kind);
    if (app)
        json_put_str(o, "app", app);
    json_put_str(o, "msg", msg);
    json_put_u64(o, "rev", c->state.ledger.candidate_rev);
    if (c->events.n == LIM_EVENTS)
        drop_oldest(c);
    struct event *e = &c->events.list[c->events.n++];
    *e = (struct event){.seq = c->events.seq, .json = json_print(o, false)};
    (void)json_free(o);
    to_ring(c, e->json);
}

const char *events_next(struct core *c, uint32_t *ret_id)
{
    for (unsigned i = 0; i < c->events.n; i++) {
        const struct event *e = &c->events.list[i];
        if (e->wait_id)
            continue;
        *ret_id = id_of(e);
        return e->json;
    }
    return NULL;
}

void events_sent(struct core *c, uint32_t id)
{
    for (unsigned i = 0; i < c->events.n; i++) {
        struct event *e = &c->events.list[i];
        if (id_of(e) == id)
            e->wait_id = id;
    }
}

void events_lost(struct core *c)
{
    for (unsigned i = 0; i < c->events.n; i++)
        c->events.list[i].wait_id = 0;
}

void events_acked(struct core *c, uint32_t id, bool sent)
{
    for (unsigned i = 0; i < c->events.n; i++) {
        if (c->events.list[i].wait_id != id)
            continue;
        c->events.list[i].wait_id = 0;
        if (sent) {
            free(c->events.list[i].json);
            memmove(&c->events.list[i], &c->events.list[i + 1],
                    (c->events.n - i - 1) * sizeof(c->events.list[0]));
            c->events.n--;
        }
        return;
    }
}
