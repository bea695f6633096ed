/* intake.c - manifests: who signed them, are they for us, are they new, which topic does this device follow,
 * can it do what that one asks (L7, L10, L11). Order of every acceptance: the topic's document durable,
 * counter durable, candidate durable, then the plan sees it. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/base/test_point.h"
#include "agent/turn/intake_int.h"
#include "agent/turn/uplink.h"
#include "platform/clock.h"
#include "platform/log.h"

#define SET_ARENA_BYTES (4 * LIM_SPEC_BYTES)
#define LOOK_AGAIN_MS   5000 /* what could not be saved or judged yet */

int intake_parse(const struct envelope *e, bool news, struct set *ret, struct err *err)
{
    struct set s = {.arena = arena_new(SET_ARENA_BYTES)};
    struct buf json = buf_of(e->payload, e->payload_len);
    int rc = news ? manifest_parse(json, s.arena, &s.d, err) : manifest_parse_saved(json, s.arena, &s.d, err);

    if (rc < 0)
        sets_done(&s);
    else
        *ret = s;
    return rc;
}

void intake_save(struct core *c)
{
    struct err err = ERR_INIT;
    bool again = c->intake.unsaved;

    c->intake.ledger_dirty = false;
    c->intake.unsaved = state_save(&c->state, &err) < 0;
    if (c->intake.unsaved && !again) {
        log_error("%s", err.msg);
        events_add(c, "failed", NULL, "the agent's state cannot be saved: %s", err.msg);
    }
}

static bool is_refused(const struct core *c, const struct digest *digest)
{
    for (unsigned i = 0; i < COUNT_OF(c->intake.denied_seen); i++)
        if (digest_eq(&c->intake.denied_seen[i], digest))
            return true;
    return false;
}

/* Retained documents arrive again at each connect: each refusal is reported once. */
static bool was_refused(struct core *c, const struct digest *digest)
{
    if (is_refused(c, digest))
        return true;
    c->intake.denied_seen[c->intake.denied_at++ % COUNT_OF(c->intake.denied_seen)] = *digest;
    return false;
}

/* ---- verdicts ---- */

const struct state_refused *intake_refused(const struct core *c)
{
    const struct state_refused *r = &c->state.ledger.refused;
    bool counts =
        !c->intake.follows || !c->intake.follows[0] ||
        follow_rank(&c->intake.follow, r->source) <= follow_rank(&c->intake.follow, c->intake.follows);

    return r->rev && counts ? r : NULL;
}

static void remember(struct core *c, const struct desired *d, enum verdict v, const char *why)
{
    struct state_verdict h = {.rev = d->rev, .at_s = intake_time_s(c), .verdict = v};

    (void)str_fmt(h.why, sizeof(h.why), "%s", why);
    (void)str_clean(h.why);
    (void)str_fmt(h.id, sizeof(h.id), "%s", d->id ? d->id : "");
    (void)str_clean(h.id);
    ledger_add(&c->state.ledger, &h);
}

static void end_candidate(struct core *c, enum verdict v, const char *why)
{
    struct ledger *l = &c->state.ledger;
    struct desired d = {.rev = l->candidate_rev,
                        .id = c->sets.candidate.arena ? c->sets.candidate.d.id : NULL};

    remember(c, &d, v, why);
    l->candidate_verdict = v;
    memcpy(l->candidate_why, l->history[0].why, sizeof(l->candidate_why));
}

void intake_verdict(struct core *c, enum verdict v, const char *why)
{
    uint64_t rev = c->state.ledger.candidate_rev;

    end_candidate(c, v, why);
    images_leave_garbage(c);
    jobs_fault_clear(c, OWNER_APPS);
    intake_save(c);
    test_point(c, "verdict-saved");
    events_add(c, plan_verdict_name(v), NULL, "rev %" PRIu64 ": %s", rev, why);
    core_sets_changed(c);
}

/* It is authentic and for us, but refused: nothing is touched; the verdict is reported and kept, its rev is
 * used up. */
