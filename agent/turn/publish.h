/* publish.h - when state, health and progress are published. Only publish.c writes struct publish. */
#ifndef AGENT_PUBLISH_H
#define AGENT_PUBLISH_H
#include "platform/crypto.h"
#include "platform/loop.h"

struct core;

struct publish {
    struct loop_timer report, health;
    uint64_t report_at_ms, progress_at_ms; /* earliest time of the next one */
    uint64_t moves;                        /* job progress already published */
    uint64_t connection;                   /* the uplink connection (uplink_connection) ... */
    bool told;                             /* ... on which the last report was published ... */
    struct digest digest;                  /* ... and its report_digest */
};

void publish_open(struct core *c);  /* at start */
void publish_turn(struct core *c);  /* after a turn of the loop: changes are published shortly */
void publish_state(struct core *c); /* now */
void publish_again(struct core *c); /* shortly, even if nothing changed */
#endif
