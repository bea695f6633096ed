/* intake.h - signed documents: accepted or refused, each manifest with one verdict (L7). Only intake*.c
 * write struct intake. */
#ifndef AGENT_INTAKE_H
#define AGENT_INTAKE_H
#include "agent/base/sets.h"
#include "agent/base/state.h"
#include "agent/decide/follow.h"
#include "agent/decide/now.h"

struct intake {
    struct follow follow;                        /* the newest document of each topic */
    char held_why[FOLLOW_WHY];                   /* why the followed document waits; "": it does not */
    const char *follows;                         /* the followed topic, points into follow; "": none */
    uint64_t want_rev;                           /* newest rev seen on it */
    char denied_why[STATE_WHY + LIM_NAME_BYTES]; /* why the newest document was not even judged */
    uint64_t denied_at_s;
    struct digest denied_seen[16]; /* documents already refused: retained ones arrive again and again */
    unsigned denied_at;
    uint64_t trust_ahead; /* the highest version that arrived early; 0: none */
    bool trust_waits;     /* ... and was there on the last check too */
    bool trust_hurt;      /* a saved one exists but cannot be read: nothing replaces it automatically */
    bool ask_again;       /* trust has changed or could not be saved: documents may be judged differently */
    uint64_t turn_ms;     /* clock_boot_ms: the candidate's downloads do not start before; 0: at once */
    uint64_t follow_again_ms; /* a followed document could not be taken: retry not before */
    unsigned follow_fails;
    bool ledger_dirty; /* changed in memory, not yet saved; within one call */
    bool unsaved;      /* the ledger could not be written: retried until it can */
};

/* One document from link, console or disk. source: "device", "group:NAME", "trust/N", "local". A refusal is
 * reported as an event and, if the manifest was authentic, a verdict; err is for the caller. 0: accepted or
 * already known. Errors: DENIED, INVALID, CONFLICT, those of saving. */
NODISCARD int intake_document(struct core *c, const char *source, const struct envelope *e, struct err *err);
void intake_clear(struct core *c, const char *source); /* an empty message: only reported */
void intake_turn(struct core *c);             /* handle documents whose time has come, and unsaved state */
uint64_t intake_due_ms(const struct core *c); /* ms until intake_turn may have something to do */
void intake_save(struct core *c);             /* save the ledger; a failure is reported and retried */
/* The refusal to show in the state: of the followed topic, or of a topic that takes precedence. NULL:
 * none. */
const struct state_refused *intake_refused(const struct core *c);
NODISCARD int intake_load(struct core *c,
                          struct err *err); /* at start: load what was accepted earlier. Never fails now */
/* End the candidate with this verdict: durable, reported, and planned from next. */
void intake_verdict(struct core *c, enum verdict v, const char *why);
NODISCARD int intake_confirm(struct core *c,
                             struct err *err); /* candidate -> good. Errors: those of reading and saving */
NODISCARD int intake_rollback(struct core *c,
                              struct err *err); /* by the operator. NOTFOUND: there is no previous set */
/* Parse and judge only (agentctl plan): into *ret, the caller's (sets_done). Errors: those of
 * intake_document. */
NODISCARD int intake_preview(struct core *c, const struct envelope *e, struct set *ret, struct err *err);

/* intake_time.c: the current time as this device judges it (now.h). text: into dst[NOW_TEXT]; returns dst.
 * tick: the floor follows a synchronised clock. */
uint64_t intake_time_s(const struct core *c);
void intake_time_facts(const struct core *c, struct now_facts *ret);
char *intake_time_text(const struct core *c, char *dst);
void intake_time_tick(struct core *c);
#endif
