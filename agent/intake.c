/* intake.c - documents: who signed them, for whom, are they new, can this device do what they ask; and how
 * each ends (L7, L10, L11). Order of every acceptance: counter durable, document durable, then the plan sees
 * it. */
#include <stdio.h>

#include "agent/core.h"
#include "agent/judge.h"
#include "platform/clock.h"
#include "platform/log.h"

static void sets_changed(struct core *c)
{
    images_forget(c);
    c->hot.known = false;
}

#define SET_ARENA_BYTES (4 * LIM_SPEC_BYTES)

void set_done(struct set *s)
{
    s->arena = arena_free(s->arena);
    memset(&s->d, 0, sizeof(s->d));
}

static int set_parse(const struct envelope *e, struct set *ret, struct err *err)
{
    struct set s = {.arena = arena_new(SET_ARENA_BYTES)};
    int rc = manifest_parse(buf_of(e->payload, e->payload_len), s.arena, &s.d, err);
    if (rc < 0)
        set_done(&s);
    else
        *ret = s;
    return rc;
}

static void set_replace(struct core *c, struct set *to, struct set *take_from)
{
    c->plan.n = 0; /* its steps borrow names from the sets; the next turn plans anew */
    set_done(to);
    *to = *take_from;
    *take_from = (struct set){.arena = NULL};
}

void intake_save(struct core *c)
{
    struct err err = ERR_INIT;
    bool again = c->unsaved;
    c->unsaved = state_save(&c->state, &err) < 0;
    if (c->unsaved && !again) {
        log_error("%s", err.msg);
        event_add(c, "failed", NULL, "the agent's state cannot be saved: %s", err.msg);
    }
}

/* ---- trust ---- */

static int take_trust(struct core *c, const char *source, const struct envelope *e, struct err *err)
{
    struct trust next;
    if (!c->state.has_trust && strcmp(source, "local") != 0) /* anybody can sign a first one */
        return err_set(err, ERR_DENIED, "there is no trust document here to check the next one by");
    int rc = trust_step(c->state.has_trust ? &c->state.trust : NULL, e, &next, err);
    if (rc == 0 && strcmp(next.fleet, c->config.fleet) != 0)
        rc = err_set(err, ERR_DENIED, "trust is for fleet \"%s\", this device is in \"%s\"", next.fleet,
                     c->config.fleet);
    if (rc < 0)
        return rc;
    rc = state_store(&c->state, STATE_TRUST, e, err);
    if (rc < 0)
        return rc;
    c->state.trust = next;
    c->state.has_trust = true;
    core_point(c, "trust-saved");
    if (next.issued_s > c->state.ledger.time_floor_s) {
        c->state.ledger.time_floor_s = next.issued_s;
        intake_save(c);
    }
    event_add(c, "trust", NULL, "version %llu is in force", (unsigned long long)next.version);
    sets_changed(c);
    return 0;
}

/* A document below or at the version in force is no news: the broker keeps them all. */
static bool is_old_trust(const struct core *c, const struct envelope *e)
{
    struct trust t;
    return c->state.has_trust && trust_parse(buf_of(e->payload, e->payload_len), &t, NULL) == 0 &&
           t.version <= c->state.trust.version;
}

/* ---- desired state ---- */

static struct state_rev *rev_of(struct core *c, const char *source)
{
    struct ledger *l = &c->state.ledger;
    for (unsigned i = 0; i < l->n_revs; i++)
        if (strcmp(l->revs[i].source, source) == 0)
            return &l->revs[i];
    if (l->n_revs == STATE_REVS)
        return NULL;
    struct state_rev *r = &l->revs[l->n_revs++];
    *r = (struct state_rev){.rev = 0};
    (void)str_copy(r->source, sizeof(r->source), source);
    return r;
}

static void end_candidate(struct core *c, enum verdict v, const char *why)
{
    struct ledger *l = &c->state.ledger;
    struct state_verdict h = {.rev = l->candidate_rev, .at_s = core_now_s(c), .verdict = v};
    (void)str_fmt(h.why, sizeof(h.why), "%s", why);
    (void)str_clean(h.why);
    if (c->candidate.arena && c->candidate.d.id)
        (void)str_fmt(h.id, sizeof(h.id), "%s", c->candidate.d.id);
    (void)str_clean(h.id);
    ledger_add(l, &h);
    l->candidate_verdict = v;
    memcpy(l->candidate_why, h.why, sizeof(l->candidate_why));
}