static int refuse(struct core *c, const char *source, const struct desired *d, const struct digest *digest,
                  const struct err *why)
{
    struct ledger *l = &c->state.ledger;

    remember(c, d, VERDICT_REJECTED, why->msg);
    events_add(c, "rejected", NULL, "rev %" PRIu64 ": %s", d->rev, l->history[0].why);
    (void)was_refused(c, digest);
    core_touch(c);
    if (l->refused.rev &&
        follow_rank(&c->intake.follow, l->refused.source) < follow_rank(&c->intake.follow, source)) {
        intake_save(c); /* the verdict to show is of a topic that takes precedence */
        return -(int)why->kind;
    }
    l->refused = (struct state_refused){.rev = d->rev, .digest = *digest};
    (void)str_copy(l->refused.source, sizeof(l->refused.source), source);
    memcpy(l->refused.why, l->history[0].why, sizeof(l->refused.why));
    intake_save(c);
    return -(int)why->kind;
}

/* ---- which document is followed ---- */

/* Counter durable, then document durable. The ledger notes the operator's rollback until the document is
 * durable: a power cut in between must not undo it (mend_candidate). */
static int make_durable(struct core *c, const struct envelope *e, struct err *err)
{
    test_point(c, "accept-before-ledger");
    int rc = state_save(&c->state, err);
    if (rc < 0)
        return rc;
    test_point(c, "accept-after-ledger");
    rc = state_store(&c->state, STATE_DESIRED, e, err);
    if (rc < 0)
        return rc;
    c->state.ledger.follow_previous = false;
    test_point(c, "accept-after-document");
    return 0;
}

static int accept(struct core *c, const struct follow_doc *doc, struct set *take_s, const struct envelope *e,
                  struct err *err)
{
    struct ledger *l = &c->state.ledger;
    struct ledger AUTO_MEM *before = mem_need(sizeof(*before));

    *before = *l;
    if (c->sets.candidate.arena && l->candidate_verdict == VERDICT_NONE)
        end_candidate(c, VERDICT_SUPERSEDED, "a newer manifest arrived");
    l->candidate_rev = doc->rev;
    l->candidate_verdict = VERDICT_NONE;
    l->candidate_why[0] = '\0';
    l->trial_boots = 0;
    l->refused = (struct state_refused){.rev = 0};
    l->saved[STATE_DESIRED] = doc->digest;
    (void)str_copy(l->source, sizeof(l->source), doc->source);
    int rc = make_durable(c, e, err);
    if (rc < 0) { /* disk full or failing: the old one stays in force, this one is retried */
        *l = *before;
        return err_wrap(err, "accept rev %" PRIu64, take_s->d.rev);
    }
    jobs_cancel_stale(c, "a newer manifest arrived"); /* what is already fetched stays */
    sets_replace(c, &c->sets.candidate, take_s);
    uint64_t turn = doc->at_once ? 0 : manifest_turn_ms(&c->sets.candidate.d, c->config.device);
    c->intake.turn_ms = turn ? clock_boot_ms() + turn : 0;
    jobs_fault_clear(c, OWNER_APPS);
    c->intake.ledger_dirty = c->intake.unsaved = false;
    events_add(c, "accepted", NULL, "rev %" PRIu64 " from %s, %u apps", c->sets.candidate.d.rev, doc->source,
               c->sets.candidate.d.n);
    core_sets_changed(c);
    return 0;
}

/* A topic's document, as saved when it was accepted. */
static int load_doc(const struct core *c, const struct follow_doc *doc, struct envelope **ret,
                    struct err *err)
{
    struct digest digest;
    int rc = state_doc_load(&c->state, doc->source, ret, err);

    if (rc == 0)
        rc = sha256(buf_of((*ret)->payload, (*ret)->payload_len), &digest, err);
    if (rc == 0 && !digest_eq(&digest, &doc->digest))
        rc = err_set(err, ERR_INTEGRITY, "not the document that was saved");
    if (rc == 0)
        rc = trust_verify(&c->state.trust, TRUST_FLEET, *ret, ENVELOPE_TYPE_DESIRED, err);
    return rc;
}

/* The same, ready to be judged. Its keys may have been revoked since, or the file damaged: then it is
 * dropped, and the broker's copy is judged when it arrives again. After a disk error or with expired trust it
 * is retried. */
static int take_doc(struct core *c, struct follow_doc *doc, struct envelope **ret, struct set *ret_set,
                    struct err *err)
{
    int rc = intake_check_trust(c, err);

