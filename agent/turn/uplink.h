/* uplink.h - core's side of link (link_words.h has the words): what came from the broker goes to the
 * caller's functions, events and reports go out. */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H
#include "agent/turn/uplink_said.h"
#include "ota/doc/envelope.h"

struct core;
struct uplink;

struct uplink_calls {
    void (*on_document)(struct core *c, const char *source, const struct envelope *e);
    void (*on_clear)(struct core *c, const char *source); /* an empty message on that topic */
    /* The answer to a command: malloc'd; NULL with *ret_error (static): there is none. */
    char *(*answer)(struct core *c, const struct said_command *k, const char **ret_error);
};

/* No broker configured: 0, and none of this does anything. Errors: IO; of a start of link only what
 * settings can fix. */
NODISCARD int uplink_start(struct core *c, const struct uplink_calls *calls, struct err *err);
/* Link is asked to say goodbye, and killed when it does not end. */
void uplink_stop(struct core *c);
/* After a turn of the loop: events go out. */
void uplink_turn(struct core *c);
/* Is the broker reached now? gone: is there no link process any more? */
bool uplink_is_up(const struct core *c);
bool uplink_is_gone(const struct core *c);
/* Another number for each time that it came up or went down. */
uint64_t uplink_connection(const struct core *c);
bool uplink_ask_again(struct core *c); /* for all that the broker retains for us, once more; false: not now */
const char *uplink_text(const struct core *c); /* "online", "offline: ..." */
/* topic: below F/d/DEV/. id: for the ack, 0 none. false: not sent. */
bool uplink_publish(struct core *c, const char *topic, const char *json, unsigned qos, bool retain,
                    uint32_t expiry_s, uint32_t id);
#endif
