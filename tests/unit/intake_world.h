/* intake_world.h - what the tests of documents share: a core on a state directory of its own, its clock, keys
 * made of numbers, and documents signed by them. For one C file a program. */
#ifndef TESTS_INTAKE_WORLD_H
#define TESTS_INTAKE_WORLD_H
#include <fcntl.h>

#include "agent/core.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "tests/unit/check.h"

#define DAY  NOW_DAY_S
#define YEAR (365 * DAY)
#define FAR  ((1ULL << 53) - 1)

static struct core core;
static char directory[64], clock_path[96];
static int folder_fd = -1;
static uint64_t start_s; /* the true time of a test */

static inline void set_clock(long long offset_s, const char *word)
{
    char text[64];
    (void)str_fmt(text, sizeof(text), "%lld %s\n", offset_s, word);
    err_ignore(fs_write_atomic(AT_FDCWD, clock_path, buf_str(text), 0600, NULL));
}

/* Core starts on what is there, or on nothing. */
static inline void boot(void)
{
    struct err err = ERR_INIT;
    char note[200];
    AUTO_FD int store_fd = -1;
    (void)str_copy(core.config.fleet, sizeof(core.config.fleet), "demo");
    (void)str_copy(core.config.device, sizeof(core.config.device), "dev-1");
    (void)str_copy(core.config.groups[0], LIM_NAME_BYTES, "line-a");
    core.config.n_groups = 1;
    core.memory_total_bytes = UINT64_MAX;
    core.run_fd = -1;
    core.state_fd = folder_fd;
    CHECK_OK(state_open(folder_fd, &core.state, note, &err), err);
    CHECK_OK(fs_open_dir(folder_fd, "store", true, 0700, &store_fd, &err), err);
    CHECK_OK(store_new(steal_fd(&store_fd), &core.store, &err), err);
    CHECK_OK(intake_load(&core, &err), err);
    intake_turn(&core);
}

static inline void halt(void)
{
    core.store = store_free(core.store);
    state_close(&core.state);
    sets_done(&core.sets.candidate);
    sets_done(&core.sets.good);
    sets_done(&core.sets.previous);
    for (unsigned i = 0; i < core.events.n; i++)
        free(core.events.list[i].json);
    memset(&core, 0, sizeof(core));
}

static inline void reboot(void)
{
    halt();
    boot();
}

static inline void begin(void)
{
    struct err err = ERR_INIT;
    CHECK_OK(crypto_init(&err), err);
    log_init("unit", LOG_ERROR_ - 1, false);
    (void)str_copy(directory, sizeof(directory), "/tmp/limpet-unit.XXXXXX");
    folder_fd = mkdtemp(directory) ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    (void)str_fmt(clock_path, sizeof(clock_path), "%s/clock", directory);
    (void)setenv("LIMPET_CLOCK", clock_path, 1);
    set_clock(0, "unsynced");
    start_s = clock_wall_s();
    boot();
}

static inline void end(void)
{
    struct err err = ERR_INIT;
    halt();
    (void)close(folder_fd);
    CHECK_OK(fs_remove_tree(AT_FDCWD, directory, &err), err);
}

/* ---- documents; a key is made of a number ---- */

enum { ROOT = 1, RELEASE = 2, FLEET = 3, FLEET_B = 4, THIEF = FLEET, FLEET_NEW = 5, RELEASE_NEW = 6 };

static inline void make_key(unsigned n, uint8_t priv[P256_PRIV_BYTES])
{
    memset(priv, 0, P256_PRIV_BYTES);
    priv[P256_PRIV_BYTES - 1] = (uint8_t)n;
}

struct keys {
    unsigned release, fleet[2]; /* 0: none */
};

