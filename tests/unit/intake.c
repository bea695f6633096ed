/* Documents against a real state folder: what is accepted, what each refusal leaves behind, and how every lock-out that a
 * stolen key, a wrong clock or a hurt disk can make is opened again by the root keys. */
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
static char folder[64], clock_path[96];
static int folder_fd = -1;
static uint64_t start_s; /* the true time of a test */

/* Of core_main.c, which has a main of its own. */
int core_hand_over(struct core *c, int sock_fd, struct err *err)
{
    (void)c;
    (void)sock_fd;
    return err_set(err, ERR_UNSUPPORTED, "no core");
}

static void set_clock(long long offset_s, const char *word)
{
    char text[64];
    (void)str_fmt(text, sizeof(text), "%lld %s\n", offset_s, word);
    (void)fs_write_atomic(AT_FDCWD, clock_path, buf_str(text), 0600, NULL);
}

/* Core starts on what is there, or on nothing. */
static void boot(void)
{
    struct err err = ERR_INIT;
    char note[200];
    int AUTO_FD store_fd = -1;
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

static void halt(void)
{
    core.store = store_free(core.store);
    state_close(&core.state);
    set_done(&core.candidate);
    set_done(&core.good);
    set_done(&core.previous);
    for (unsigned i = 0; i < core.n_events; i++)
        free(core.events[i].json);
    memset(&core, 0, sizeof(core));
}

static void reboot(void)
{
    halt();
    boot();
}

static void begin(void)
{
    struct err err = ERR_INIT;
    CHECK_OK(crypto_init(&err), err);
    log_init("unit", LOG_ERROR_ - 1, false);
    (void)str_copy(folder, sizeof(folder), "/tmp/limpet-unit.XXXXXX");
    folder_fd = mkdtemp(folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    (void)str_fmt(clock_path, sizeof(clock_path), "%s/clock", folder);
    (void)setenv("LIMPET_CLOCK", clock_path, 1);
    set_clock(0, "unsynced");
    start_s = clock_wall_s();
    boot();
}

static void end(void)
{
    struct err err = ERR_INIT;
    halt();
    (void)close(folder_fd);
    CHECK_OK(fs_remove_tree(AT_FDCWD, folder, &err), err);
}

/* ---- documents; a key is made of a number ---- */

enum { ROOT = 1, RELEASE = 2, FLEET = 3, FLEET_B = 4, THIEF = FLEET, FLEET_NEW = 5, RELEASE_NEW = 6 };

static void make_key(unsigned n, uint8_t priv[P256_PRIV_BYTES])
{
    memset(priv, 0, P256_PRIV_BYTES);
    priv[P256_PRIV_BYTES - 1] = (uint8_t)n;
}

struct keys {
    unsigned release, fleet[2]; /* 0: none */
};

static int give_trust(uint64_t version, uint64_t issued_s, uint64_t expires_s, struct keys keys,
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
            (void)p256_public(priv[0], &t.roles[r].keys[t.roles[r].n_keys++], NULL);
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
    bool withdrawn;
};

static int give(struct doc doc, struct err *err)
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
    return rc < 0 ? rc : intake_document(&core, source, e, err);
}

static const struct keys keys_1 = {RELEASE, {FLEET}}, keys_new = {RELEASE, {FLEET_NEW}};

static void first_trust(void)
{
    struct err err = ERR_INIT;
    CHECK_OK(give_trust(1, start_s - DAY, start_s + 5 * YEAR, keys_1, &err), err);
}

static uint64_t acts_on(void)
{
    return core.candidate.arena ? core.candidate.d.rev : 0;
}

/* ---- a stolen fleet key ---- */

TEST(revs_count_anew_when_a_fleet_key_has_left)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", THIEF, .rev = FAR + 1}, &err), err);
    CHECK(acts_on() == FAR + 1);
    CHECK_OK(give_trust(2, start_s + 9, start_s + 5 * YEAR, keys_new, &err), err);
    CHECK(acts_on() == FAR + 1); /* what runs goes on */
    CHECK_OK(give((struct doc){"device", FLEET_NEW, .rev = 2, .issued_s = start_s + 10}, &err), err);
    CHECK(acts_on() == 2);
    reboot();
    CHECK(acts_on() == 2 && core.state.ledger.n_revs == 1);
    CHECK_ERR(give((struct doc){"device", FLEET_NEW, .rev = 1, .issued_s = start_s + 10}, &err), ERR_DENIED,
              err);
    CHECK_MSG(err, "rev: 2 was accepted before, 1 is a replay");
    end();
}

