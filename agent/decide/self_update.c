#include "agent/decide/self_update.h"
#include "platform/limits.h"

#include <stdio.h>

static const char *const phase_names[SELF_PHASE_COUNT_] = {
    [SELF_NONE] = "none",
    [SELF_TRIAL] = "trial",
    [SELF_GOOD] = "good",
    [SELF_ROLLED_BACK] = "rolled-back",
};
static const char *const step_names[SELF_STEP_COUNT_] = {
    [SELF_NOTHING] = "nothing", [SELF_FETCH] = "fetch", [SELF_INSTALL] = "install", [SELF_SWITCH] = "switch",
    [SELF_CONFIRM] = "confirm", [SELF_BACK] = "back",   [SELF_REFUSE] = "refuse",
};

const char *self_phase_name(enum self_phase p)
{
    return (unsigned)p < SELF_PHASE_COUNT_ ? phase_names[p] : "?";
}

const char *self_step_name(enum self_step s)
{
    return (unsigned)s < SELF_STEP_COUNT_ ? step_names[s] : "?";
}

bool self_is_built_in(const struct self_image *i)
{
    static const struct digest zeros;

    return digest_eq(&i->image, &zeros);
}

bool self_is_bad(const struct self_memory *m, const struct digest *release)
{
    for (unsigned i = 0; i < m->n_bad; i++)
        if (digest_eq(&m->bad[i], release))
            return true;
    return false;
}

static void end_trial(struct self_memory *m, const struct digest *bad, const char *why)
{
    if (!self_is_bad(m, bad)) {
        m->n_bad += m->n_bad < SELF_BAD;
        memmove(&m->bad[1], &m->bad[0], (m->n_bad - 1) * sizeof(m->bad[0]));
        m->bad[0] = *bad;
    }
    m->phase = SELF_ROLLED_BACK;
    m->told = false;
    (void)str_fmt(m->why, sizeof(m->why), "%s", why);
    (void)str_clean(m->why);
}

void self_roll_back(struct self_memory *m, const char *why)
{
    struct digest bad = m->next.release;

    end_trial(m, &bad, why);
}

void self_drop_now(struct self_memory *m, const char *why)
{
    m->next = m->now; /* for the report */
    m->now = (struct self_image){0};
    self_roll_back(m, why);
}

uint64_t self_trial_left_ms(const struct self_memory *m, const char *boot_id, uint64_t now_ms)
{
    uint64_t all = m->confirm_s * 1000;

    if (m->starts == 0 || strcmp(m->boot_id, boot_id) != 0 || now_ms < m->began_ms)
        return all;
    return now_ms - m->began_ms >= all ? 0 : all - (now_ms - m->began_ms);
}

enum self_start self_start_decide(const struct self_start_facts *f)
{
    const struct self_memory *m = f->memory;
    bool has_now = !self_is_built_in(&m->now), trial = m->phase == SELF_TRIAL;

    if ((has_now || trial) && strcmp(m->base, f->base) != 0)
        return SELF_FORGET;
    if (trial)
        return m->starts >= SELF_TRIAL_STARTS || self_trial_left_ms(m, f->boot_id, f->now_ms) == 0
                   ? SELF_GIVE_UP
                   : SELF_START_NEXT;
    if (!has_now)
        return SELF_START_BUILT_IN;
    return f->crashes >= SELF_CRASHES ? SELF_LEAVE_NOW : SELF_START_NOW;
}

enum self_step self_decide(const struct self_facts *f)
{
    const struct self_memory *m = f->memory;

    if (m->phase == SELF_TRIAL) {
        if (!digest_eq(&f->running->image, &m->next.image))
            return SELF_NOTHING; /* the running core is about to exit */
        return f->lost ? SELF_BACK : f->healthy ? SELF_CONFIRM : f->trial_over ? SELF_BACK : SELF_NOTHING;
    }
    if (!f->want || !f->converged || self_is_bad(m, &f->want->release))
        return SELF_NOTHING;
    bool runs = digest_eq(&f->running->release, &f->want->release);
    if (!runs && (!f->has_keeper || f->below_floor))
        return SELF_REFUSE;
    if (f->image == IMAGE_INSTALLED)
        return runs ? SELF_NOTHING : SELF_SWITCH;
    return f->image == IMAGE_NOT_INSTALLED || f->image == IMAGE_NO_CHUNKS ? SELF_INSTALL : SELF_FETCH;
}

/* ---- memory ---- */

static void put_image(struct cJSON *o, const char *key, const struct self_image *i)
{
    char hex[SHA256_TEXT];
    struct cJSON *r = json_put(o, key, json_obj());

    json_put_str(r, "release", digest_text(&i->release, hex));
    json_put_str(r, "image", digest_text(&i->image, hex));
    json_put_str(r, "version", i->version);
}

