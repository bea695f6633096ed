/* intake_int.h - what the files of intake share: intake.c (manifests), intake_trust.c (who may sign, epochs),
 * intake_time.c (the present time), intake_saved.c (start, and how a manifest ends). */
#ifndef AGENT_INTAKE_INT_H
#define AGENT_INTAKE_INT_H
#include "agent/core.h"

/* The payload as a set; the caller has checked its signatures. news: else it was accepted before, perhaps by an older agent
 * (manifest_parse_saved). Owner: caller (sets_done). Errors: of manifest_parse. */
int intake_parse(const struct envelope *e, bool news, struct set *ret, struct err *err);
/* A trust document; source "trust/N" or "local". Errors: DENIED, INVALID, those of saving. */
int intake_trust(struct core *c, const char *source, const struct envelope *e, struct err *err);
/* Versions that came before their turn and whose predecessor did not: told, once. */
void intake_trust_gap(struct core *c);
/* What the trust document in force resets and has not reset yet (at start: power went in between). */
void intake_epoch(struct core *c);
/* A document from issued_s has been verified. from: "rev 7 of device", for people. */
void intake_time_seen(struct core *c, uint64_t issued_s, const char *from);
#endif
