/* intake_saved.c - what was accepted earlier: read again at start, only if still the same bytes; and how a
 * candidate ends, good or by the operator. */
#include <inttypes.h>

#include "agent/base/test_point.h"
#include "agent/turn/intake_int.h"
#include "platform/log.h"

/* Is a saved manifest the one accepted? The ledger has its digest, or the keys in force have signed it. Older
 * agents kept no digests: what they left is accepted as it is, once. */
static bool is_proven(const struct core *c, const struct envelope *e, struct digest *ret, struct err *err)
{
    const struct ledger *l = &c->state.ledger;

    if (sha256(buf_of(e->payload, e->payload_len), ret, err) < 0)
        return false;
    if (ledger_knows(l, ret) || (!l->has_saved && !c->state.lost))
        return true;
    if (c->state.has_trust && trust_verify(&c->state.trust, TRUST_FLEET, e, ENVELOPE_TYPE_DESIRED, err) == 0)
        return true;
    if (!c->state.has_trust)
        (void)err_set(err, ERR_DENIED, "there is no trust document to check it by");
    return false;
}

static void load_set(struct core *c, enum state_slot slot, const char *name, struct set *to,
                     struct digest *ret_digest)
{
    struct err err = ERR_INIT;

    AUTO_FREE(envelope) struct envelope *e = NULL;
    struct set s = {.arena = NULL};
    int rc = state_load(&c->state, slot, &e, &err);

    if (rc == -(int)ERR_NOTFOUND)
        return;
    if (rc == 0 && !is_proven(c, e, ret_digest, &err))
        rc = err_wrap(&err, "it is not what was accepted");
    if (rc == 0)
        rc = intake_parse(e, false, &s, &err);
    if (rc == 0) {
        sets_replace(c, to, &s);
        return;
    }
    memset(ret_digest, 0, sizeof(*ret_digest));
    if (err_may_retry(err.kind)) { /* a disk error: it may be readable at the next start */
        log_error("state/%s: %s", name, err.msg);
        return;
    }
    state_set_aside(&c->state, slot);
    events_add(c, "failed", NULL, "state/%s cannot be used and is set aside: %s", name, err.msg);
}

static void load_doc(struct core *c, struct follow_doc *doc)
{
    struct err err = ERR_INIT;

    AUTO_FREE(envelope) struct envelope *e = NULL;
    struct set s = {.arena = NULL};
    struct digest digest;
    int rc = state_doc_load(&c->state, doc->source, &e, &err);

    if (rc == -(int)ERR_NOTFOUND)
        return;
    if (rc == 0)
        rc = is_proven(c, e, &digest, &err) ? intake_parse(e, false, &s, &err) : -1;
    if (rc < 0) {
        log_error("state/doc.%s: %s", doc->source, err.msg);
        if (!err_may_retry(err.kind))
            state_doc_drop(&c->state, doc->source);
        return;
    }
    struct ledger *l = &c->state.ledger;
    const struct state_rev *r = ledger_rev(l, doc->source);
    if (!l->has_saved && !c->state.lost && r &&
        r->rev > s.d.rev) { /* an older agent ran in between: it knew a newer one */
        state_doc_drop(&c->state, doc->source);
    } else {
        follow_set(doc, &s.d, &digest, c->config.device, false);
        ledger_prove(l, doc->source, s.d.rev, &digest);
        if (s.d.withdrawn && strcmp(l->source, doc->source) == 0) /* power was lost before that was written */
            l->source[0] = '\0';
    }
    sets_done(&s);
}

/* The candidate of an agent that kept no documents per topic. */
static void adopt_candidate(struct core *c)
{
    struct err err = ERR_INIT;
    struct ledger *l = &c->state.ledger;
    struct follow_doc *doc = follow_find(&c->intake.follow, l->source);

    AUTO_FREE(envelope) struct envelope *e = NULL;

    if (l->has_saved || !doc || doc->known || !c->sets.candidate.arena ||
        c->sets.candidate.d.rev != l->candidate_rev || state_load(&c->state, STATE_DESIRED, &e, &err) < 0 ||
        state_doc_store(&c->state, doc->source, e, &err) < 0)
        return;
    follow_set(doc, &c->sets.candidate.d, &l->saved[STATE_DESIRED], c->config.device, true);
}