void intake_verdict(struct core *c, enum verdict v, const char *why)
{
    uint64_t rev = c->state.ledger.candidate_rev;
    end_candidate(c, v, why);
    c->has_garbage = true;
    c->fault = (struct fault){0};
    intake_save(c);
    core_point(c, "verdict-saved");
    event_add(c, verdict_name(v), NULL, "rev %llu: %s", (unsigned long long)rev, why);
    sets_changed(c);
}

/* Retained documents come again at each connect: each refusal is told once. */
static bool was_refused(struct core *c, const struct digest *digest)
{
    char text[SHA256_TEXT];
    (void)digest_text(digest, text);
    for (unsigned i = 0; i < COUNT_OF(c->denied_seen); i++)
        if (strcmp(c->denied_seen[i], text) == 0)
            return true;
    (void)str_copy(c->denied_seen[c->denied_at++ % COUNT_OF(c->denied_seen)], SHA256_TEXT, text);
    return false;
}

/* It is authentic and for us, but refused: nothing is touched; the verdict is told and kept, its rev is used
 * up. */
static int refuse(struct core *c, struct state_rev *r, const struct set *s, const struct digest *digest,
                  const struct err *why)
{
    struct state_verdict h = {.rev = s->d.rev, .at_s = core_now_s(c), .verdict = VERDICT_REJECTED};
    (void)str_fmt(h.why, sizeof(h.why), "%s", why->msg);
    (void)str_clean(h.why);
    (void)str_fmt(h.id, sizeof(h.id), "%s", s->d.id ? s->d.id : "");
    (void)str_clean(h.id);
    r->rev = s->d.rev;
    r->digest = *digest;
    c->want_rev = s->d.rev;
    ledger_add(&c->state.ledger, &h);
    intake_save(c);
    c->refused_rev = s->d.rev;
    memcpy(c->refused_why, h.why, sizeof(c->refused_why));
    event_add(c, "rejected", NULL, "rev %llu: %s", (unsigned long long)s->d.rev, h.why);
    (void)was_refused(c, digest);
    core_touch(c);
    return -(int)why->kind;
}

/* Counter durable, then document durable. The operator's rollback stands in the ledger until the document is
 * there: power between the two must not undo it (mend_candidate). */
static int make_durable(struct core *c, const struct envelope *e, struct err *err)
{
    core_point(c, "accept-before-ledger");
    int rc = state_save(&c->state, err);
    if (rc < 0)
        return rc;
    core_point(c, "accept-after-ledger");
    rc = state_store(&c->state, STATE_DESIRED, e, err);
    if (rc < 0)
        return rc;
    c->state.ledger.follow_previous = false;
    core_point(c, "accept-after-document");
    return 0;
}

static int accept(struct core *c, struct state_rev *r, struct set *take_s, const struct envelope *e,
                  const struct digest *digest, struct err *err)
{
    struct ledger *l = &c->state.ledger;
    struct ledger AUTO_MEM *before = mem_need(sizeof(*before));
    *before = *l;
    if (c->candidate.arena && l->candidate_verdict == VERDICT_NONE)
        end_candidate(c, VERDICT_SUPERSEDED, "a newer manifest arrived");
    r->rev = take_s->d.rev;
    c->want_rev = take_s->d.rev;
    r->digest = *digest;
    l->candidate_rev = take_s->d.rev;
    l->candidate_verdict = VERDICT_NONE;
    l->candidate_why[0] = '\0';
    l->trial_boots = 0;
    l->time_floor_s = take_s->d.issued_s > l->time_floor_s ? take_s->d.issued_s : l->time_floor_s;
    (void)str_copy(l->source, sizeof(l->source), r->source);
    int rc = make_durable(c, e, err);
    if (rc < 0) { /* a full or failing disk: the one that was there goes on, this one may come again */
        *l = *before;
        return err_wrap(err, "accept rev %llu", (unsigned long long)take_s->d.rev);
    }
    if (c->job && c->job_step != STEP_WAIT)             /* the updater of the system is not cut off */
        job_cancel(c->job, "a newer manifest arrived"); /* what it has fetched so far stays */
    set_replace(c, &c->candidate, take_s);
    c->fault = (struct fault){0};
    c->refused_rev = 0;
    event_add(c, "accepted", NULL, "rev %llu from %s, %u apps", (unsigned long long)c->candidate.d.rev,
              r->source, c->candidate.d.n);
    sets_changed(c);
    return 0;
}

