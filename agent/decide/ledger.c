#include "agent/decide/ledger.h"
#include "platform/limits.h"

#include <stdio.h>

const char *ledger_slot_name(enum state_slot slot)
{
    static const char *const names[STATE_SLOT_COUNT_] = {[STATE_TRUST] = "trust",
                                                         [STATE_DESIRED] = "desired",
                                                         [STATE_GOOD] = "good",
                                                         [STATE_PREVIOUS] = "previous"};

    return names[slot];
}

void ledger_add(struct ledger *l, const struct state_verdict *v)
{
    unsigned n = l->n_history < LIM_HISTORY ? l->n_history : LIM_HISTORY - 1;

    memmove(&l->history[1], &l->history[0], n * sizeof(l->history[0]));
    l->history[0] = *v;
    l->n_history = n + 1;
}

uint64_t ledger_floor(const struct ledger *l, const char *name)
{
    for (unsigned i = 0; i < l->n_floors; i++)
        if (strcmp(l->floors[i].name, name) == 0)
            return l->floors[i].counter;
    return 0;
}

bool ledger_raise(struct ledger *l, const char *name, uint64_t counter)
{
    for (unsigned i = 0; i < l->n_floors; i++)
        if (strcmp(l->floors[i].name, name) == 0) {
            if (counter > l->floors[i].counter)
                l->floors[i].counter = counter;
            return true;
        }
    if (l->n_floors == STATE_FLOORS)
        return false;
    struct state_floor *f = &l->floors[l->n_floors++];
    f->counter = counter;
    return str_copy(f->name, sizeof(f->name), name);
}

bool ledger_is_bad(const struct ledger *l, const struct digest *hash)
{
    for (unsigned i = 0; i < l->n_bad; i++)
        if (digest_eq(&l->bad[i], hash))
            return true;
    return false;
}

void ledger_mark_bad(struct ledger *l, const struct digest *hash)
{
    if (ledger_is_bad(l, hash))
        return;
    unsigned n = l->n_bad < LIM_BAD_RELEASES ? l->n_bad : LIM_BAD_RELEASES - 1;
    memmove(&l->bad[1], &l->bad[0], n * sizeof(l->bad[0]));
    l->bad[0] = *hash;
    l->n_bad = n + 1;
}

bool ledger_has_room(const struct ledger *l, const char *name)
{
    return l->n_floors < STATE_FLOORS || ledger_floor(l, name) > 0;
}

struct state_rev *ledger_rev(struct ledger *l, const char *source)
{
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

void ledger_prove(struct ledger *l, const char *source, uint64_t rev, const struct digest *digest)
{
    struct state_rev *r = ledger_rev(l, source);

    if (r && rev > r->rev) {
        r->rev = rev;
        r->digest = *digest;
    }
}

bool ledger_knows(const struct ledger *l, const struct digest *digest)
{
    for (unsigned i = 0; i < STATE_SLOT_COUNT_; i++)
        if (digest_eq(&l->saved[i], digest))
            return true;
    for (unsigned i = 0; i < l->n_revs; i++)
        if (digest_eq(&l->revs[i].digest, digest))
            return true;
    return false;
}

void ledger_count_boot(struct ledger *l, const char *boot_id, bool has_candidate)
{
    l->boots++;
    (void)str_copy(l->boot_id, sizeof(l->boot_id), boot_id);
    l->trial_boots += has_candidate && l->candidate_verdict == VERDICT_NONE;
}

void ledger_count_link(struct ledger *l)
{
    l->links++;
}

static void build_refused(struct cJSON *o, const struct state_refused *r)
{
    char hex[SHA256_TEXT];

    json_put_u64(o, "rev", r->rev);
    json_put_str(o, "source", r->source);
    json_put_str(o, "digest", digest_text(&r->digest, hex));
    json_put_str(o, "why", r->why);
}

static void build_epoch(struct cJSON *o, const struct state_epoch *e)
{
    json_put_u64(o, "trust", e->trust);
    json_put_u64(o, "issued", e->issued_s);
    json_put_bool(o, "done", e->done);
    json_put_bool(o, "release", e->roles[TRUST_RELEASE]);
    json_put_bool(o, "fleet", e->roles[TRUST_FLEET]);
}

/* An older agent reads at most 199 bytes of a reason, and must be able to read this after a rollback. */
#define WHY_SHORT 199

static void put_why(struct cJSON *o, const char *key, const char *more, const char *why)
{
    char head[WHY_SHORT + 1];

    (void)str_fmt(head, sizeof(head), "%.*s", WHY_SHORT, why);
    json_put_str(o, key, head);
    if (strlen(why) > WHY_SHORT)
        json_put_str(o, more, why + WHY_SHORT);
}

static int get_why(const struct json_cur *o, const char *key, const char *more, char dst[STATE_WHY],
                   struct err *err)
{
    const char *rest = "";
    int rc = json_get_copy(o, key, dst, STATE_WHY, err);