char *self_memory_build(const struct self_memory *m)
{
    char hex[SHA256_TEXT];
    struct cJSON *o = json_obj();

    json_put_u64(o, "v", 1);
    json_put_str(o, "phase", self_phase_name(m->phase));
    put_image(o, "now", &m->now);
    put_image(o, "next", &m->next);
    json_put_str(o, "base", m->base);
    json_put_str(o, "boot_id", m->boot_id);
    json_put_u64(o, "began_ms", m->began_ms);
    json_put_u64(o, "confirm_s", m->confirm_s);
    json_put_u64(o, "starts", m->starts);
    json_put_u64(o, "boxes", m->boxes);
    json_put_bool(o, "was_online", m->was_online);
    json_put_bool(o, "told", m->told);
    struct cJSON *bad = json_put(o, "bad", json_arr());
    for (unsigned i = 0; i < m->n_bad; i++)
        json_push_str(bad, digest_text(&m->bad[i], hex));
    json_put_str(o, "why", m->why);
    char *text = json_print(o, false);
    (void)json_free(o);
    return text;
}

static int get_digest(const struct json_cur *o, const char *key, struct digest *ret, struct err *err)
{
    const char *s;
    int rc = json_get_str(o, key, JSON_REQUIRED, SHA256_TEXT, &s, err);

    return rc < 0 ? rc : digest_parse(s, ret, err);
}

static int get_image(const struct json_cur *root, const char *key, struct self_image *ret, struct err *err)
{
    struct json_cur o;

    if (json_get_object(root, key, JSON_REQUIRED, &o, err) < 0 ||
        get_digest(&o, "release", &ret->release, err) < 0 || get_digest(&o, "image", &ret->image, err) < 0 ||
        json_get_copy(&o, "version", ret->version, sizeof(ret->version), err) < 0)
        return -(int)ERR_INVALID;
    return json_done(&o, err);
}

static int get_bad(const struct json_cur *root, struct self_memory *m, struct err *err)
{
    struct json_cur a;

    if (json_get_array(root, "bad", JSON_REQUIRED, SELF_BAD, &a, err) < 0)
        return -(int)ERR_INVALID;
    m->n_bad = json_len(&a);
    for (unsigned i = 0; i < m->n_bad; i++) {
        struct json_cur c = json_at(&a, i);
        const char *s;
        if (json_as_str(&c, SHA256_TEXT, &s, err) < 0 || digest_parse(s, &m->bad[i], err) < 0)
            return -(int)ERR_INVALID;
    }
    return 0;
}

static int read_memory(const struct json_cur *root, struct self_memory *m, struct err *err)
{
    static const uint64_t most = LIM_INTEGER;
    uint64_t v;
    int phase = 0;

    if (json_get_u64(root, "v", JSON_REQUIRED, 1, 1, &v, err) < 0 ||
        json_get_enum(root, "phase", JSON_REQUIRED, phase_names, SELF_PHASE_COUNT_, &phase, err) < 0 ||
        get_image(root, "now", &m->now, err) < 0 || get_image(root, "next", &m->next, err) < 0 ||
        json_get_copy(root, "base", m->base, sizeof(m->base), err) < 0 ||
        json_get_copy(root, "boot_id", m->boot_id, sizeof(m->boot_id), err) < 0 ||
        json_get_u64(root, "began_ms", JSON_REQUIRED, 0, most, &m->began_ms, err) < 0 ||
        json_get_u64(root, "confirm_s", JSON_REQUIRED, 0, 86400, &m->confirm_s, err) < 0 ||
        json_get_u64(root, "starts", JSON_REQUIRED, 0, most, &m->starts, err) < 0 ||
        json_get_u64(root, "boxes", JSON_REQUIRED, 0, most, &m->boxes, err) < 0 ||
        json_get_bool(root, "was_online", JSON_REQUIRED, &m->was_online, err) < 0 ||
        json_get_bool(root, "told", JSON_REQUIRED, &m->told, err) < 0 || get_bad(root, m, err) < 0 ||
        json_get_copy(root, "why", m->why, sizeof(m->why), err) < 0)
        return -(int)ERR_INVALID;
    m->phase = (enum self_phase)phase;
    return json_done(root, err);
}

int self_memory_parse(struct buf json, struct self_memory *ret, struct err *err)
{
    struct json_cur root;
    struct self_memory m = {.phase = SELF_NONE};
    int rc = json_parse(json, &json_limits_signed, &root, err);

    if (rc < 0)
        return rc;
    rc = read_memory(&root, &m, err);
    (void)json_free(root.node);
    if (rc >= 0)
        *ret = m;
    return rc < 0 ? rc : 0;
}
