/* follow.h - which of the signed documents on its topics a device follows. Pure.
 *
 * Of each topic only the newest document counts. The device's own comes first, then the groups in the
 * order of its settings, then the group "all": the first topic whose document has an opinion is followed
 * whole, whether its time has come or not; what stands behind it waits. A document that is withdrawn has
 * none. No document at all: what runs keeps running. */
#ifndef AGENT_FOLLOW_H
#define AGENT_FOLLOW_H
#include "agent/manifest/config.h"
#include "agent/manifest/manifest.h"
#include "ota/doc/envelope.h"

#define FOLLOW_DOCS   (LIM_GROUPS + 2)
#define FOLLOW_SOURCE (LIM_NAME_BYTES + 8)
#define FOLLOW_WHY    160

/* What is kept in memory of the newest document of a topic; the document itself is in the state directory. */
struct follow_doc {
    char source[FOLLOW_SOURCE]; /* "device", "group:line-a" */
    bool known, withdrawn;
    uint64_t rev;
    struct digest digest; /* of its payload */
    bool shut;            /* its rollout has not reached this device's slot ... */
    bool at_once;         /* somebody at the device gave it */
    uint64_t begins_s;    /* ... or this is when the device's turn is; 0: at once */
    char closed[FOLLOW_WHY];
    struct envelope *unsaved; /* the disk was full: it is only here ... */
    uint64_t unsaved_rev;
    bool unsaved_local; /* ... and was given at the device */
};
struct follow {
    unsigned n;
    struct follow_doc docs[FOLLOW_DOCS]; /* in order: the first one with an opinion counts */
};
struct follow_choice {
    struct follow_doc *doc; /* borrowed; NULL: there is none */
    bool held;
    char why[FOLLOW_WHY]; /* it is held */
};

/* The topics of this device, none of them known. */
void follow_init(struct follow *f, const struct config *config);
/* Borrowed; NULL: the device does not listen to that topic. */
struct follow_doc *follow_find(struct follow *f, const char *source);
/* Its place in the order, from 0; that of an unknown topic is behind all. */
unsigned follow_rank(const struct follow *f, const char *source);
/* The document's words into the topic's place; at_once: somebody at the device asked for it, its rollout
 * does not count. */
void follow_set(struct follow_doc *doc, const struct desired *d, const struct digest *digest,
                const char *device, bool at_once);
/* The first topic with an opinion, and whether its time has come. */
void follow_choose(struct follow *f, uint64_t now_s, struct follow_choice *ret);
/* Is a document only in memory? */
bool follow_unsaved(const struct follow *f);
/* The topic that a document is for: "device" or "group:NAME", into dst[FOLLOW_SOURCE]; returns dst. */
char *follow_source(const struct desired *d, char *dst);
#endif
