/* uplink.h - core's side of link (protocol: link_words.h): messages from the broker go to the caller's
 * functions, events and reports go out. */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H
#include "agent/turn/uplink_said.h"
#include "ota/doc/envelope.h"

struct core;
struct uplink;

struct uplink_calls {
    void (*on_document)(struct core *c, const char *source, const struct envelope *e);
    void (*on_clear)(struct core *c, const char *source); /* an empty message on that topic */
    /* The answer to a command: malloc'd; NULL with *ret_error (static): failed. */
    char *(*answer)(struct core *c, const struct said_command *k, const char **ret_error);
};

/* No broker configured: 0, and the other functions do nothing. Errors: IO; a failed start of link only if it
 * takes new settings to fix. */
NODISCARD int uplink_start(struct core *c, const struct uplink_calls *calls, struct err *err);
/* Ask link to disconnect; it is killed if it does not exit. */
void uplink_stop(struct core *c);
/* After a turn of the loop: send events. */
void uplink_turn(struct core *c);
/* Is the broker connected now? */
bool uplink_is_up(const struct core *c);
/* Is there no link process left? */
bool uplink_is_gone(const struct core *c);
/* Changes each time the connection comes up or goes down. */
uint64_t uplink_connection(const struct core *c);
bool uplink_ask_again(struct core *c);         /* for all that the broker retains for us; false: not now */
const char *uplink_text(const struct core *c); /* "online", "offline: ..." */
/* topic: below F/d/DEV/. id: for the ack, 0: none. false: not sent. */
bool uplink_publish(struct core *c, const char *topic, const char *json, unsigned qos, bool retain,
                    uint32_t expiry_s, uint32_t id);
#endif