/* The ledger was lost: restore what the documents prove. */
static void prove(struct core *c)
{
    struct ledger *l = &c->state.ledger;
    const struct set *sets[] = {&c->sets.candidate, &c->sets.good, &c->sets.previous};
    char source[FOLLOW_SOURCE];

    for (unsigned i = 0; i < COUNT_OF(sets); i++) {
        if (!sets[i]->arena)
            continue;
        ledger_prove(l, follow_source(&sets[i]->d, source), sets[i]->d.rev, &l->saved[STATE_DESIRED + i]);
        for (unsigned k = 0; i > 0 && k < sets[i]->d.n; k++)
            (void)ledger_raise(l, sets[i]->d.apps[k].release_name, sets[i]->d.apps[k].counter);
    }
    if (c->sets.candidate.arena) {
        l->candidate_rev = c->sets.candidate.d.rev;
        (void)str_copy(l->source, sizeof(l->source), follow_source(&c->sets.candidate.d, source));
    }
    if (c->state.has_trust) /* fleet_since_s is unknown: at worst a manifest must be signed again */
        l->time_floor_s = l->time_issued_s = l->fleet_since_s = c->state.trust.issued_s;
}

/* The good set is unusable: the previous one takes its place. */
static void fall_back(struct core *c)
{
    struct err err = ERR_INIT;

    if (c->sets.good.arena || !c->sets.previous.arena)
        return;
    if (state_copy(&c->state, STATE_PREVIOUS, STATE_GOOD, &err) < 0)
        log_error("%s", err.msg);
    c->state.ledger.saved[STATE_GOOD] = c->state.ledger.saved[STATE_PREVIOUS];
    sets_replace(c, &c->sets.good, &c->sets.previous);
}

/* Power was lost between counter and document: the earlier one is still the candidate, and the new one is
 * followed from its topic's copy. */
static void mend_candidate(struct core *c, const struct digest *asked)
{
    struct ledger *l = &c->state.ledger;
    uint64_t rev = c->sets.candidate.arena ? c->sets.candidate.d.rev : 0;
    char source[FOLLOW_SOURCE];

    if (digest_eq(asked, &l->saved[STATE_DESIRED]) && rev == l->candidate_rev) {
        l->follow_previous &= l->candidate_verdict == VERDICT_CONVERGED; /* it referred to the earlier one */
        return;
    }
    l->candidate_rev = rev;
    l->candidate_verdict = VERDICT_NONE;
    (void)str_copy(l->source, sizeof(l->source),
                   c->sets.candidate.arena ? follow_source(&c->sets.candidate.d, source) : "");
    for (unsigned i = 0; i < l->n_history; i++)
        if (l->history[i].rev == rev && l->history[i].verdict != VERDICT_SUPERSEDED) {
            l->candidate_verdict = l->history[i].verdict;
            break;
        }
    intake_save(c);
}

static void load_trust(struct core *c)
{
    struct err err = ERR_INIT;

    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = state_load(&c->state, STATE_TRUST, &e, &err);

    if (rc == 0)
        rc = trust_parse(buf_of(e->payload, e->payload_len), &c->state.trust, &err);
    c->state.has_trust = rc == 0;
    c->intake.trust_hurt = rc < 0 && err.kind != ERR_NOTFOUND;
    if (c->intake.trust_hurt) /* fail closed: the factory one is older, its keys may be revoked */
        log_error("the saved trust document cannot be used: %s", err.msg);
}

