/* link_outbox.h - messages from the broker that core has not taken yet. Only the newest message of each topic
 * is kept, and one message per source is outstanding until core asks for the next: neither a slow core nor a
 * flooding broker loses the latest message of another topic, and memory is bounded. No I/O. */
#ifndef AGENT_LINK_OUTBOX_H
#define AGENT_LINK_OUTBOX_H
#include "platform/limits.h"
#include "platform/mem.h"

#define OUTBOX_FULL \
    40 /* messages; then reading from the broker stops: enough for 32 trust documents and every other topic */
#define OUTBOX_COMMANDS 8 /* commands among them; a newer command does not replace an older one */
#define OUTBOX_ACKS     128

struct outbox_item {
    struct outbox_item *next_;
    char source[LIM_NAME_BYTES + 8]; /* as in link_words.h */
    char key[256];                   /* topic */
    bool retained;
    size_t len;
    uint8_t *bytes;
};
struct outbox {
    struct outbox_item *first_;
    unsigned n, n_commands, dropped_commands;
    char under_way[LIM_GROUPS + 4][LIM_NAME_BYTES + 8]; /* outstanding sources; "": free slot */
    struct {
        uint32_t id;
        int code;
    } acks[OUTBOX_ACKS];
    unsigned n_acks;
    char state[300]; /* "up ...", "down ..."; "": already sent */
};
struct outbox_calls { /* false: no room now */
    bool (*say)(void *arg, const char *text);
    bool (*pass_on)(void *arg, const struct outbox_item *item);
    void *arg;
};

/* Queue a message; it replaces a waiting one of the same topic. "cmd": commands queue, and excess ones are
 * dropped and counted. */
void link_outbox_put(struct outbox *o, const char *source, const char *key, struct buf payload,
                     bool retained);
void link_outbox_state(struct outbox *o, const char *text);
void link_outbox_ack(struct outbox *o, uint32_t id, int code);
void link_outbox_next(struct outbox *o, const char *source); /* core has taken the last one of this source */
bool link_outbox_is_full(const struct outbox *o);
/* Pass on what core has room for; true: something is still waiting. */
bool link_outbox_flush(struct outbox *o, const struct outbox_calls *calls);
#endif
