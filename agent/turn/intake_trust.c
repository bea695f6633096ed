/* intake_trust.c - trust documents: one version after the other, and what each resets (L20). */
#include <inttypes.h>
#include <stdio.h>

#include "agent/base/test_point.h"
#include "agent/turn/intake_int.h"
#include "platform/log.h"

/* "trust/7": link took the number from the topic. Used only to skip, unread, what is already in force or has
 * to wait for another; a wrong number makes a document fail or be missed, which a broker can also do by
 * withholding it. */
static bool is_in_turn(struct core *c, const char *source)
{
    uint64_t version;

    if (!c->state.has_trust || strncmp(source, "trust/", 6) != 0 ||
        !str_u64(source + 6, 0, UINT64_MAX, &version))
        return true;
    if (version > c->state.trust.version + 1 && version > c->intake.trust_ahead)
        c->intake.trust_ahead = version;
    return version == c->state.trust.version + 1;
}

void intake_trust_gap(struct core *c)
{
    bool missing = c->intake.trust_ahead > c->state.trust.version + 1;

    if (missing && !c->intake.trust_waits) { /* the others may still arrive */
        c->intake.trust_waits = true;
        return;
    }
    if (missing)
        events_add(c, "denied", NULL,
                   "trust: version %" PRIu64 " is on the broker, %" PRIu64
                   " is in force here, and the next one is missing "
                   "(fleetctl keys push)",
                   c->intake.trust_ahead, c->state.trust.version);
    c->intake.trust_ahead = 0;
    c->intake.trust_waits = false;
}

/* Release counters: those of the good set that the keys in force still vouch for. */
static void reset_floors(struct core *c)
{
    struct ledger *l = &c->state.ledger;
    struct image AUTO_MEM *i = mem_need(sizeof(*i));

    l->n_floors = 0;
    for (unsigned k = 0; c->sets.good.arena && k < c->sets.good.d.n; k++) {
        const struct want *w = &c->sets.good.d.apps[k];
        images_look(c, w, true, i);
        if (i->state > IMAGE_NO_RELEASE && i->fault.kind == ERR_NONE)
            (void)ledger_raise(l, w->release_name, w->counter);
    }
}

static void reset_revs(struct core *c)
{
    struct ledger *l = &c->state.ledger;

    for (unsigned i = 0; i < c->intake.follow.n; i++) {
        struct follow_doc *d = &c->intake.follow.docs[i];
        state_doc_drop(&c->state, d->source);
        d->known = false;
        d->unsaved = envelope_free(d->unsaved);
    }
    c->intake.follows = "";
    l->n_revs = 0;
    l->refused = (struct state_refused){.rev = 0};
    l->fleet_since_s = l->epoch.issued_s;
}

void intake_epoch(struct core *c)
{
    struct ledger *l = &c->state.ledger;

    if (!c->state.has_trust || l->epoch.done || l->epoch.trust != c->state.trust.version)
        return;
    l->time_floor_s = l->time_issued_s = l->epoch.issued_s;
    (void)str_fmt(l->time_from, sizeof(l->time_from), "trust version %" PRIu64, l->epoch.trust);
    if (l->epoch.roles[TRUST_FLEET])
        reset_revs(c);
    if (l->epoch.roles[TRUST_RELEASE])
        reset_floors(c);
    l->epoch.done = true;
    intake_save(c);
}

/* Save what next will reset, then next, then do the reset and save that. */
static int take(struct core *c, const struct trust *next, const struct envelope *e, struct err *err)
{
    struct ledger *l = &c->state.ledger;
    struct state_epoch before = l->epoch;

    l->epoch = (struct state_epoch){.trust = next->version, .issued_s = next->issued_s};
    if (c->state.has_trust)
        trust_changes(&c->state.trust, next, l->epoch.roles);
    int rc = state_save(&c->state, err);
    test_point(c, "trust-noted");
    if (rc == 0)
        rc = state_store(&c->state, STATE_TRUST, e, err);
    if (rc < 0) {
        l->epoch = before;
        return rc;
    }
    c->state.trust = *next;
    c->state.has_trust = true;
    c->intake.trust_hurt = false;
    test_point(c, "trust-saved");
    intake_epoch(c);
    return 0;
}

int intake_trust(struct core *c, const char *source, const struct envelope *e, struct err *err)
{
    struct trust next;

    if (!is_in_turn(c, source))
        return 0;
    if (!c->state.has_trust && strcmp(source, "local") != 0) /* anybody can sign a first one */
        return err_set(err, ERR_DENIED, "there is no trust document here to check the next one by");
    int rc = trust_step(c->state.has_trust ? &c->state.trust : NULL, e, &next, err);
    if (rc == 0 && strcmp(next.fleet, c->config.fleet) != 0)
        rc = err_set(err, ERR_DENIED, "trust is for fleet \"%s\", this device is in \"%s\"", next.fleet,
                     c->config.fleet);
    if (rc == 0) {
        rc = take(c, &next, e, err);
        c->intake.ask_again = true; /* even if the disk was full: nobody else remembers it */
    }
    if (rc < 0)
        return rc;
    const bool *roles = c->state.ledger.epoch.roles;
    events_add(c, "trust", NULL, "version %" PRIu64 " is in force%s%s", next.version,
               roles[TRUST_FLEET] ? "; revs count again" : "",
               roles[TRUST_RELEASE] ? "; counters of releases count again" : "");
    core_sets_changed(c);
    return 0;
}
