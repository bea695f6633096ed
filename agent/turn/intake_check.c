/* intake_check.c - is a manifest for this device, and new? */
#include <inttypes.h>

#include "agent/decide/judge.h"
#include "agent/turn/intake_int.h"
#include "platform/clock.h"

int intake_check_target(struct core *c, const char *source, const struct desired *d, struct err *err)
{
    char topic[FOLLOW_SOURCE];

    if (strcmp(d->fleet, c->config.fleet) != 0)
        return err_set(err, ERR_DENIED, "fleet: it is for \"%s\", this device is in \"%s\"", d->fleet,
                       c->config.fleet);
    if (d->device && strcmp(d->device, c->config.device) != 0)
        return err_set(err, ERR_DENIED, "target.device: it is for \"%s\", this device is \"%s\"", d->device,
                       c->config.device);
    if (!follow_find(&c->intake.follow, follow_source(d, topic)))
        return err_set(err, ERR_DENIED, "target.group: this device is not in \"%s\"", d->group);
    if (strcmp(source, "device") == 0 && d->group)
        return err_set(err, ERR_DENIED, "target.group: a group's document on the device's own topic");
    if (strncmp(source, "group:", 6) == 0 && strcmp(source, topic) != 0)
        return err_set(err, ERR_DENIED, "target: not the group whose topic it came by");
    return 0;
}

int intake_check_times(const struct core *c, const struct desired *d, struct err *err)
{
    char at[24], other[24];
    const struct ledger *l = &c->state.ledger;

    (void)clock_rfc3339(d->issued_s, at, sizeof(at));
    if (d->issued_s < l->fleet_since_s)
        return err_set(err, ERR_DENIED,
                       "issued: it was signed at %s, before the fleet keys changed at %s: sign it again", at,
                       clock_rfc3339(l->fleet_since_s, other, sizeof(other)));
    if (d->issued_s > c->state.trust.expires_s)
        return err_set(err, ERR_DENIED, "issued: %s is after trust version %" PRIu64 " ends (%s)", at,
                       c->state.trust.version, clock_rfc3339(c->state.trust.expires_s, other, sizeof(other)));
    return 0;
}

int intake_check_rev(const struct state_rev *r, const struct desired *d, const struct digest *digest,
                     struct err *err)
{
    if (d->rev < r->rev)
        return err_set(err, ERR_DENIED, "rev: %" PRIu64 " was accepted before, %" PRIu64 " is a replay",
                       r->rev, d->rev);
    if (d->rev > r->rev)
        return 0;
    if (!digest_eq(&r->digest, digest))
        return err_set(err, ERR_CONFLICT, "rev: another document with rev %" PRIu64 " was accepted before",
                       d->rev);
    return 1;
}

struct state_rev *intake_rev_of(struct core *c, const char *source)
{
    struct ledger *l = &c->state.ledger;
    struct state_rev *r = ledger_rev(l, source);

    for (unsigned i = 0; !r && i < l->n_revs; i++)
        if (!follow_find(&c->intake.follow, l->revs[i].source)) {
            l->revs[i] = l->revs[--l->n_revs];
            r = ledger_rev(l, source);
        }
    return r;
}

int intake_judge(const struct core *c, const struct desired *d, struct err *err)
{
    char text[NOW_TEXT];
    struct now_facts now;

    intake_time_facts(c, &now);
    struct judge_facts f = {.caps = &c->caps,
                            .ledger = &c->state.ledger,
                            .memory_total_bytes = c->memory_total_bytes,
                            .now = &now,
                            .now_text = intake_time_text(c, text)};
    int rc = judge_desired(d, &f, err);
    for (unsigned i = 0; rc == 0 && i < d->n; i++)
        if (d->apps[i].net == NET_CNI && (rc = box_cni_look(d->apps[i].net_name, err)) < 0)
            return err_wrap(err, "apps[%u].network.name", i);
    return rc;
}

int intake_check_trust(const struct core *c, struct err *err)
{
    char now[NOW_TEXT];
    struct err why = ERR_INIT;

    if (!c->state.has_trust)
        return err_set(err, ERR_DENIED, "no trust document: nothing can be accepted (see fleetctl init)");
    if (trust_is_valid(&c->state.trust, intake_time_s(c), &why) < 0)
        return err_set(err, why.kind, "%s; %s", why.msg, intake_time_text(c, now));
    return 0;
}

int intake_authenticate(const struct core *c, const struct envelope *e, struct err *err)
{
    int rc = intake_check_trust(c, err);

    return rc < 0 ? rc : trust_verify(&c->state.trust, TRUST_FLEET, e, ENVELOPE_TYPE_DESIRED, err);
}