    if (rc < 0)
        return err_wrap(err, "%s rev %" PRIu64, doc->source, doc->rev);
    rc = load_doc(c, doc, ret, err);
    if (rc == 0)
        rc = intake_parse(*ret, false, ret_set, err);
    if (rc < 0 && !err_may_retry(err->kind)) {
        state_doc_drop(&c->state, doc->source);
        doc->known = false;
    }
    return rc < 0 ? err_wrap(err, "%s rev %" PRIu64, doc->source, doc->rev) : 0;
}

static void hold(struct core *c, const struct follow_choice *choice)
{
    if (strcmp(c->intake.held_why, choice->why) == 0)
        return;
    memcpy(c->intake.held_why, choice->why, sizeof(c->intake.held_why));
    core_touch(c);
}

/* Does the plan act on it, or was it refused? */
static bool is_judged(const struct core *c, const struct follow_doc *doc)
{
    const struct ledger *l = &c->state.ledger;

    return (l->refused.rev && digest_eq(&l->refused.digest, &doc->digest)) ||
           (c->sets.candidate.arena && digest_eq(&l->saved[STATE_DESIRED], &doc->digest));
}

/* A rollout's start is about order, not trust: any running clock counts, synchronised or not. */
static uint64_t turn_s(const struct core *c)
{
    uint64_t now = intake_time_s(c), wall = clock_wall_s();

    return wall > now ? wall : now;
}

/* The newest rev requested of the device, even of a document that it cannot read. */
static uint64_t wanted_rev(const struct core *c, const struct follow_doc *doc)
{
    const struct state_refused *r = intake_refused(c);
    uint64_t rev = doc ? doc->rev : c->state.ledger.candidate_rev;

    return r && r->rev > rev && (!doc || strcmp(r->source, doc->source) == 0) ? r->rev : rev;
}

static struct follow_choice choose(struct core *c)
{
    struct follow_choice choice;

    follow_choose(&c->intake.follow, turn_s(c), &choice);
    c->intake.follows = choice.doc ? choice.doc->source : "";
    c->intake.want_rev = wanted_rev(c, choice.doc);
    return choice;
}

/* Choose the document to follow. A new one is judged and accepted or refused. 0: nothing to do. */
static int follow(struct core *c, struct err *err)
{
    struct set s = {.arena = NULL};

    AUTO_FREE(envelope) struct envelope *e = NULL;
    struct follow_choice choice = choose(c);
    if (choice.doc && is_judged(c, choice.doc))
        choice.held = false;
    if (!choice.held)
        choice.why[0] = '\0';
    hold(c, &choice);
    if (!choice.doc || choice.held || is_judged(c, choice.doc))
        return 0;
    int rc = take_doc(c, choice.doc, &e, &s, err);
    if (rc < 0)
        return rc;
    rc = intake_judge(c, &s.d, err) < 0 ? refuse(c, choice.doc->source, &s.d, &choice.doc->digest, err)
                                        : accept(c, choice.doc, &s, e, err);
    sets_done(&s);
    return rc;
}

/* A document that says "no opinion any more": its one verdict, and the topic to follow next. */
static void withdraw(struct core *c, const char *source, const struct desired *d)
{
    struct ledger *l = &c->state.ledger;

    remember(c, d, VERDICT_CONVERGED, "withdrawn: what runs continues until another topic has a document");
    if (strcmp(l->source, source) == 0)
        l->source[0] = '\0';
    if (strcmp(l->refused.source, source) == 0)
        l->refused = (struct state_refused){.rev = 0};
    events_add(c, "withdrawn", NULL, "rev %" PRIu64 " of %s: no opinion any more", d->rev, source);
    core_touch(c);
}

