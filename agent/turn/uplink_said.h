/* uplink_said.h - parses what link sends. Untrusted bytes reach link, so nothing is assumed well-formed, no
 * source is accepted that the settings do not name, and none that the broker may not use ("local" is the
 * console). Pure. */
#ifndef AGENT_UPLINK_SAID_H
#define AGENT_UPLINK_SAID_H
#include "agent/manifest/config.h"
#include "platform/mem.h"

enum said_word { SAID_DOC, SAID_BAD, SAID_CLEAR, SAID_CMD, SAID_UP, SAID_DOWN, SAID_ACK };

enum said_source { SAID_DEVICE, SAID_TRUST, SAID_COMMAND, SAID_GROUP_ALL, SAID_GROUPS };
#define SAID_SOURCES (SAID_GROUPS + LIM_GROUPS)

struct said_command {
    char verb[LIM_NAME_BYTES], id[LIM_NAME_BYTES], app[LIM_NAME_BYTES]; /* app "": none */
    char reply[LIM_NAME_BYTES];                                         /* below F/d/DEV/reply/ */
    uint64_t exp_s, lines;
};
struct said {
    enum said_word word;
    unsigned source; /* of DOC, BAD, CLEAR, CMD: see uplink_said_source_text */
    char source_text[LIM_NAME_BYTES + 8];
    struct buf packed; /* DOC; borrowed from the message */
    const char *text;  /* BAD, DOWN; the same, printable */
    uint32_t id;       /* ACK */
    bool sent;         /* ACK: the broker has it, or never will */
    struct said_command command;
};
/* msg[len] must be writable. INVALID: not a message that link sends. */
NODISCARD int uplink_said_parse(const struct config *config, char *msg, size_t len, struct said *ret,
                                struct err *err);
/* "group:line-a" of the settings; false: no such source. */
bool uplink_said_source_text(const struct config *config, unsigned source, char *dst, size_t size);
#endif