static inline int give_trust(uint64_t version, uint64_t issued_s, uint64_t expires_s, struct keys keys,
                             struct err *err)
{
    struct trust t = {.fleet = "demo", .version = version, .issued_s = issued_s, .expires_s = expires_s};
    const unsigned of[TRUST_ROLE_COUNT_][2] = {[TRUST_ROOT] = {ROOT},
                                               [TRUST_RELEASE] = {keys.release},
                                               [TRUST_FLEET] = {keys.fleet[0], keys.fleet[1]}};
    uint8_t priv[1][P256_PRIV_BYTES];
    AUTO_FREE(envelope) struct envelope *e = NULL;
    for (unsigned r = 0; r < TRUST_ROLE_COUNT_; r++) {
        t.roles[r].threshold = 1;
        for (unsigned i = 0; i < 2 && of[r][i]; i++) {
            make_key(of[r][i], priv[0]);
            err_ignore(p256_public(priv[0], &t.roles[r].keys[t.roles[r].n_keys++], NULL));
        }
    }
    char AUTO_MEM *text = trust_build(&t);
    make_key(ROOT, priv[0]);
    int rc = envelope_sign(ENVELOPE_TYPE_TRUST, buf_str(text), priv, 1, &e, err);
    char source[32];
    (void)str_fmt(source, sizeof(source), version == 1 ? "local" : "trust/%llu", (unsigned long long)version);
    return rc < 0 ? rc : intake_document(&core, source, e, err);
}

struct doc {
    const char *target; /* "device" or a group's name */
    unsigned key;
    uint64_t rev, issued_s, expires_s, counter;
    const char *more, *app_more; /* members, or NULL */
    bool withdrawn, local;       /* local: given at the device */
};

static inline int give(struct doc doc, struct err *err)
{
    uint8_t key[1][P256_PRIV_BYTES];
    char text[2048], source[80], apps[512] = "";
    bool device = strcmp(doc.target, "device") == 0;
    AUTO_FREE(envelope) struct envelope *e = NULL;
    *err = (struct err)ERR_INIT;
    if (!doc.withdrawn)
        (void)str_fmt(
            apps, sizeof(apps),
            "\"apps\":[{\"name\":\"web\",\"release\":{\"name\":\"web\",\"counter\":%llu,\"digest\":"
            "\"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":700},"
            "\"sources\":[\"http://127.0.0.1:9/web\"]%s}]",
            (unsigned long long)(doc.counter ? doc.counter : 1), doc.app_more ? doc.app_more : "");
    (void)str_fmt(
        text, sizeof(text),
        "{\"schema\":\"limpet.desired/1\",\"fleet\":\"demo\",\"target\":{\"%s\":\"%s\"},\"rev\":%llu,"
        "\"issued\":%llu,\"expires\":%llu,%s%s}",
        device ? "device" : "group", device ? "dev-1" : doc.target, (unsigned long long)doc.rev,
        (unsigned long long)(doc.issued_s ? doc.issued_s : start_s),
        (unsigned long long)(doc.expires_s ? doc.expires_s : start_s + YEAR),
        doc.withdrawn ? "\"withdrawn\":true" : apps, doc.more ? doc.more : "");
    make_key(doc.key ? doc.key : FLEET, key[0]);
    int rc = envelope_sign(ENVELOPE_TYPE_DESIRED, buf_str(text), key, 1, &e, err);
    (void)str_fmt(source, sizeof(source), "%s%s", device ? "" : "group:", doc.target);
    return rc < 0 ? rc : intake_document(&core, doc.local ? "local" : source, e, err);
}

static const struct keys keys_1 = {RELEASE, {FLEET}}, keys_new = {RELEASE, {FLEET_NEW}};

static inline void first_trust(void)
{
    struct err err = ERR_INIT;
    CHECK_OK(give_trust(1, start_s - DAY, start_s + 5 * YEAR, keys_1, &err), err);
}

static inline uint64_t acts_on(void)
{
    return core.sets.candidate.arena ? core.sets.candidate.d.rev : 0;
}
#endif