    if (rc >= 0)
        rc = json_get_str(o, more, JSON_OPTIONAL, STATE_WHY - 1, &rest, err);
    size_t len = rc < 0 ? 0 : strlen(dst);
    if (rc >= 0)
        (void)str_fmt(dst + len, STATE_WHY - len, "%s", rest);
    return rc;
}

struct cJSON *ledger_build(const struct ledger *l)
{
    char hex[SHA256_TEXT];
    struct cJSON *o = json_obj();

    json_put_u64(o, "v", 1);
    struct cJSON *revs = json_put(o, "revs", json_arr());
    for (unsigned i = 0; i < l->n_revs; i++) {
        struct cJSON *r = json_push(revs, json_obj());
        json_put_str(r, "source", l->revs[i].source);
        json_put_u64(r, "rev", l->revs[i].rev);
        json_put_str(r, "digest", digest_text(&l->revs[i].digest, hex));
    }
    json_put_str(o, "source", l->source);
    json_put_u64(o, "candidate_rev", l->candidate_rev);
    json_put_str(o, "candidate_verdict", plan_verdict_name(l->candidate_verdict));
    put_why(o, "candidate_why", "candidate_why_more", l->candidate_why);
    json_put_u64(o, "trial_boots", l->trial_boots);
    json_put_bool(o, "follow_previous", l->follow_previous);
    json_put_u64(o, "time_floor", l->time_floor_s);
    json_put_u64(o, "time_issued", l->time_issued_s);
    json_put_str(o, "time_from", l->time_from);
    json_put_u64(o, "fleet_since", l->fleet_since_s);
    json_put_str(o, "agent", LIMPET_VERSION);
    build_epoch(json_put(o, "epoch", json_obj()), &l->epoch);
    if (l->refused.rev)
        build_refused(json_put(o, "refused", json_obj()), &l->refused);
    struct cJSON *saved = json_put(o, "saved", json_obj());
    for (unsigned i = 0; i < STATE_SLOT_COUNT_; i++)
        json_put_str(saved, ledger_slot_name((enum state_slot)i), digest_text(&l->saved[i], hex));
    json_put_u64(o, "boots", l->boots);
    json_put_u64(o, "links", l->links);
    json_put_str(o, "boot_id", l->boot_id);
    struct cJSON *history = json_put(o, "history", json_arr());
    for (unsigned i = 0; i < l->n_history; i++) {
        struct cJSON *h = json_push(history, json_obj());
        json_put_u64(h, "rev", l->history[i].rev);
        json_put_u64(h, "at", l->history[i].at_s);
        json_put_str(h, "verdict", plan_verdict_name(l->history[i].verdict));
        json_put_str(h, "id", l->history[i].id);
        put_why(h, "why", "why_more", l->history[i].why);
    }
    struct cJSON *floors = json_put(o, "floors", json_obj());
    for (unsigned i = 0; i < l->n_floors; i++)
        json_put_u64(floors, l->floors[i].name, l->floors[i].counter);
    struct cJSON *bad = json_put(o, "bad", json_arr());
    for (unsigned i = 0; i < l->n_bad; i++)
        json_push_str(bad, digest_text(&l->bad[i], hex));
    return o;
}

static int get_verdict(const struct json_cur *o, const char *key, enum verdict *ret, struct err *err)
{
    const char *names[VERDICT_COUNT_];
    int v;

    for (unsigned i = 0; i < VERDICT_COUNT_; i++)
        names[i] = plan_verdict_name((enum verdict)i);
    int rc = json_get_enum(o, key, JSON_REQUIRED, names, VERDICT_COUNT_, &v, err);
    if (rc > 0)
        *ret = (enum verdict)v;
    return rc;
}

static int parse_revs(const struct json_cur *root, struct ledger *l, struct err *err)
{
    struct json_cur a;

    if (json_get_array(root, "revs", JSON_REQUIRED, STATE_REVS, &a, err) < 0)
        return -(int)ERR_INVALID;
    for (unsigned i = 0; i < json_len(&a); i++) {
        struct json_cur r = json_at(&a, i);
        struct state_rev *to = &l->revs[l->n_revs++];
        const char *hex;
        if (json_get_copy(&r, "source", to->source, sizeof(to->source), err) < 0 ||
            json_get_u64(&r, "rev", JSON_REQUIRED, 0, LIM_INTEGER, &to->rev, err) < 0 ||
            json_get_str(&r, "digest", JSON_REQUIRED, 80, &hex, err) < 0 ||
            digest_parse(hex, &to->digest, err) < 0)
            return -(int)ERR_INVALID;
    }
    return 0;
}

/* Members that an older agent did not write may be missing. */
static int parse_refused(const struct json_cur *root, struct state_refused *r, struct err *err)
{
    struct json_cur o;
    const char *hex;
    int rc = json_get_object(root, "refused", JSON_OPTIONAL, &o, err);

    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, "rev", JSON_REQUIRED, 1, LIM_INTEGER, &r->rev, err) < 0 ||
        json_get_copy(&o, "source", r->source, sizeof(r->source), err) < 0 ||
        json_get_copy(&o, "why", r->why, sizeof(r->why), err) < 0 ||
        json_get_str(&o, "digest", JSON_REQUIRED, 80, &hex, err) < 0 ||
        digest_parse(hex, &r->digest, err) < 0)
        return -(int)ERR_INVALID;
    return 0;
}