TEST(an_old_document_of_a_key_that_stayed_is_no_replay)
{
    struct err err = ERR_INIT;
    begin();
    CHECK_OK(give_trust(1, start_s - DAY, start_s + 5 * YEAR, (struct keys){RELEASE, {THIEF, FLEET_B}}, &err),
             err);
    CHECK_OK(give((struct doc){"device", FLEET_B, .rev = 3}, &err), err);
    CHECK_OK(give((struct doc){"device", THIEF, .rev = FAR}, &err), err);
    /* control: a key that only joins opens no epoch */
    CHECK_OK(give_trust(2, start_s + 1, start_s + 5 * YEAR, (struct keys){RELEASE, {THIEF, FLEET_B}}, &err),
             err);
    CHECK_ERR(give((struct doc){"device", FLEET_B, .rev = 4, .issued_s = start_s + 2}, &err), ERR_DENIED,
              err);
    CHECK_OK(give_trust(3, start_s + 9, start_s + 5 * YEAR, (struct keys){RELEASE, {FLEET_B}}, &err), err);
    CHECK_ERR(give((struct doc){"device", FLEET_B, .rev = 3}, &err), ERR_DENIED, err);
    CHECK_MSG(err, "before the fleet keys changed");
    CHECK(acts_on() == FAR);
    CHECK_OK(give((struct doc){"device", FLEET_B, .rev = 4, .issued_s = start_s + 9}, &err), err);
    CHECK(acts_on() == 4);
    end();
}

/* The clock jumps while a document is held: it is neither taken nor forgotten. */
TEST(a_held_document_outlives_a_wrong_clock)
{
    struct err err = ERR_INIT;
    char more[128];
    begin();
    first_trust();
    (void)str_fmt(more, sizeof(more), ",\"rollout\":{\"salt\":\"s\",\"slots\":10000,\"not_before\":%llu}",
                  (unsigned long long)(start_s + 3 * DAY));
    CHECK_OK(give((struct doc){"line-a", .rev = 5, .more = more}, &err), err);
    set_clock((long long)(6 * YEAR), "synced");
    intake_turn(&core);
    CHECK(acts_on() == 0 && strstr(core.denied_why, "trust version 1 expired"));
    CHECK(follow_find(&core.follow, "group:line-a")->known);
    set_clock((long long)(4 * DAY), "synced");
    intake_turn(&core);
    CHECK(acts_on() == 0 && core.follow_again_ms > clock_boot_ms()); /* not every few seconds */
    core.follow_again_ms = 0;
    intake_turn(&core);
    CHECK(acts_on() == 5);
    end();
}

TEST(a_held_document_of_a_key_that_left_never_comes)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(
        give((struct doc){"line-a", THIEF, .rev = 5,
                          .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":10000,\"not_before\":8000000000}"},
             &err),
        err);
    CHECK(core.held_why[0] && acts_on() == 0 && core.want_rev == 5);
    CHECK_OK(give_trust(2, start_s, start_s + 5 * YEAR, keys_new, &err), err);
    reboot();
    CHECK(!core.held_why[0] && !follow_find(&core.follow, "group:line-a")->known);
    end();
}

TEST(counters_of_releases_count_anew_when_a_release_key_has_left)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 1, .counter = FAR}, &err), err);
    CHECK_OK(intake_confirm(&core, &err), err);
    CHECK(ledger_floor(&core.state.ledger, "web") == FAR);
    CHECK_ERR(give((struct doc){"device", .rev = 2, .counter = 4}, &err), ERR_DENIED, err);
    CHECK_OK(give_trust(2, start_s + 1, start_s + 5 * YEAR, (struct keys){RELEASE_NEW, {FLEET}}, &err), err);
    CHECK(ledger_floor(&core.state.ledger, "web") == 0);
    CHECK_OK(give((struct doc){"device", .rev = 3, .counter = 4, .issued_s = start_s + 2}, &err), err);
    CHECK(acts_on() == 3);
    end();
}