/* It is new and for us: durable, then counted, then the choice is made again. */
static int keep(struct core *c, struct follow_doc *doc, struct state_rev *r, const struct desired *d,
                const struct envelope *e, const struct digest *digest, bool at_once, struct err *err)
{
    char from[STATE_SOURCE + 32];
    bool news = d->rev > r->rev || !doc->known || doc->rev < d->rev;

    doc->unsaved = envelope_free(doc->unsaved);
    int rc = state_doc_store(&c->state, doc->source, e, err);
    test_point(c, "document-saved");
    if (rc < 0) {
        doc->unsaved = envelope_copy(e); /* the broker does not resend it */
        doc->unsaved_rev = d->rev;
        doc->unsaved_local = at_once;
        return err_wrap(err, "keep rev %" PRIu64 " (tried again)", d->rev);
    }
    r->rev = d->rev;
    r->digest = *digest;
    follow_set(doc, d, digest, c->config.device, at_once);
    (void)str_fmt(from, sizeof(from), "rev %" PRIu64 " of %s", d->rev, doc->source);
    intake_time_seen(c, d->issued_s, from);
    if (d->withdrawn && news)
        withdraw(c, doc->source, d);
    c->intake.ledger_dirty = true;
    rc = follow(c, err); /* accepting or refusing saves it */
    if (c->intake.ledger_dirty)
        intake_save(c);
    return rc;
}

/* Given locally at the device: report whether the device now follows it. */
static int tell_local(struct core *c, const struct follow_doc *doc, struct err *err)
{
    struct follow_choice choice;

    follow_choose(&c->intake.follow, turn_s(c), &choice);
    if (doc->withdrawn || !choice.doc || choice.doc == doc)
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "rev %" PRIu64 " of %s is kept but not followed: rev %" PRIu64 " of %s goes first",
                   doc->rev, doc->source, choice.doc->rev, choice.doc->source);
}

/* Signatures are valid, but the rest cannot be read: most likely from a newer fleetctl. Its head says whose
 * verdict it is. */
static int parse(const struct envelope *e, struct set *ret, struct err *unreadable, struct err *err)
{
    int rc = intake_parse(e, true, ret, unreadable);

    if (rc == 0)
        return 0;
    ret->arena = arena_new(SET_ARENA_BYTES);
    if (manifest_head(buf_of(e->payload, e->payload_len), ret->arena, &ret->d))
        return 0;
    sets_done(ret);
    return err_set(err, unreadable->kind, "%s", unreadable->msg);
}

static int take_parsed(struct core *c, const char *source, const struct envelope *e,
                       const struct digest *digest, const struct set *s, const struct err *unreadable,
                       struct err *err)
{
    char topic[FOLLOW_SOURCE];
    bool local = strcmp(source, "local") == 0;
    int rc = intake_check_target(c, source, &s->d, err);

    if (rc == 0)
        rc = intake_check_times(c, &s->d, err);
    if (rc < 0)
        return rc;
    struct follow_doc *doc = follow_find(&c->intake.follow, follow_source(&s->d, topic));
    struct state_rev *r = intake_rev_of(c, topic);
    if (!doc || !r)
        return err_set(err, ERR_NOSPACE, "%s: too many topics", topic);
    rc = intake_check_rev(r, &s->d, digest, err);
    if (rc >= 0 && doc->unsaved && s->d.rev < doc->unsaved_rev)
        rc = err_set(err, ERR_DENIED, "rev: %" PRIu64 " came before and waits for room on the disk",
                     doc->unsaved_rev);
    if (rc < 0)
        return rc;
    if (unreadable->kind != ERR_NONE) {
        if (rc == 1 && (digest_eq(&c->state.ledger.refused.digest, digest) || is_refused(c, digest)))
            return err_set(err, unreadable->kind, "%s", unreadable->msg);
        ledger_prove(&c->state.ledger, topic, s->d.rev, digest);
        *err = *unreadable;
        rc = refuse(c, topic, &s->d, digest, unreadable);
        (void)choose(c);
        return rc;
    }
    if (rc == 0 || !doc->known || doc->rev < s->d.rev || (local && doc->closed[0]))
        rc = keep(c, doc, r, &s->d, e, digest, local, err);
    else
        rc = follow(c, err); /* it may not have been accepted before a power cut */
    return rc == 0 && local ? tell_local(c, doc, err) : rc;
}

static int take_desired(struct core *c, const char *source, const struct envelope *e,
                        const struct digest *digest, struct err *err)
{
    struct set s = {.arena = NULL};
    struct err unreadable = ERR_INIT;
    int rc = intake_authenticate(c, e, err);

    if (rc == 0)
        rc = parse(e, &s, &unreadable, err);
    if (rc == 0)
        rc = take_parsed(c, source, e, digest, &s, &unreadable, err);
    sets_done(&s);
    return rc;
}