static void hold(struct core *c, const char *source, const struct envelope *e, const char *why)
{
    size_t len;
    uint8_t AUTO_MEM *bytes = envelope_pack(e, &len);
    struct envelope *copy = NULL;
    if (envelope_unpack(buf_of(bytes, len), &copy, NULL) < 0)
        return;
    (void)envelope_free(c->held);
    c->held = copy;
    (void)str_copy(c->held_source, sizeof(c->held_source), source);
    (void)str_copy(c->held_why, sizeof(c->held_why), why);
    core_touch(c);
}

/* Is it a group's, and not our turn yet? */
static bool must_wait(struct core *c, const struct desired *d, char *why, size_t size)
{
    unsigned slot;
    const struct ledger *l = &c->state.ledger;
    if (d->group && strcmp(l->source, "device") == 0)
        return str_fmt(why, size, "this device has a desired state of its own");
    if (!d->has_rollout)
        return false;
    slot = manifest_slot(d->salt, c->config.device);
    if (slot >= d->slots)
        return str_fmt(why, size, "slot %u of rollout %s, open to %llu", slot, d->salt,
                       (unsigned long long)d->slots);
    uint64_t begins = manifest_begins_s(d, c->config.device);
    char when[24];
    if (begins > core_now_s(c))
        return str_fmt(why, size, "rollout %s: this device's turn is at %s", d->salt,
                       clock_rfc3339(begins, when, sizeof(when)));
    return false;
}

static int check_target(struct core *c, const char *source, const struct desired *d, struct err *err)
{
    bool group = d->group != NULL;
    if (strcmp(d->fleet, c->config.fleet) != 0)
        return err_set(err, ERR_DENIED, "fleet: it is for \"%s\", this device is in \"%s\"", d->fleet,
                       c->config.fleet);
    if (!group && strcmp(d->device, c->config.device) != 0)
        return err_set(err, ERR_DENIED, "target.device: it is for \"%s\", this device is \"%s\"", d->device,
                       c->config.device);
    for (unsigned i = 0; group && i < c->config.n_groups; i++)
        if (strcmp(c->config.groups[i], d->group) == 0)
            group = false;
    if (group && strcmp(d->group, "all") != 0)
        return err_set(err, ERR_DENIED, "target.group: this device is not in \"%s\"", d->group);
    if (strcmp(source, "device") == 0 && d->group)
        return err_set(err, ERR_DENIED, "target.group: a group's document on the device's own topic");
    if (strncmp(source, "group:", 6) == 0 && (!d->group || strcmp(source + 6, d->group) != 0))
        return err_set(err, ERR_DENIED, "target: not the group whose topic it came by");
    return 0;
}

/* The counter rules: rev only rises; the same rev is the same document or an alarm. 1: known already, nothing
 * to do. */
static int check_rev(const struct state_rev *r, const struct desired *d, const struct digest *digest,
                     struct err *err)
{
    if (d->rev < r->rev)
        return err_set(err, ERR_DENIED, "rev: %llu was accepted before, %llu is a replay",
                       (unsigned long long)r->rev, (unsigned long long)d->rev);
    if (d->rev > r->rev)
        return 0;
    if (!digest_eq(&r->digest, digest))
        return err_set(err, ERR_CONFLICT, "rev: another document with rev %llu was accepted before",
                       (unsigned long long)d->rev);
    return 1;
}

/* Can this device do it, and has it what is named? */
static int judge(const struct core *c, const struct desired *d, struct err *err)
{
    struct judge_facts f = {.caps = &c->caps,
                            .ledger = &c->state.ledger,
                            .memory_total_bytes = c->memory_total_bytes,
                            .now_s = core_now_s(c)};
    int rc = judge_desired(d, &f, err);
    for (unsigned i = 0; rc == 0 && i < d->n; i++)
        if (d->apps[i].net == NET_CNI && (rc = box_cni_look(d->apps[i].net_name, err)) < 0)
            return err_wrap(err, "apps[%u].network.name", i);
    return rc;
}