TEST(a_time_that_a_stolen_key_made_up_is_bounded_and_curable)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_ERR(give((struct doc){"device", THIEF, .rev = 1, .issued_s = FAR, .expires_s = FAR + 1}, &err),
              ERR_DENIED, err);
    CHECK_MSG(err, "after trust version 1 ends");
    CHECK(acts_on() == 0);
    /* as far as a device without a clock can believe */
    CHECK_OK(
        give((struct doc){"device", THIEF, .rev = 2, .issued_s = start_s + 5 * YEAR - 1, .expires_s = FAR},
             &err),
        err);
    CHECK_ERR(give((struct doc){"device", .rev = 3}, &err), ERR_DENIED, err);
    CHECK_MSG(err, "here by its floor (rev 2 of device); its clock says 20");
    CHECK(strcmp(core.state.ledger.refused.why, err.msg) == 0 && core.want_rev == 3);
    reboot();
    CHECK(core.state.ledger.refused.rev == 3 && core.want_rev == 3); /* told after a restart too */
    CHECK_OK(give_trust(2, start_s + 60, start_s + 5 * YEAR, keys_new, &err), err);
    CHECK_OK(give((struct doc){"device", FLEET_NEW, .rev = 1, .issued_s = start_s + 61}, &err), err);
    CHECK(acts_on() == 1 && core.state.ledger.time_floor_s == start_s + 61);
    end();
}

/* ---- clocks ---- */

TEST(a_synchronised_device_refuses_what_comes_from_the_future)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    set_clock(0, "synced");
    CHECK_ERR(give((struct doc){"device", .rev = 1, .issued_s = start_s + 3 * YEAR,
                                .expires_s = start_s + 4 * YEAR},
                   &err),
              ERR_DENIED, err);
    CHECK_MSG(err, "look at the clock of who signed it");
    CHECK(core.state.ledger.time_floor_s == start_s - DAY);
    CHECK_OK(give((struct doc){"device", .rev = 2}, &err), err);
    CHECK(acts_on() == 2);
    end();
}

TEST(one_boot_with_a_wrong_clock_locks_nobody_out)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    set_clock((long long)(14 * YEAR), "unsynced"); /* a bad battery */
    core_time_tick(&core);
    CHECK_OK(give((struct doc){"device", .rev = 1}, &err), err);
    set_clock(0, "unsynced");
    core_time_tick(&core);
    CHECK(core.state.ledger.time_floor_s == start_s);
    set_clock((long long)(14 * YEAR), "synced"); /* a spoofed time server */
    core_time_tick(&core);
    CHECK(core.state.ledger.time_floor_s == start_s + NOW_TRUST_S);
    CHECK_ERR(give((struct doc){"device", .rev = 2}, &err), ERR_DENIED, err);
    CHECK_MSG(err, "trust version 1 expired");
    CHECK_MSG(err, "here by its clock");
    set_clock(-30 * (long long)YEAR, "unsynced");
    reboot();
    CHECK_OK(give((struct doc){"device", .rev = 3}, &err), err);
    CHECK(acts_on() == 3);
    end();
}

TEST(an_expired_trust_is_renewed_by_the_next_one)
{
    struct err err = ERR_INIT;
    begin();
    CHECK_OK(give_trust(1, start_s - 2 * YEAR, start_s - YEAR, keys_1, &err), err);
    set_clock(0, "synced");
    CHECK_ERR(give((struct doc){"device", .rev = 1}, &err), ERR_DENIED, err);
    CHECK_MSG(err, "trust version 1 expired");
    CHECK(core.denied_why[0]);
    CHECK_OK(give_trust(2, start_s, start_s + YEAR, keys_1, &err), err);
    CHECK_OK(give((struct doc){"device", .rev = 1}, &err), err);
    CHECK(acts_on() == 1 && !core.denied_why[0]);
    end();
}

