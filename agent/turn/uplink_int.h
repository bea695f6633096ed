/* uplink_int.h - shared by the files of uplink: core's view of the link process. */
#ifndef AGENT_UPLINK_INT_H
#define AGENT_UPLINK_INT_H
#include "agent/core.h"
#include "agent/decide/bucket.h"
#include "agent/turn/uplink.h"

/* A command's answer being sent; text NULL: none. */
struct uplink_reply {
    char *text;
    const char *error; /* static, or NULL */
    size_t at, len;
    unsigned n, under_way; /* pieces sent; of those, not yet acknowledged */
    struct said_command command;
};
struct uplink_source {
    bool open;        /* link may send one more message */
    bool owed;        /* core has taken the last one and not yet asked for the next ... */
    uint64_t next_ms; /* ... which it does at this time */
    struct bucket bucket;
};
struct uplink {
    struct core *core;
    struct uplink_calls calls;
    struct loop_child child;
    struct loop_fd sock;
    struct loop_timer restart, pay;
    bool running, up, stopping;
    bool wants_room; /* a message did not fit into the socket */
    unsigned restarts;
    uint64_t connection; /* changes each time it comes up or goes down */
    uint64_t since_ms;
    char why[200];
    char client[LIM_NAME_BYTES + 24]; /* the MQTT client id, for the life of this core */
    struct bucket states;
    struct uplink_source sources[SAID_SOURCES];
    struct uplink_reply reply;
};

/* uplink.c: send one message to link; false: link is gone, or there is no room (the rest follows once there
 * is). */
bool uplink_say(struct uplink *u, struct buf msg);

/* uplink_reply.c: commands and their answers. */
#define UPLINK_REPLY_ID 0x80000000U /* event ids are below it */
void uplink_command(struct uplink *u, const struct said_command *k);
void uplink_reply_go_on(struct uplink *u); /* send as many pieces as may be outstanding */
void uplink_reply_acked(struct uplink *u, bool sent);
void uplink_reply_drop(struct uplink *u); /* the connection is gone, and perhaps the requester too */
#endif
