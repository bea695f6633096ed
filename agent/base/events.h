/* events.h - events: a ring for `agentctl events` and a queue for the fleet, which uplink drains. Only
 * events.c writes struct events. */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H
#include "platform/err.h"
#include "platform/limits.h"
#include "runtime/box/logring.h"

struct core;

struct event {
    uint64_t seq;
    uint32_t wait_id; /* ack id of the publish being sent; 0: not sent yet */
    char *json;
};
struct events {
    struct event list[LIM_EVENTS];
    unsigned n;
    uint64_t seq;
    struct logring *log;
    int pipe[2];
};

/* Open the ring; events from before the keeper reported the number of cores get their ids now. Errors:
 * NOSPACE, those of logring_open. */
NODISCARD int events_open(struct core *c, struct err *err);
/* app NULL: about none. The message is one clean line of at most 300 bytes. */
void events_add(struct core *c, const char *kind, const char *app, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The oldest event not yet sent, and the id for its acknowledgement; NULL: none. Borrowed until the next
 * call. */
const char *events_next(struct core *c, uint32_t *ret_id);
/* It was sent; unacknowledged when the connection is lost (events_lost), it is sent again. */
void events_sent(struct core *c, uint32_t id);
/* The broker has it (sent: drop it), or link could not pass it on (it is sent again). */
void events_acked(struct core *c, uint32_t id, bool sent);
void events_lost(struct core *c); /* see events_sent */
#endif
