/* intake_int.h - what the files of intake share: intake.c (manifests), intake_trust.c (who may sign,
 * epochs), intake_time.c (the present time), intake_check.c (is it for us, and new), intake_saved.c
 * (start, and how a manifest ends). */
#ifndef AGENT_INTAKE_INT_H
#define AGENT_INTAKE_INT_H
#include "agent/core.h"

/* The payload as a set; the caller has checked its signatures. news: else it was accepted before, perhaps
 * by an older agent (manifest_parse_saved). Owner: caller (sets_done). Errors: of manifest_parse. */
NODISCARD int intake_parse(const struct envelope *e, bool news, struct set *ret, struct err *err);
/* A trust document; source "trust/N" or "local". Errors: DENIED, INVALID, those of saving. */
NODISCARD int intake_trust(struct core *c, const char *source, const struct envelope *e, struct err *err);
/* Versions that arrived early and whose predecessor did not arrive: reported once. */
void intake_trust_gap(struct core *c);
/* What the trust document in force resets and has not reset yet (at start: power went in between). */
void intake_epoch(struct core *c);
/* A document from issued_s has been verified. from: "rev 7 of device", for people. */
void intake_time_seen(struct core *c, uint64_t issued_s, const char *from);
/* intake_check.c: is a manifest for this device, and new; has the device what it names? Errors: DENIED,
 * CONFLICT, UNSUPPORTED, INVALID with the member's path. */
NODISCARD int intake_check_target(struct core *c, const char *source, const struct desired *d,
                                  struct err *err);
/* Times that no right document has: of an epoch that ended, or beyond the end of the keys that signed it. */
NODISCARD int intake_check_times(const struct core *c, const struct desired *d, struct err *err);
/* The counter rules: rev only rises; the same rev is the same document or an alarm. 1: it is the one that
 * we know. */
NODISCARD int intake_check_rev(const struct state_rev *r, const struct desired *d,
                               const struct digest *digest, struct err *err);
/* The topic's counter; that of a topic which the device listens to no more makes room. NULL: there are too
 * many. */
struct state_rev *intake_rev_of(struct core *c, const char *source);
NODISCARD int intake_judge(const struct core *c, const struct desired *d, struct err *err);
/* Is there a trust document in force? authenticate: and do its fleet keys stand behind e? */
NODISCARD int intake_check_trust(const struct core *c, struct err *err);
NODISCARD int intake_authenticate(const struct core *c, const struct envelope *e, struct err *err);
#endif