static int parse_epoch(const struct json_cur *root, struct state_epoch *e, struct err *err)
{
    struct json_cur o;
    int rc = json_get_object(root, "epoch", JSON_OPTIONAL, &o, err);

    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, "trust", JSON_REQUIRED, 0, LIM_INTEGER, &e->trust, err) < 0 ||
        json_get_u64(&o, "issued", JSON_REQUIRED, 0, LIM_INTEGER, &e->issued_s, err) < 0 ||
        json_get_bool(&o, "done", JSON_REQUIRED, &e->done, err) < 0 ||
        json_get_bool(&o, "release", JSON_REQUIRED, &e->roles[TRUST_RELEASE], err) < 0 ||
        json_get_bool(&o, "fleet", JSON_REQUIRED, &e->roles[TRUST_FLEET], err) < 0)
        return -(int)ERR_INVALID;
    return 0;
}

static int parse_saved(const struct json_cur *root, struct ledger *l, struct err *err)
{
    struct json_cur o;
    const char *hex;
    int rc = json_get_object(root, "saved", JSON_OPTIONAL, &o, err);

    l->has_saved = rc > 0;
    for (unsigned i = 0; rc > 0 && i < STATE_SLOT_COUNT_; i++)
        if (json_get_str(&o, ledger_slot_name((enum state_slot)i), JSON_REQUIRED, 80, &hex, err) < 0 ||
            digest_parse(hex, &l->saved[i], err) < 0)
            return -(int)ERR_INVALID;
    return rc;
}

static int parse_copy(const struct json_cur *root, const char *key, char *dst, size_t size, struct err *err)
{
    const char *text = "";
    int rc = json_get_str(root, key, JSON_OPTIONAL, (unsigned)size - 1, &text, err);

    (void)str_copy(dst, size, text);
    return rc;
}

static int parse_since(const struct json_cur *root, struct ledger *l, struct err *err)
{
    const uint64_t max = LIM_INTEGER;

    l->time_issued_s = l->time_floor_s; /* an older agent knew only this */
    if (json_get_u64(root, "time_issued", JSON_OPTIONAL, 0, max, &l->time_issued_s, err) < 0 ||
        json_get_u64(root, "fleet_since", JSON_OPTIONAL, 0, max, &l->fleet_since_s, err) < 0 ||
        parse_copy(root, "time_from", l->time_from, sizeof(l->time_from), err) < 0 ||
        parse_copy(root, "agent", l->agent, sizeof(l->agent), err) < 0 ||
        parse_epoch(root, &l->epoch, err) < 0 || parse_refused(root, &l->refused, err) < 0)
        return -(int)ERR_INVALID;
    return parse_saved(root, l, err) < 0 ? -(int)ERR_INVALID : 0;
}