static int authenticate(struct core *c, const char *source, const struct envelope *e, struct set *ret,
                        struct err *err)
{
    if (!c->state.has_trust)
        return err_set(err, ERR_DENIED, "no trust document: nothing can be accepted (see fleetctl init)");
    int rc = trust_is_valid(&c->state.trust, core_now_s(c), err);
    if (rc == 0)
        rc = trust_verify(&c->state.trust, TRUST_FLEET, e, ENVELOPE_TYPE_DESIRED, err);
    if (rc == 0)
        rc = set_parse(e, ret, err);
    if (rc == 0 && (rc = check_target(c, source, &ret->d, err)) < 0)
        set_done(ret);
    return rc;
}

static int take_desired(struct core *c, const char *source, const struct envelope *e,
                        const struct digest *digest, struct err *err)
{
    struct set s = {.arena = NULL};
    char why[120];
    int rc = authenticate(c, source, e, &s, err);
    if (rc < 0)
        return rc;
    bool local = strcmp(source, "local") == 0;
    char group[LIM_NAME_BYTES + 8];
    (void)str_fmt(group, sizeof(group), "group:%s", s.d.group ? s.d.group : "");
    struct state_rev *r = rev_of(c, s.d.group ? group : "device");
    rc = r ? check_rev(r, &s.d, digest, err) : err_set(err, ERR_NOSPACE, "too many groups");
    if (rc == 0 && !local && must_wait(c, &s.d, why, sizeof(why))) {
        hold(c, source, e, why);
        set_done(&s);
        return 0;
    }
    if (rc == 0) {
        if (judge(c, &s.d, err) < 0)
            rc = refuse(c, r, &s, digest, err);
        else if ((rc = accept(c, r, &s, e, digest, err)) < 0 && !local && err_may_retry(err->kind))
            hold(c, source, e, err->msg); /* a full disk: the broker does not send it again */
    }
    set_done(&s);
    return rc < 0 ? rc : 0;
}

int intake_document(struct core *c, const char *source, const struct envelope *e, struct err *err)
{
    struct digest digest;
    int rc = sha256(buf_of(e->payload, e->payload_len), &digest, err);
    if (rc < 0)
        return rc;
    bool trust = strcmp(e->type, ENVELOPE_TYPE_TRUST) == 0;
    if (trust ? strncmp(source, "group:", 6) == 0 || strcmp(source, "device") == 0
              : strcmp(source, "trust") == 0)
        rc = err_set(err, ERR_DENIED, "a document of type %.60s does not belong on this topic", e->type);
    else if (trust)
        rc = is_old_trust(c, e) ? 0 : take_trust(c, source, e, err);
    else
        rc = take_desired(c, source, e, &digest, err);
    if (rc < 0 && !was_refused(c, &digest)) {
        event_add(c, "denied", NULL, "%s: %s", source, err->msg);
        if (!c->refused_rev) {
            (void)str_fmt(c->refused_why, sizeof(c->refused_why), "%s", err->msg);
            (void)str_clean(c->refused_why);
        }
        core_touch(c);
    }
    return rc;
}

void intake_clear(struct core *c, const char *source)
{
    struct ledger *l = &c->state.ledger;
    if (strcmp(source, "device") == 0 &&
        strcmp(l->source, "device") == 0) { /* no opinion: what runs goes on, groups may speak */
        l->source[0] = '\0';
        intake_save(c);
        intake_held(c);
    } else if (strcmp(source, c->held_source) == 0) {
        c->held = envelope_free(c->held);
        core_touch(c);
    }
}

void intake_held(struct core *c)
{
    struct err err = ERR_INIT;
    if (!c->held)
        return;
    AUTO_FREE(envelope) struct envelope *e = steal_ptr(&c->held);
    (void)intake_document(c, c->held_source, e, &err);
}

int intake_preview(struct core *c, const struct envelope *e, struct set *ret, struct err *err)
{
    int rc = authenticate(c, "local", e, ret, err);
    if (rc < 0)
        return rc;
    rc = judge(c, &ret->d, err);
    if (rc < 0)
        set_done(ret);
    return rc;
}

/* ---- what was accepted before ---- */

