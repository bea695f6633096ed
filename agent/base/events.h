/* events.h - what happened: a ring for `agentctl events` and a queue for the fleet, which uplink drains.
 * Only events.c writes struct events. */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H
#include "platform/err.h"
#include "platform/limits.h"
#include "runtime/box/logring.h"

struct core;

struct event {
    uint64_t seq;
    uint32_t wait_id; /* publish under way: its ack id; 0: not sent yet */
    char *json;
};
struct events {
    struct event list[LIM_EVENTS];
    unsigned n;
    uint64_t seq;
    struct logring *log;
    int pipe[2];
};

/* The ring; what happened before the keeper said how many cores there were gets its number now. Errors:
 * NOSPACE, those of logring_open. */
NODISCARD int events_open(struct core *c, struct err *err);
/* app NULL: of none. The message is one clean line of at most 300 bytes. */
void events_add(struct core *c, const char *kind, const char *app, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The oldest one that is not on its way, and the id for its acknowledgement; NULL: there is none. Borrowed
 * until the next call. */
const char *events_next(struct core *c, uint32_t *ret_id);
/* It is on its way; what is not acknowledged when the connection goes (events_lost) is sent again. */
void events_sent(struct core *c, uint32_t id);
/* The broker has it (sent: it goes), or link could not hand it on (it is sent again). */
void events_acked(struct core *c, uint32_t id, bool sent);
void events_lost(struct core *c); /* see events_sent */
#endif