/* Power between the note, the document and the reset: the reset is done once, and never without its document. */
TEST(a_reset_is_neither_lost_nor_early)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *old = NULL;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", THIEF, .rev = FAR}, &err), err);
    CHECK_OK(state_load(&core.state, STATE_TRUST, &old, &err), err);
    CHECK_OK(give_trust(2, start_s + 9, start_s + 5 * YEAR, keys_new, &err), err);
    /* the document is lost, the note is there */
    core.state.ledger.epoch.done = false;
    core.state.ledger.time_floor_s = 5;
    CHECK_OK(state_save(&core.state, &err), err);
    CHECK_OK(state_store(&core.state, STATE_TRUST, old, &err), err);
    reboot();
    CHECK(core.state.trust.version == 1 && core.state.ledger.time_floor_s == 5);
    /* both are there, the reset is not */
    CHECK_OK(give_trust(2, start_s + 9, start_s + 5 * YEAR, keys_new, &err), err);
    core.state.ledger.epoch.done = false;
    core.state.ledger.time_floor_s = 5;
    CHECK_OK(state_save(&core.state, &err), err);
    reboot();
    CHECK(core.state.ledger.epoch.done && core.state.ledger.time_floor_s == start_s + 9 &&
          core.state.ledger.n_revs == 0);
    end();
}

TEST(trust_documents_may_come_in_any_order)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give_trust(3, start_s, start_s + YEAR, keys_1, &err), err);
    CHECK(core.state.trust.version == 1 && core.trust_ahead == 3 && !core.denied_why[0]);
    CHECK_OK(give_trust(2, start_s, start_s + YEAR, keys_1, &err), err);
    CHECK(core.state.trust.version == 2);
    CHECK_OK(give_trust(3, start_s, start_s + YEAR, keys_1, &err), err); /* asked for again */
    CHECK(core.state.trust.version == 3);
    CHECK_OK(give_trust(5, start_s, start_s + YEAR, keys_1, &err), err);
    unsigned events = core.n_events;
    intake_turn(&core);
    CHECK(core.n_events == events);
    intake_turn(&core); /* a gap is told, once */
    intake_turn(&core);
    CHECK(core.n_events == events + 1 && strstr(core.events[events].json, "version 5 is on the broker"));
    end();
}

/* ---- topics ---- */

TEST(a_document_that_halts_a_rollout_is_not_undone_by_an_older_one)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(
        give((struct doc){"line-a", .rev = 7, .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":0}"}, &err),
        err);
    CHECK(core.want_rev == 7 && acts_on() == 0);
    CHECK_OK(give((struct doc){"all", .rev = 2, .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":0}"}, &err),
             err);
    reboot(); /* and not by a restart */
    CHECK(core.want_rev == 7 && core.held_why[0]);
    CHECK_ERR(
        give((struct doc){"line-a", .rev = 6, .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":10000}"}, &err),
        ERR_DENIED, err);
    CHECK_MSG(err, "rev: 7 was accepted before, 6 is a replay");
    CHECK_OK(
        give((struct doc){"line-a", .rev = 8, .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":10000}"}, &err),
        err);
    CHECK(acts_on() == 8 && !core.held_why[0]);
    end();
}

TEST(only_a_signed_document_withdraws)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"all", .rev = 4}, &err), err);
    CHECK(acts_on() == 4);
    CHECK_OK(give((struct doc){"device", .rev = 3}, &err), err);
    CHECK(acts_on() == 3);
    CHECK_OK(give((struct doc){"all", .rev = 5}, &err), err);
    CHECK(acts_on() == 3 && core.want_rev == 3 && !core.held_why[0]); /* it does not wait for the group's */
    intake_clear(&core, "device");
    CHECK(acts_on() == 3);
    CHECK_OK(give((struct doc){"device", .rev = 4, .withdrawn = true}, &err), err);
    CHECK(acts_on() == 5);
    CHECK_STR(core.state.ledger.source, "group:all");
    CHECK_ERR(give((struct doc){"device", .rev = 3}, &err), ERR_DENIED, err);
    CHECK_OK(give((struct doc){"all", .rev = 6, .withdrawn = true}, &err), err);
    CHECK(acts_on() == 5); /* what runs goes on */
    CHECK_STR(core.state.ledger.source, "");
    reboot();
    CHECK(acts_on() == 5);
    end();
}