static void load_set(struct core *c, enum state_slot slot, struct set *to)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *e = NULL;
    struct set s = {.arena = NULL};
    int rc = state_load(&c->state, slot, &e, &err);
    if (rc == 0)
        rc = set_parse(e, &s, &err);
    if (rc == 0)
        set_replace(c, to, &s);
    else if (err.kind != ERR_NOTFOUND)
        log_error("a saved manifest cannot be used: %s", err.msg);
}

/* Power went between the counter and the document: the one that was there before is the candidate still, and
 * the lost one is taken when it comes again (its rev and no lower one). */
static void mend_candidate(struct core *c)
{
    struct ledger *l = &c->state.ledger;
    uint64_t rev = c->candidate.arena ? c->candidate.d.rev : 0, lost = l->candidate_rev;
    if (rev == lost) {
        l->follow_previous &= l->candidate_verdict == VERDICT_CONVERGED; /* it was of the one before */
        return;
    }
    l->candidate_rev = rev;
    l->candidate_verdict = VERDICT_NONE;
    for (unsigned i = 0; i < l->n_history; i++)
        if (l->history[i].rev == rev && l->history[i].verdict != VERDICT_SUPERSEDED) {
            l->candidate_verdict = l->history[i].verdict;
            break;
        }
    for (unsigned i = 0; i < l->n_revs; i++)
        if (strcmp(l->revs[i].source, l->source) == 0 && l->revs[i].rev == lost)
            l->revs[i].rev = lost - 1;
    intake_save(c);
}

int intake_load(struct core *c, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = state_load(&c->state, STATE_TRUST, &e, err);
    if (rc == 0)
        rc = trust_parse(buf_of(e->payload, e->payload_len), &c->state.trust, err);
    c->state.has_trust = rc == 0;
    c->trust_hurt = rc < 0 && err->kind != ERR_NOTFOUND;
    if (c->trust_hurt) /* fail closed: the one that the device came with is older, its keys may be revoked */
        log_error("the saved trust document cannot be used: %s", err->msg);
    load_set(c, STATE_DESIRED, &c->candidate);
    load_set(c, STATE_GOOD, &c->good);
    load_set(c, STATE_PREVIOUS, &c->previous);
    mend_candidate(c);
    c->want_rev = c->state.ledger.candidate_rev;
    return 0;
}

/* ---- how it ends ---- */

int intake_confirm(struct core *c, struct err *err)
{
    struct ledger *l = &c->state.ledger;
    struct set copy = {.arena = NULL};
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = state_load(&c->state, STATE_DESIRED, &e, err);
    if (rc == 0 && c->good.arena && c->good.d.rev != c->candidate.d.rev)
        rc = state_copy(&c->state, STATE_GOOD, STATE_PREVIOUS, err);
    core_point(c, "confirm-before-good");
    if (rc == 0)
        rc = state_store(&c->state, STATE_GOOD, e, err);
    core_point(c, "confirm-after-good");
    if (rc == 0)
        rc = set_parse(e, &copy, err);
    if (rc < 0)
        return err_wrap(err, "keep rev %llu as the last good", (unsigned long long)l->candidate_rev);
    for (unsigned i = 0; i < copy.d.n; i++)
        (void)ledger_raise(l, copy.d.apps[i].release_name, copy.d.apps[i].counter);
    if (c->good.arena && c->good.d.rev != copy.d.rev)
        set_replace(c, &c->previous, &c->good);
    set_replace(c, &c->good, &copy);
    intake_verdict(c, VERDICT_CONVERGED, "every app is good");
    return 0;
}

int intake_rollback(struct core *c, struct err *err)
{
    struct ledger *l = &c->state.ledger;
    if (l->candidate_verdict == VERDICT_NONE && c->candidate.arena && c->good.arena) {
        intake_verdict(c, VERDICT_ROLLED_BACK, "by the operator on the device");
        return 0;
    }
    if (l->candidate_verdict != VERDICT_CONVERGED || l->follow_previous || !c->previous.arena)
        return err_set(err, ERR_NOTFOUND, "there is no earlier good set to go back to");
    l->follow_previous = true;
    int rc = state_save(&c->state, err);
    if (rc < 0) {
        l->follow_previous = false;
        return rc;
    }
    core_point(c, "rollback-saved");
    event_add(c, "rolled-back", NULL, "rev %llu -> rev %llu by the operator on the device",
              (unsigned long long)l->candidate_rev, (unsigned long long)c->previous.d.rev);
    sets_changed(c);
    return 0;
}