/* For the report: a document that is not accepted, nor even judged. */
static void deny(struct core *c, const char *source, const struct err *why)
{
    char text[sizeof(c->intake.denied_why)];

    (void)str_fmt(text, sizeof(text), "%s: %s", source, why->msg);
    (void)str_clean(text);
    if (strcmp(text, c->intake.denied_why) == 0)
        return;
    memcpy(c->intake.denied_why, text, sizeof(text));
    c->intake.denied_at_s = intake_time_s(c);
    core_touch(c);
}

int intake_document(struct core *c, const char *source, const struct envelope *e, struct err *err)
{
    struct digest digest;
    int rc = sha256(buf_of(e->payload, e->payload_len), &digest, err);

    if (rc < 0)
        return rc;
    bool trust = strcmp(e->type, ENVELOPE_TYPE_TRUST) == 0;
    bool belongs = strcmp(source, "local") == 0 || trust == (strncmp(source, "trust", 5) == 0);
    if (!belongs)
        rc = err_set(err, ERR_DENIED, "a document of type %.60s does not belong on this topic", e->type);
    else if (trust)
        rc = intake_trust(c, source, e, err);
    else
        rc = take_desired(c, source, e, &digest, err);
    if (rc < 0 && !was_refused(c, &digest)) {
        events_add(c, "denied", NULL, "%s: %s", source, err->msg);
        deny(c, source, err);
    } else if (rc == 0 && !trust) {
        c->intake.denied_why[0] = '\0';
    }
    return rc;
}

void intake_clear(struct core *c, const char *source)
{
    struct follow_doc *doc = follow_find(&c->intake.follow, source);

    if (doc && doc->known && !doc->withdrawn)
        events_add(c, "denied", NULL,
                   "%s: an empty message withdraws nothing, anybody could send it; rev %" PRIu64
                   " stays in force "
                   "until a signed document says otherwise",
                   source, doc->rev);
}

uint64_t intake_due_ms(const struct core *c)
{
    const struct intake *i = &c->intake;
    uint64_t now_s = turn_s(c), due_ms = UINT64_MAX;

    if (i->unsaved || i->ask_again || i->trust_ahead || i->follow_fails || follow_unsaved(&i->follow))
        return LOOK_AGAIN_MS;
    for (unsigned k = 0; k < i->follow.n; k++) {
        uint64_t at_s = i->follow.docs[k].begins_s;
        if (at_s > now_s && (at_s - now_s) * 1000 < due_ms)
            due_ms = (at_s - now_s) * 1000;
    }
    return due_ms;
}

void intake_turn(struct core *c)
{
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < c->intake.follow.n; i++) {
        struct follow_doc *doc = &c->intake.follow.docs[i];
        AUTO_FREE(envelope) struct envelope *e = steal_ptr(&doc->unsaved);
        if (e)
            err_ignore(intake_document(c, doc->unsaved_local ? "local" : doc->source, e, &err));
    }
    if (c->intake.ask_again && uplink_ask_again(c))
        c->intake.ask_again = false;
    if (c->intake.trust_ahead)
        intake_trust_gap(c);
    if (clock_boot_ms() < c->intake.follow_again_ms)
        return;
    if (follow(c, &err) == 0 || c->state.ledger.refused.rev) {
        c->intake.follow_fails = 0;
        return;
    }
    deny(c, "kept", &err); /* do not write to a failing disk every few seconds */
    c->intake.follow_again_ms = clock_boot_ms() + plan_retry_delay_ms(++c->intake.follow_fails);
}

int intake_preview(struct core *c, const struct envelope *e, struct set *ret, struct err *err)
{
    int rc = intake_authenticate(c, e, err);

    if (rc == 0)
        rc = intake_parse(e, true, ret, err);
    if (rc < 0)
        return rc;
    rc = intake_check_target(c, "local", &ret->d, err);
    if (rc == 0)
        rc = intake_check_times(c, &ret->d, err);
    if (rc == 0)
        rc = intake_judge(c, &ret->d, err);
    if (rc < 0)
        sets_done(ret);
    return rc;
}