TEST(every_signed_document_gets_a_verdict)
{
    struct err err = ERR_INIT;
    const struct ledger *l = &core.state.ledger;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 1}, &err), err);
    CHECK_ERR(give((struct doc){"device", .rev = 2, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(l->refused.rev == 2 && core.want_rev == 2 && acts_on() == 1 && l->history[0].rev == 2);
    CHECK_STR(l->refused.why, "colour: unknown field");
    CHECK_ERR(give((struct doc){"device", .rev = 2, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(l->n_history == 1); /* retained ones come again */
    reboot();
    CHECK(l->refused.rev == 2 && core.want_rev == 2);
    CHECK_OK(give((struct doc){"device", .rev = 3}, &err), err);
    CHECK(acts_on() == 3 && l->refused.rev == 0);
    /* a newer agent judges anew */
    CHECK_ERR(give((struct doc){"device", .rev = 4, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    halt();
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    char path[128];
    (void)str_fmt(path, sizeof(path), "%s/state/ledger", folder);
    CHECK_OK(fs_read(AT_FDCWD, path, 65536, &text, &len, &err), err);
    char *at = strstr((char *)text, "\"agent\":\"");
    CHECK(at != NULL);
    if (at)
        at[9]++;
    CHECK_OK(fs_write_atomic(AT_FDCWD, path, buf_of(text, len), 0600, &err), err);
    boot();
    CHECK(l->refused.rev == 0);
    end();
}

/* What an older agent could not read is taken by one that can, when the broker repeats it. */
TEST(what_can_be_read_now_is_taken)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 6}, &err), err);
    struct digest six = core.state.ledger.revs[0].digest;
    uint64_t then_s = start_s;
    end();
    begin();
    start_s = then_s;
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 5}, &err), err);
    ledger_prove(&core.state.ledger, "device", 6, &six);
    CHECK_OK(give((struct doc){"device", .rev = 6}, &err), err);
    CHECK(acts_on() == 6);
    end();
}

TEST(a_refusal_of_a_topic_that_is_not_followed_says_nothing_of_the_device)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 3}, &err), err);
    CHECK_ERR(give((struct doc){"line-a", .rev = 9, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(!intake_refused(&core) && core.want_rev == 3);
    CHECK_ERR(give((struct doc){"device", .rev = 4, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(intake_refused(&core) && core.want_rev == 4);
    CHECK_ERR(give((struct doc){"all", .rev = 2, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(core.state.ledger.refused.rev == 4); /* the one before it keeps its place */
    unsigned n = core.state.ledger.n_history;
    CHECK_ERR(give((struct doc){"line-a", .rev = 9, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(core.state.ledger.n_history == n);
    end();
}

/* ---- disks ---- */

static void edit(const char *name, const char *what, const char *into)
{
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *bytes = NULL;
    size_t len;
    char path[128];
    (void)str_fmt(path, sizeof(path), "%s/state/%s", folder, name);
    CHECK_OK(fs_read(AT_FDCWD, path, 1 << 20, &bytes, &len, &err), err);
    uint8_t *at = memmem(bytes, len, what, strlen(what));
    CHECK(at != NULL);
    if (at)
        memcpy(at, into, strlen(into));
    CHECK_OK(fs_write_atomic(AT_FDCWD, path, buf_of(bytes, len), 0600, &err), err);
}

TEST(a_saved_manifest_that_was_changed_does_not_run)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    for (uint64_t rev = 1; rev <= 2; rev++) {
        CHECK_OK(give((struct doc){"device", .rev = rev, .app_more = ",\"args\":[\"harmless\"]"}, &err), err);
        CHECK_OK(intake_confirm(&core, &err), err);
    }
    halt();
    edit("good", "harmless", "harmfull");
    edit("desired", "harmless", "harmfull");
    boot();
    CHECK(core.good.arena && core.good.d.rev == 1); /* the one before it */
    CHECK(acts_on() == 2);                          /* from its topic's copy, which is whole */
    CHECK_STR(core.candidate.d.apps[0].args[0], "harmless");
    char path[128];
    (void)str_fmt(path, sizeof(path), "%s/state/good.bad", folder);
    CHECK(access(path, F_OK) == 0);
    end();
}

TEST(a_lost_ledger_forgets_no_counter_that_is_proven)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 4, .counter = 2}, &err), err);
    CHECK_OK(intake_confirm(&core, &err), err);
    halt();
    edit("ledger", "{\"v\":1", "{\"v\"?1");
    boot();
    CHECK(acts_on() == 4 && core.good.arena && ledger_floor(&core.state.ledger, "web") == 2);
    CHECK_ERR(give((struct doc){"device", .rev = 3}, &err), ERR_DENIED, err);
    CHECK_MSG(err, "rev: 4 was accepted before");
    /* what nobody signed proves nothing */
    halt();
    edit("ledger", "{\"v\":1", "{\"v\"?1");
    edit("desired", "\"rev\":4", "\"rev\":9");
    edit("doc.device", "\"rev\":4", "\"rev\":9");
    boot();
    CHECK_OK(give((struct doc){"device", .rev = 5, .counter = 2}, &err), err);
    CHECK(acts_on() == 5);
    end();
}

TEST(sets_of_an_agent_that_kept_no_digests_run_on)
{
    struct err err = ERR_INIT;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 4}, &err), err);
    CHECK_OK(intake_confirm(&core, &err), err);
    CHECK_OK(give_trust(2, start_s + 1, start_s + YEAR, (struct keys){RELEASE, {FLEET, FLEET_NEW}}, &err),
             err);
    state_doc_drop(&core.state, "device");
    halt();
    edit("ledger", "\"saved\"", "\"svaed\"");
    boot();
    CHECK(acts_on() == 4 && core.good.arena && core.state.ledger.candidate_verdict == VERDICT_CONVERGED);
    CHECK(follow_find(&core.follow, "device")->known);
    end();
}

/* New, older, new again: what the older one accepted meanwhile counts. */
TEST(what_an_older_agent_accepted_meanwhile_counts)
{
    struct err err = ERR_INIT;
    AUTO_FREE(envelope) struct envelope *five = NULL;
    begin();
    first_trust();
    CHECK_OK(give((struct doc){"device", .rev = 5}, &err), err);
    CHECK_OK(state_doc_load(&core.state, "device", &five, &err), err);
    CHECK_OK(give((struct doc){"device", .rev = 6}, &err), err);
    CHECK_OK(state_doc_store(&core.state, "device", five, &err), err);
    halt();
    edit("ledger", "\"saved\"", "\"svaed\"");
    boot();
    CHECK(acts_on() == 6 && follow_find(&core.follow, "device")->rev == 6);
    end();
}

TEST(a_saved_os_without_a_release_stops_no_app)
{
    struct err err = ERR_INIT;
    struct desired d = {.n = 0};
    struct arena *arena = arena_new(65536);
    static const char text[] =
        "{\"schema\":\"limpet.desired/1\",\"fleet\":\"demo\",\"target\":{\"device\":\"dev-1\"},\"rev\":4,"
        "\"issued\":1,\"expires\":2,\"apps\":[],\"os\":{\"version\":\"2\",\"bundle\":{\"digest\":\"sha256:"
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":700},"
        "\"sources\":[\"dir:/x\"]}}";
    CHECK_ERR(manifest_parse(buf_str(text), arena, &d, &err), ERR_INVALID, err);
    CHECK_MSG(err, "os.release: missing");
    CHECK_OK(manifest_parse_saved(buf_str(text), arena, &d, &err), err);
    CHECK(d.rev == 4 && !d.has_os);
    (void)arena_free(arena);
}

/* The longest reason, in the form that an older agent can read. */
TEST(a_long_reason_is_read_back_whole)
{
    struct err err = ERR_INIT;
    struct ledger *l = mem_need_zero(sizeof(*l)), *back = mem_need_zero(sizeof(*l));
    memset(l->candidate_why, 'x', STATE_WHY - 1);
    struct state_verdict v = {.rev = 1, .verdict = VERDICT_REJECTED};
    memset(v.why, 'y', STATE_WHY - 1);
    ledger_add(l, &v);
    struct cJSON *o = ledger_build(l);
    char AUTO_MEM *text = json_print(o, false);
    (void)json_free(o);
    CHECK_OK(ledger_parse(buf_str(text), back, &err), err);
    CHECK_STR(back->candidate_why, l->candidate_why);
    CHECK_STR(back->history[0].why, v.why);
    char run[STATE_WHY];
    memset(run, 'x', sizeof(run));
    run[200] = '\0';
    CHECK(!strstr(text, run));
    free(l), free(back);
}
TEST_MAIN
