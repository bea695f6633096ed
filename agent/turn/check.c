/* check.c - agentd-core --check: what this state directory would start with. Opens state and store as at boot
 * (the same code cleans up after a power cut), verifies all objects in the store against their names, and
 * asks the plan which set would run. Prints one JSON document. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "agent/core.h"
#include "agent/turn/check.h"
#include "agent/turn/observe.h"
#include "ota/doc/machine.h"
#include "platform/clock.h"
#include "platform/fs.h"

struct check {
    struct core *core;
    struct cJSON *bad;
    unsigned n_bad;
};

static void note_bad(void *arg, const char *name, const char *why)
{
    struct check *k = arg;
    struct cJSON *o = json_push(k->bad, json_obj());

    json_put_str(o, "name", name);
    json_put_str(o, "why", why);
    k->n_bad++;
}

static void put_counters(struct cJSON *o, const struct core *c)
{
    const struct ledger *l = &c->state.ledger;
    struct cJSON *revs = json_put(o, "revs", json_obj());

    for (unsigned i = 0; i < l->n_revs; i++)
        json_put_u64(revs, l->revs[i].source, l->revs[i].rev);
    struct cJSON *floors = json_put(o, "floors", json_obj());
    for (unsigned i = 0; i < l->n_floors; i++)
        json_put_u64(floors, l->floors[i].name, l->floors[i].counter);
    json_put_u64(o, "trust", c->state.has_trust ? c->state.trust.version : 0);
    json_put_u64(o, "boots", l->boots);
    json_put_u64(o, "time_floor", l->time_floor_s);
    json_put_u64(o, "bad_releases", l->n_bad);
}

static void put_set(struct cJSON *o, const char *name, const struct set *s)
{
    json_put_u64(o, name, s->arena ? s->d.rev : 0);
}

/* The set that would run, and whether each of its images is whole. */
static bool put_run(struct cJSON *o, struct core *c)
{
    static const char *const words[IMAGE_STATE_COUNT_] = {
        [IMAGE_NO_RELEASE] = "no release",
        [IMAGE_NO_MANIFEST] = "no manifest",
        [IMAGE_NO_LAYERS] = "no layers",
        [IMAGE_NO_PATCH] = "no patch",
        [IMAGE_NO_TREE] = "no tree",
        [IMAGE_NO_CHUNKS] = "no chunks",
        [IMAGE_NOT_INSTALLED] = "not installed",
        [IMAGE_INSTALLED] = "installed",
    };
    const struct desired *run = c->sets.plan.run;
    bool whole = run != NULL;
    char hex[SHA256_TEXT];

    json_put_u64(o, "run", run ? run->rev : 0);
    struct cJSON *apps = json_put(o, "apps", json_obj());
    for (unsigned i = 0; run && i < run->n; i++) {
        const struct image *image = images_of(c, &run->apps[i]);
        struct cJSON *a = json_put(apps, run->apps[i].name, json_obj());
        json_put_str(a, "image", image ? words[image->state] : "unknown");
        if (image && image->state > IMAGE_NO_RELEASE)
            json_put_str(a, "manifest", digest_text(&image->manifest, hex));
        whole &= image && image->state == IMAGE_INSTALLED;
    }
    return whole;
}

static int open_all(struct core *c, const char *path, int *ret_store_fd, struct err *err)
{
    char note[200];
    int rc = fs_open_dir(AT_FDCWD, path, false, 0, &c->state_fd, err);

    if (rc == 0)
        rc = fs_lock(c->state_fd, "lock", &c->lock_fd, err);
    if (rc == 0)
        rc = state_open(c->state_fd, &c->state, note, err);
    if (rc == 0 && note[0])
        fprintf(stderr, "%s\n", note);
    if (rc == 0)
        rc = fs_open_dir(c->state_fd, "store", true, 0700, ret_store_fd, err);
    if (rc == 0)
        rc = store_new(*ret_store_fd, &c->store, err);
    return rc < 0 ? rc : intake_load(c, err);
}

static void plan_now(struct core *c)
{
    struct observed AUTO_MEM *o = mem_need(sizeof(*o));

    observe(c, o);
    (void)sets_plan(c, o);
}

static int print(struct check *k, struct err *err)
{
    struct core *c = k->core;
    struct cJSON *o = json_obj();
    struct store_scrub all = {.max_bytes = UINT64_MAX, .look_only = true, .on_bad = note_bad, .arg = k};

    k->bad = json_put(o, "bad", json_arr());
    int rc = store_scrub(c->store, &all, err);
    if (rc < 0) {
        (void)json_free(o);
        return rc;
    }
    plan_now(c);
    json_put_u64(o, "v", 1);
    put_counters(o, c);
    put_set(o, "candidate", &c->sets.candidate);
    put_set(o, "good", &c->sets.good);
    put_set(o, "previous", &c->sets.previous);
    json_put_str(o, "verdict", plan_verdict_name(c->state.ledger.candidate_verdict));
    json_put_bool(o, "follow_previous", c->state.ledger.follow_previous);
    json_put_u64(o, "files", all.files);
    json_put_u64(o, "bytes", all.bytes);
    json_put_u64(o, "verity", all.verity);
    bool bootable = put_run(o, c) && k->n_bad == 0;
    json_put_bool(o, "bootable", bootable);
    char AUTO_MEM *text = json_print(o, false);
    (void)json_free(o);
    (void)printf("%s\n", text);
    return bootable ? 0 : 2;
}

int check_state(struct core *c, const char *state_dir)
{
    struct err err = ERR_INIT;
    struct check k = {.core = c};
    int store_fd = -1;

    machine_words(c->arch, c->variant);
    int rc = crypto_init(&err);
    if (rc == 0)
        rc = open_all(c, state_dir, &store_fd, &err);
    if (rc == 0)
        rc = print(&k, &err);
    if (rc < 0)
        fprintf(stderr, "agentd-core: %s: %s\n", err_kind_name(err.kind), err.msg);
    c->store = store_free(c->store);
    state_close(&c->state);
    if (store_fd >= 0)
        (void)close(store_fd);
    return rc < 0 ? 1 : rc;
}
