/* follow.h - which of the signed documents on its topics a device follows. Pure.
 *
 * Only the newest document of each topic counts. The device's own comes first, then its groups in the order
 * of its settings, then the group "all": the first topic whose document has an opinion is followed
 * exclusively, whether its time has come or not; the topics after it have no effect. A withdrawn document has
 * no opinion. No document at all: what runs keeps running. */
#ifndef AGENT_FOLLOW_H
#define AGENT_FOLLOW_H
#include "agent/manifest/config.h"
#include "agent/manifest/manifest.h"
#include "ota/doc/envelope.h"

#define FOLLOW_DOCS   (LIM_GROUPS + 2)
#define FOLLOW_SOURCE (LIM_NAME_BYTES + 8)
#define FOLLOW_WHY    160

/* What is kept in memory of a topic's newest document; the document itself is in the state directory. */
struct follow_doc {
    char source[FOLLOW_SOURCE]; /* "device", "group:line-a" */
    bool known, withdrawn;
    uint64_t rev;
    struct digest digest; /* of its payload */
    bool shut;            /* its rollout has not reached this device's slot ... */
    bool at_once;         /* given locally at the device */
    uint64_t begins_s;    /* ... or this is when its turn comes; 0: at once */
    char closed[FOLLOW_WHY];
    struct envelope *unsaved; /* the disk was full: it exists only here ... */
    uint64_t unsaved_rev;
    bool unsaved_local; /* ... and was given locally at the device */
};
struct follow {
    unsigned n;
    struct follow_doc docs[FOLLOW_DOCS]; /* in order of precedence */
};
struct follow_choice {
    struct follow_doc *doc; /* borrowed; NULL: none */
    bool held;
    char why[FOLLOW_WHY]; /* why it is held; "": it is not */
};

/* The topics of this device, none of them known. */
void follow_init(struct follow *f, const struct config *config);
/* Borrowed; NULL: the device does not follow that topic. */
struct follow_doc *follow_find(struct follow *f, const char *source);
/* Its place in the order, from 0; unknown topics come after all others. */
unsigned follow_rank(const struct follow *f, const char *source);
/* Store the document's properties for its topic; at_once: given locally at the device, so its rollout does
 * not apply. */
void follow_set(struct follow_doc *doc, const struct desired *d, const struct digest *digest,
                const char *device, bool at_once);
/* Choose the first topic with an opinion, and report whether its time has come. */
void follow_choose(struct follow *f, uint64_t now_s, struct follow_choice *ret);
/* Is a document only in memory? */
bool follow_unsaved(const struct follow *f);
/* The topic that a document is for: "device" or "group:NAME", into dst[FOLLOW_SOURCE]; returns dst. */
char *follow_source(const struct desired *d, char *dst);
#endif