int intake_load(struct core *c, struct err *err)
{
    struct ledger *l = &c->state.ledger;
    struct digest saved[STATE_SLOT_COUNT_] = {0}, asked = l->saved[STATE_DESIRED];

    (void)err;
    follow_init(&c->intake.follow, &c->config);
    load_trust(c);
    load_set(c, STATE_DESIRED, "desired", &c->sets.candidate, &saved[STATE_DESIRED]);
    load_set(c, STATE_GOOD, "good", &c->sets.good, &saved[STATE_GOOD]);
    load_set(c, STATE_PREVIOUS, "previous", &c->sets.previous, &saved[STATE_PREVIOUS]);
    for (unsigned i = 0; i < c->intake.follow.n; i++)
        load_doc(c, &c->intake.follow.docs[i]);
    memcpy(l->saved, saved, sizeof(saved));
    if (c->state.lost)
        prove(c);
    else if (l->has_saved)
        mend_candidate(c, &asked);
    else
        mend_candidate(c, &saved[STATE_DESIRED]);
    fall_back(c);
    adopt_candidate(c);
    intake_epoch(c);
    if (strcmp(l->agent, LIMPET_VERSION) != 0 || /* this version may support what the one before refused */
        !follow_find(&c->intake.follow, l->refused.source))
        l->refused = (struct state_refused){.rev = 0};
    c->intake.want_rev = l->refused.rev ? l->refused.rev : l->candidate_rev;
    if (c->state.lost || !l->has_saved)
        intake_save(c);
    return 0;
}

/* ---- how a candidate ends ---- */

int intake_confirm(struct core *c, struct err *err)
{
    struct ledger *l = &c->state.ledger;
    struct set copy = {.arena = NULL};

    AUTO_FREE(envelope) struct envelope *e = NULL;
    bool other = c->sets.good.arena && !digest_eq(&l->saved[STATE_GOOD], &l->saved[STATE_DESIRED]);
    int rc = state_load(&c->state, STATE_DESIRED, &e, err);
    if (rc == 0 && other)
        rc = state_copy(&c->state, STATE_GOOD, STATE_PREVIOUS, err);
    test_point(c, "confirm-before-good");
    if (rc == 0)
        rc = state_store(&c->state, STATE_GOOD, e, err);
    test_point(c, "confirm-after-good");
    if (rc == 0)
        rc = intake_parse(e, false, &copy, err);
    if (rc < 0)
        return err_wrap(err, "keep rev %" PRIu64 " as the last good", l->candidate_rev);
    for (unsigned i = 0; i < copy.d.n; i++)
        (void)ledger_raise(l, copy.d.apps[i].release_name, copy.d.apps[i].counter);
    if (other) {
        sets_replace(c, &c->sets.previous, &c->sets.good);
        l->saved[STATE_PREVIOUS] = l->saved[STATE_GOOD];
    }
    l->saved[STATE_GOOD] = l->saved[STATE_DESIRED];
    sets_replace(c, &c->sets.good, &copy);
    intake_verdict(c, VERDICT_CONVERGED, "every app is good");
    return 0;
}

int intake_rollback(struct core *c, struct err *err)
{
    struct ledger *l = &c->state.ledger;

    if (l->candidate_verdict == VERDICT_NONE && c->sets.candidate.arena && c->sets.good.arena) {
        intake_verdict(c, VERDICT_ROLLED_BACK, "by the operator on the device");
        return 0;
    }
    if (l->candidate_verdict != VERDICT_CONVERGED || l->follow_previous || !c->sets.previous.arena)
        return err_set(err, ERR_NOTFOUND, "there is no earlier good set to go back to");
    l->follow_previous = true;
    int rc = state_save(&c->state, err);
    if (rc < 0) {
        l->follow_previous = false;
        return rc;
    }
    test_point(c, "rollback-saved");
    events_add(c, "rolled-back", NULL, "rev %" PRIu64 " -> rev %" PRIu64 " by the operator on the device",
               l->candidate_rev, c->sets.previous.d.rev);
    core_sets_changed(c);
    return 0;
}
