/* uplink_int.h - what the files of uplink share: the link process as core holds it. */
#ifndef AGENT_UPLINK_INT_H
#define AGENT_UPLINK_INT_H
#include "agent/core.h"
#include "agent/decide/bucket.h"
#include "agent/turn/uplink.h"

/* An answer to a command on its way; text NULL: none. */
struct uplink_reply {
    char *text;
    const char *error; /* static, or NULL */
    size_t at, len;
    unsigned n, under_way; /* pieces sent; of them not acknowledged */
    struct said_command command;
};
struct uplink_source {
    bool open;        /* link may send one more */
    bool owed;        /* core has taken the last one and not asked for the next yet ... */
    uint64_t next_ms; /* ... which it does then */
    struct bucket bucket;
};
struct uplink {
    struct core *core;
    struct uplink_calls calls;
    struct loop_child child;
    struct loop_fd sock;
    struct loop_timer restart, pay;
    bool running, up, stopping;
    bool wants_room; /* something did not fit into the socket */
    unsigned restarts;
    uint64_t connection; /* another number each time that it came up or went down */
    uint64_t since_ms;
    char why[200];
    char client[LIM_NAME_BYTES + 24]; /* the id at the broker, as long as this core lives */
    struct bucket states;
    struct uplink_source sources[SAID_SOURCES];
    struct uplink_reply reply;
};

/* uplink.c: one message to link; false: no room (then the rest follows when there is), or it is gone. */
bool uplink_say(struct uplink *u, struct buf msg);

/* uplink_reply.c: commands and their answers. */
#define UPLINK_REPLY_ID 0x80000000U /* events' ids are below */
void uplink_command(struct uplink *u, const struct said_command *k);
void uplink_reply_go_on(struct uplink *u); /* as many pieces as may be under way */
void uplink_reply_acked(struct uplink *u, bool sent);
void uplink_reply_drop(struct uplink *u); /* the connection is gone, and the asker may be too */
#endif
