/* link_outbox.h - what came from the broker and core has not taken yet. Of each topic only the newest
 * message is kept, of each source one is under way until core asks for the next: neither a slow core nor a
 * broker that floods loses the last word of another topic, and memory has a bound. No I/O. */
#ifndef AGENT_LINK_OUTBOX_H
#define AGENT_LINK_OUTBOX_H
#include "platform/limits.h"
#include "platform/mem.h"

#define OUTBOX_FULL \
    40 /* messages; then nothing more is read from the broker: 32 steps of trust and every other topic fit */
#define OUTBOX_COMMANDS 8 /* of them commands, which are not each other's successors */
#define OUTBOX_ACKS     128

struct outbox_item {
    struct outbox_item *next_;
    char source[LIM_NAME_BYTES + 8]; /* as link_words.h has it */
    char key[256];                   /* the topic */
    bool retained;
    size_t len;
    uint8_t *bytes;
};
struct outbox {
    struct outbox_item *first_;
    unsigned n, n_commands, dropped_commands;
    char under_way[LIM_GROUPS + 4][LIM_NAME_BYTES + 8]; /* sources; "": a free place */
    struct {
        uint32_t id;
        int code;
    } acks[OUTBOX_ACKS];
    unsigned n_acks;
    char state[300]; /* "up ...", "down ..."; "": sent already */
};
struct outbox_calls { /* false: no room now */
    bool (*say)(void *arg, const char *text);
    bool (*pass_on)(void *arg, const struct outbox_item *item);
    void *arg;
};

/* A message of that topic; the one that waits already goes. "cmd": they queue, and what is too much is
 * counted. */
void link_outbox_put(struct outbox *o, const char *source, const char *key, struct buf payload,
                     bool retained);
void link_outbox_state(struct outbox *o, const char *text);
void link_outbox_ack(struct outbox *o, uint32_t id, int code);
void link_outbox_next(struct outbox *o, const char *source); /* core has taken the last one of this source */
bool link_outbox_is_full(const struct outbox *o);
/* Hand over what can be; true: something waits for room. */
bool link_outbox_flush(struct outbox *o, const struct outbox_calls *calls);
#endif
