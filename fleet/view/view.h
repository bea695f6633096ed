/* view.h - what the broker holds of a fleet: per device its report, whether it is online, and the document it
 * was given. */
#ifndef FLEET_VIEW_H
#define FLEET_VIEW_H
#include "fleet/base/doc.h"
#include "fleet/base/mqtt.h"
#include "fleet/doc/desired.h"

struct view_doc { /* a JSON document that came in; node NULL: none */
    struct cJSON *node;
    struct json_cur root;
};
struct view_device {
    char id[LIM_NAME_BYTES];
    struct view_doc state, progress;
    bool online_known, online, has_own; /* has_own: a desired document for this device is retained */
    uint64_t conn, online_s;
    unsigned slot; /* of the rollout asked for, and 1; 0: not reckoned yet (waiting.c, rollout.h) */
    int place;     /* waiting.c's */
    uint32_t told; /* waiting.c's: of the reason that was shown last */
};
#define VIEW_REASON_BYTES 240
struct view { /* zeroed to begin with */
    unsigned n, cap;
    struct view_device **devices;   /* by id */
    char (*groups)[LIM_NAME_BYTES]; /* those that a document is retained for */
    unsigned n_groups;
    struct buf desired;          /* the raw retained document of the target asked for; len 0: none */
    char desired_topic[200];     /* whose; empty: none asked for */
    unsigned changes;            /* grows with each message taken */
    struct view_device *touched; /* by the last message, NULL: no device of ours */
};
void view_done(struct view *v);
/* Take one message of the fleet's topics. Messages that make no sense are dropped: anybody on the broker may
 * have sent them. */
void view_take(struct view *v, const struct mqtt_msg *msg);
/* Subscribe to state, online, progress and desired of a device (NULL: all), and to the groups' desired
 * documents with a target (NULL: none); take what is retained. Later messages arrive in v through mqtt_poll.
 * Errors: of mqtt_retained; what came before is in v. */
NODISCARD int view_watch(struct view *v, struct mqtt *m, const struct ctx *c, const char *device,
                         const struct target *t, struct err *err);
/* NULL: nothing is known of it. */
struct view_device *view_find(const struct view *v, const char *id);
/* The device reports this group; each device that has reported is in the group "all". */
bool view_in_group(const struct view_device *d, const char *group);
/* Whose document the device follows when the target has one: "" its own, else a group's name; NULL: nobody's.
 * The device's own wins whole, then its groups in the order of its settings, "all" last. */
const char *view_follows(const struct view *v, const struct view_device *d, const struct target *t);
/* The device that a target is, or is in the group that it is. */
bool view_in_target(const struct view_device *d, const struct target *t);
/* It is in the target, and follows its document. */
bool view_meant(const struct view *v, const struct view_device *d, const struct target *t);

/* Its report is about a document of this target: revisions of two topics say nothing of each other. */
bool view_is_about(const struct view_device *d, const struct target *t);
/* Why it stands where it stands, "": it does not say. about: what it says of the document that it acts on;
 * else, or when that is nothing, why it took the last one for none. */
const char *view_reason(const struct view_device *d, bool about, char dst[VIEW_REASON_BYTES]);
/* When it was heard of last, 0: never. */
uint64_t view_seen_s(const struct view_device *d);

/* The payload of a desired envelope when this fleet's keys, retired ones too, signed it. *ret: owner caller
 * (json_free of ret->node). Errors: of keyring_verify_ever, INVALID. */
NODISCARD int view_read_desired(const struct ctx *c, struct buf envelope, struct view_doc *ret,
                                struct err *err);
#endif