static int parse_lists(const struct json_cur *root, struct ledger *l, struct err *err)
{
    struct json_cur a, o;

    if (json_get_array(root, "history", JSON_REQUIRED, LIM_HISTORY, &a, err) < 0)
        return -(int)ERR_INVALID;
    for (unsigned i = 0; i < json_len(&a); i++) {
        struct json_cur h = json_at(&a, i);
        struct state_verdict *v = &l->history[l->n_history++];
        if (json_get_u64(&h, "rev", JSON_REQUIRED, 0, LIM_INTEGER, &v->rev, err) < 0 ||
            json_get_u64(&h, "at", JSON_REQUIRED, 0, LIM_INTEGER, &v->at_s, err) < 0 ||
            get_verdict(&h, "verdict", &v->verdict, err) < 0 ||
            json_get_copy(&h, "id", v->id, sizeof(v->id), err) < 0 ||
            get_why(&h, "why", "why_more", v->why, err) < 0)
            return -(int)ERR_INVALID;
    }
    if (json_get_object(root, "floors", JSON_REQUIRED, &o, err) < 0)
        return -(int)ERR_INVALID;
    for (unsigned i = 0; i < json_len(&o); i++) {
        struct json_cur m = json_member(&o, i);
        uint64_t n;
        if (json_as_u64(&m, 0, LIM_INTEGER, &n, err) < 0)
            return -(int)ERR_INVALID;
        if (!str_is_name(m.key) || !ledger_raise(l, m.key, n))
            return json_fail(&m, err, ERR_INVALID, "no name, or too many");
    }
    if (json_get_array(root, "bad", JSON_REQUIRED, LIM_BAD_RELEASES, &a, err) < 0)
        return -(int)ERR_INVALID;
    for (unsigned i = 0; i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        if (json_as_str(&c, 80, &s, err) < 0 || digest_parse(s, &l->bad[l->n_bad++], err) < 0)
            return -(int)ERR_INVALID;
    }
    return 0;
}

static int parse_root(const struct json_cur *root, struct ledger *l, struct err *err)
{
    uint64_t v;
    const uint64_t max = LIM_INTEGER;

    if (json_get_u64(root, "v", JSON_REQUIRED, 1, 1, &v, err) < 0 || parse_revs(root, l, err) < 0 ||
        json_get_copy(root, "source", l->source, sizeof(l->source), err) < 0 ||
        json_get_u64(root, "candidate_rev", JSON_REQUIRED, 0, max, &l->candidate_rev, err) < 0 ||
        get_verdict(root, "candidate_verdict", &l->candidate_verdict, err) < 0 ||
        get_why(root, "candidate_why", "candidate_why_more", l->candidate_why, err) < 0 ||
        json_get_u64(root, "trial_boots", JSON_REQUIRED, 0, max, &l->trial_boots, err) < 0 ||
        json_get_bool(root, "follow_previous", JSON_REQUIRED, &l->follow_previous, err) < 0 ||
        json_get_u64(root, "time_floor", JSON_REQUIRED, 0, max, &l->time_floor_s, err) < 0 ||
        json_get_u64(root, "boots", JSON_REQUIRED, 0, max, &l->boots, err) < 0 ||
        json_get_u64(root, "links", JSON_REQUIRED, 0, max, &l->links, err) < 0 ||
        json_get_copy(root, "boot_id", l->boot_id, sizeof(l->boot_id), err) < 0)
        return -(int)ERR_INVALID;
    return parse_since(root, l, err) < 0 ? -(int)ERR_INVALID : parse_lists(root, l, err);
}

int ledger_parse(struct buf json, struct ledger *ret, struct err *err)
{
    struct json_cur root;
    struct ledger AUTO_MEM *l = mem_need_zero(sizeof(*l));
    int rc = json_parse(json, &json_limits_signed, &root, err);

    if (rc < 0)
        return rc;
    rc = parse_root(&root, l, err);
    (void)json_free(root.node);
    if (rc == 0)
        *ret = *l;
    return rc;
}
