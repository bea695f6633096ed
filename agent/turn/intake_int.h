/* intake_int.h - shared by the files of intake: intake.c (manifests), intake_trust.c (who may sign, epochs),
 * intake_time.c (the current time), intake_check.c (is it for us, and new), intake_saved.c (start, and how a
 * manifest ends). */
#ifndef AGENT_INTAKE_INT_H
#define AGENT_INTAKE_INT_H
#include "agent/core.h"

/* The payload as a set; the caller has checked its signatures. news: not accepted before; otherwise perhaps
 * by an older agent (manifest_parse_saved). Owner: caller (sets_done). Errors: those of manifest_parse. */
NODISCARD int intake_parse(const struct envelope *e, bool news, struct set *ret, struct err *err);
/* A trust document; source "trust/N" or "local". Errors: DENIED, INVALID, those of saving. */
NODISCARD int intake_trust(struct core *c, const char *source, const struct envelope *e, struct err *err);
/* Report, once, a version that arrived early and whose predecessor has not arrived. */
void intake_trust_gap(struct core *c);
/* Do the resets that the trust document in force asks for and that are still to do (at start: after a power
 * cut). */
void intake_epoch(struct core *c);
/* A document issued at issued_s was verified. from: "rev 7 of device", for messages. */
void intake_time_seen(struct core *c, uint64_t issued_s, const char *from);
/* intake_check.c: is a manifest for this device, and new; does the device have what it names? Errors: DENIED,
 * CONFLICT, UNSUPPORTED, INVALID with the member's path. */
NODISCARD int intake_check_target(struct core *c, const char *source, const struct desired *d,
                                  struct err *err);
/* Refuse impossible times: of an epoch that has ended, or past the expiry of the keys that signed it. */
NODISCARD int intake_check_times(const struct core *c, const struct desired *d, struct err *err);
/* Counter rules: rev only rises; the same rev with another document is an alarm. 1: this document is already
 * known. */
NODISCARD int intake_check_rev(const struct state_rev *r, const struct desired *d,
                               const struct digest *digest, struct err *err);
/* The topic's counter; the counter of a topic that the device no longer follows is reused. NULL: too many. */
struct state_rev *intake_rev_of(struct core *c, const char *source);
NODISCARD int intake_judge(const struct core *c, const struct desired *d, struct err *err);
/* Is a trust document in force? authenticate: and is e signed by its fleet keys? */
NODISCARD int intake_check_trust(const struct core *c, struct err *err);
NODISCARD int intake_authenticate(const struct core *c, const struct envelope *e, struct err *err);
#endif
