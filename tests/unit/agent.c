/* The manifest, restarts, health, the ledger, what a device can promise, the inbound cap. */
#include <fcntl.h>
#include <signal.h>

#include "agent/base/state.h"
#include "agent/core.h"
#include "agent/decide/health.h"
#include "agent/decide/judge.h"
#include "agent/decide/resolv_text.h"
#include "agent/decide/restart.h"
#include "agent/link/link_cap.h"
#include "agent/manifest/manifest.h"
#include "platform/fs.h"
#include "tests/unit/check.h"

#define RELEASE                                                           \
    "\"release\":{\"name\":\"web\",\"counter\":2,\"digest\":\"sha256:"    \
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"," \
    "\"size\":700},\"sources\":[\"http://127.0.0.1:5055/demo/web\"]"
#define APP(more) "{\"name\":\"web\"," RELEASE more "}"
#define HEAD                                                                                         \
    "{\"schema\":\"limpet.desired/"                                                                  \
    "1\",\"fleet\":\"demo\",\"target\":{\"device\":\"dev-1\"},\"rev\":4,\"issued\":1,\"expires\":2," \
    "\"apps\":["
#define DOC(apps) HEAD apps "]}"

static struct desired d;
static struct arena *arena;

static int parse(const char *text, struct err *err)
{
    arena = arena_free(arena);
    arena = arena_new(65536);
    return manifest_parse(buf_str(text), arena, &d, err);
}

TEST(each_app_has_ids_of_its_own)
{
    struct id_ranges AUTO_MEM *r = mem_need_zero(sizeof(*r));
    unsigned a = 0, b = 0, again = 0;
    char name[32];

    CHECK(idrange_add(r, "hmi-1", &a) == 1);
    CHECK(idrange_add(r, "stream-1", &b) == 1); /* the same hash */
    CHECK(b == (a + 1) % 8192);
    CHECK(idrange_add(r, "hmi-1", &again) == 0 && again == a);
    for (unsigned i = 2; i < LIM_ID_RANGES; i++) {
        (void)str_fmt(name, sizeof(name), "app-%u", i);
        CHECK(idrange_add(r, name, &again) == 1);
    }
    for (unsigned i = 0; i < r->n; i++)
        for (unsigned k = 0; k < i; k++)
            CHECK(r->list[i].place != r->list[k].place);
    CHECK(idrange_add(r, "one-more", &again) == -(int)ERR_NOSPACE);
}

TEST(apps_together_leave_room_for_the_system_and_the_agent)
{
    const uint64_t mib = 1 << 20;

    CHECK(confine_apps_memory(64 * mib, 64 * mib) == 32 * mib); /* never less than half */
    CHECK(confine_apps_memory(256 * mib, 64 * mib) == 160 * mib);
    CHECK(confine_apps_memory(1024 * mib, 64 * mib) == 832 * mib);
}

TEST(a_whole_manifest)
{
    struct err err = ERR_INIT;

    CHECK_OK(parse(DOC(APP(",\"args\":[\"httpd\",\"-f\"],\"env\":{\"A\":\"b\",\"C\":\"\"},\"cwd\":\"/"
                           "srv\",\"user\":\"1000:100\","
                           "\"memory\":{\"max_bytes\":1048576,\"swap_bytes\":0,\"enforce\":\"required\"},"
                           "\"cpu\":{\"percent\":50},\"pids\":{\"max\":9},"
                           "\"userns\":\"required\",\"seccomp\":\"off\",\"capabilities\":[\"NET_BIND_"
                           "SERVICE\",\"CHOWN\"],\"read_only\":false,"
                           "\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":80,\"container\":8080,"
                           "\"address\":\"127.0.0.1\"}]},"
                           "\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/"
                           "x\",\"size_bytes\":8192},{\"type\":\"volume\",\"name\":\"v\",\"target\":\"/y\"}],"
                           "\"restart\":{\"policy\":\"on-failure\",\"delay_ms\":50},\"health\":{\"http\":{"
                           "\"port\":80,\"path\":\"/h\"},\"retries\":2},"
                           "\"stop\":{\"signal\":\"INT\",\"grace_ms\":7},\"log\":{\"max_bytes\":8192}")),
                   &err),
             err);
    const struct want *w = &d.apps[0];
    CHECK(d.n == 1 && d.rev == 4 && strcmp(w->name, "web") == 0 && w->counter == 2 && w->n_sources == 1);
    CHECK_STR(w->args[1], "-f");
    CHECK_STR(w->env[0], "A=b");
    CHECK(w->env[2] == NULL && w->memory_max_bytes == 1048576 && w->memory_enforce == ENFORCE_REQUIRED &&
          w->cpu_percent == 50);
    CHECK(w->userns == ENFORCE_REQUIRED && w->seccomp == ENFORCE_OFF && w->caps == (1ULL << 10 | 1ULL << 0) &&
          !w->read_only);
    CHECK(w->net == NET_BRIDGE && w->n_ports == 1 && w->ports[0].container == 8080 && w->n_mounts == 2 &&
          w->mounts[1].volume);
    CHECK(w->restart.policy == RESTART_ON_FAILURE && w->restart.delay_ms == 50 &&
          w->health.kind == HEALTH_HTTP && w->health.retries == 2);
    CHECK(w->stop_signal == SIGINT && w->stop_grace_ms == 7 && w->log_bytes == 8192);
    CHECK(manifest_find(&d, "web") == w && manifest_find(&d, "db") == NULL &&
          manifest_find(NULL, "web") == NULL);
}

static const struct {
    const char *text, *says;
} refused[] = {
    {DOC(APP(",\"oops\":1")), "apps[0].oops: unknown field"},
    {DOC("{\"name\":\"Web\"," RELEASE "}"), "apps[0].name"},
    {DOC("{\"name\":\"web\"}"), "apps[0].release: missing"},
    {DOC(APP("") "," APP("")), "apps[1]: duplicate name \"web\""},
    {DOC(APP(",\"memory\":{\"max_bytes\":100}")), "apps[0].memory.max_bytes: 100 is below 65536"},
    {DOC(APP(",\"memory\":{\"max\":100000}")), "apps[0].memory.max_bytes: missing"},
    {DOC(APP(",\"capabilities\":[\"SYS_ADMIN\"]")), "apps[0].capabilities[0]: SYS_ADMIN"},
    {DOC(APP(",\"capabilities\":[\"SYS_MODULE\"]")), "SYS_MODULE"},
    {DOC(APP(",\"capabilities\":[\"SYS_PTRACE\"]")), "SYS_PTRACE"},
    {DOC(APP(",\"capabilities\":[\"MKNOD\"]")), "MKNOD"},
    {DOC(APP(",\"capabilities\":[\"CAP_CHOWN\"]")), "unknown capability"},
    {DOC(APP(",\"network\":{\"mode\":\"none\",\"ports\":[]}")), "apps[0].network.ports"},
    {DOC(APP(",\"network\":{\"mode\":\"none\",\"name\":\"x\"}")), "apps[0].network: name"},
    {DOC(APP(",\"network\":{\"mode\":\"bridge\",\"name\":\"thirteenbytes\"}")), "network: name"},
    {DOC(APP(",\"network\":{\"mode\":\"cni\"}")), "apps[0].network: name: missing"},
    {DOC(APP(",\"network\":{\"mode\":\"app:nobody\"}")), "apps[0].network: mode: \"app:nobody\""},
    {DOC(APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":9,\"container\":1},"
             "{\"host\":9,\"container\":2}]}")),
     "apps[0].network.ports[1]: host port 9"},
    {DOC(APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":5,\"last\":9,\"container\":1},"
             "{\"host\":8,\"container\":1,\"address\":\"127.0.0.1\"}]}")),
     "apps[0].network.ports[1]: host port 8"},
    {DOC(APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":1,\"container\":1,"
             "\"address\":\"::\"}]}")),
     "leave it out"},
    {DOC(APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":9,\"last\":8,\"container\":1}]}")),
     "last"},
    {DOC(APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":0,\"container\":1}]}")),
     "apps[0].network.ports[0].host"},
    {DOC(APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":1,\"container\":1,\"address\":\"1.2."
             "3\"}]}")),
     "address"},
    {DOC(APP(",\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"x\"}]")), "apps[0].mounts[0].target"},
    {DOC(APP(",\"mounts\":[{\"type\":\"tmpfs\",\"target\":\"/a/../b\"}]")), "apps[0].mounts[0].target"},
    {DOC(APP(",\"mounts\":[{\"type\":\"volume\",\"name\":\"../v\",\"target\":\"/b\"}]")),
     "apps[0].mounts[0].name"},
    {DOC(APP(",\"mounts\":[{\"type\":\"bind\",\"target\":\"/b\"}]")), "apps[0].mounts[0].type"},
    {DOC(APP(",\"health\":{}")), "exactly one"},
    {DOC(APP(",\"health\":{\"tcp\":{\"port\":1},\"exec\":[\"x\"]}")), "exactly one"},
    {DOC(APP(",\"health\":{\"exec\":[]}")), "apps[0].health.exec: at least 1"},
    {DOC(APP(",\"health\":{\"http\":{\"port\":1,\"path\":\"x\"}}")), "apps[0].health.http.path"},
    {DOC(APP(",\"stop\":{\"signal\":\"NONE\"}")), "signal"},
    {DOC(APP(",\"env\":{\"A=B\":\"x\"}")), "apps[0].env.A=B"},
    {"{\"schema\":\"limpet.desired/2\"}", "schema"},
    {"{\"schema\":\"limpet.desired/1\"}", "fleet: missing"},
    {"[]", "object"},
};

TEST(each_refusal_names_the_field)
{
    for (unsigned i = 0; i < COUNT_OF(refused); i++) {
        struct err err = ERR_INIT;
        int rc = parse(refused[i].text, &err);
        if (rc >= 0 || !strstr(err.msg, refused[i].says))
            printf("  %u: \"%s\" lacks \"%s\"\n", i, rc < 0 ? err.msg : "accepted", refused[i].says);
        CHECK(rc < 0 && strstr(err.msg, refused[i].says));
    }
    struct err err = ERR_INIT;
    CHECK_ERR(parse("{\"schema\":\"limpet.desired/2\"}", &err), ERR_UNSUPPORTED, err);
}

TEST(the_hash_sees_what_shapes_the_box)
{
    struct err err = ERR_INIT;

    CHECK_OK(parse(DOC(APP("")), &err), err);
    struct digest plain = d.apps[0].hash;
    CHECK_OK(parse(DOC(APP(",\"health\":{\"tcp\":{\"port\":1}},\"restart\":{\"policy\":\"no\"},\"stop\":{"
                           "\"grace_ms\":1}")),
                   &err),
             err);
    CHECK(digest_eq(&plain, &d.apps[0].hash)); /* no new start for these */
    CHECK_OK(parse(DOC(APP(",\"memory\":{\"max_bytes\":1048576}")), &err), err);
    CHECK(!digest_eq(&plain, &d.apps[0].hash));
}

TEST(slots_are_the_published_ones)
{
    /* first 8 bytes of SHA-256(salt NUL device), big endian, mod 10000; computed with sha256sum */
    CHECK(manifest_slot("r-7f3a", "gw-1") == 754);
    CHECK(manifest_slot("a", "dev-1") != manifest_slot("b", "dev-1") ||
          manifest_slot("a", "dev-2") != manifest_slot("b", "dev-2"));
    unsigned low = 0;
    char id[16];
    for (unsigned i = 0; i < 2000; i++) {
        (void)str_fmt(id, sizeof(id), "dev-%u", i);
        low += manifest_slot("salt", id) < 1000;
    }
    CHECK(low > 150 && low < 250); /* about a tenth */
}

TEST(the_devices_of_a_group_download_one_after_the_other)
{
    struct desired group = {.group = "line-a", .rev = 4}, own = {.rev = 4};
    uint64_t least = UINT64_MAX, most = 0, moved = 0;
    char id[16];

    for (unsigned i = 0; i < 1000; i++) {
        (void)str_fmt(id, sizeof(id), "dev-%u", i);
        group.rev = 4;
        uint64_t turn = manifest_turn_ms(&group, id);
        CHECK(turn < MANIFEST_TURN_MS && turn == manifest_turn_ms(&group, id));
        CHECK(manifest_turn_ms(&own, id) == 0);
        least = turn < least ? turn : least;
        most = turn > most ? turn : most;
        group.rev = 5; /* not the same ones first each time */
        moved += turn != manifest_turn_ms(&group, id);
    }
    CHECK(least < MANIFEST_TURN_MS / 50 && most > MANIFEST_TURN_MS / 50 * 49 && moved > 900);
    group.spread_ms = 1; /* the operator spreads them himself */
    CHECK(manifest_turn_ms(&group, "dev-1") == 0);
}

TEST(restarts)
{
    struct want_restart always = {RESTART_ALWAYS, 1000, 8000, 60000, 0},
                        failing = {RESTART_ON_FAILURE, 1000, 8000, 60000, 3},
                        once = {RESTART_NO, 1000, 8000, 60000, 0};
    struct deaths dead = {0};
    uint64_t at = 0;
    struct ending e = {.code = 1, .known = true, .at_ms = 50000};

    CHECK(restart_decide(&once, &dead, "a", 1, &at) == RESTART_NOW); /* never started */
    restart_deaths_add(&dead, &e, 100, 60000);
    CHECK(restart_decide(&always, &dead, "a", 50000, &at) == RESTART_WAIT && at >= 50750 && at <= 51000);
    CHECK(restart_decide(&always, &dead, "a", 51000, &at) == RESTART_NOW);
    CHECK(restart_decide(&once, &dead, "a", 60000, &at) == RESTART_GIVE_UP);
    for (int i = 0; i < 9; i++)
        restart_deaths_add(&dead, &e, 100, 60000);
    CHECK(restart_decide(&always, &dead, "a", 50000, &at) == RESTART_WAIT && at >= 56000 &&
          at <= 58000);                                                         /* bounded */
    CHECK(restart_decide(&failing, &dead, "a", 99999, &at) == RESTART_GIVE_UP); /* max_tries */
    restart_deaths_add(&dead, &e, 70000, 60000);                                /* it had run well before */
    CHECK(dead.in_row == 1 && dead.total == 11);
    e.code = 0;
    restart_deaths_add(&dead, &e, 100, 60000);
    CHECK(restart_decide(&failing, &dead, "a", 50000, &at) == RESTART_DONE);
    CHECK(restart_decide(&once, &dead, "a", 50000, &at) == RESTART_DONE);
    e.by_us = true;
    restart_deaths_add(&dead, &e, 100, 60000);
    CHECK(restart_decide(&once, &dead, "a", 50000, &at) ==
          RESTART_NOW); /* we stopped it: no reason to hold back */
    e = (struct ending){.signal = SIGKILL, .oom = true, .known = true, .at_ms = 1};
    restart_deaths_add(&dead, &e, 1, 60000);
    CHECK(dead.oom == 1 && restart_decide(&failing, &dead, "a", 99999, &at) == RESTART_NOW);
}

TEST(health)
{
    struct want_health w = {HEALTH_HTTP, NULL, 80, "/", 1000, 500, 5000, 3, true},
                       none = {.kind = HEALTH_NONE};
    struct health h;

    health_start(&h, &none, 10);
    CHECK(h.state == HEALTH_UNKNOWN);
    health_start(&h, &w, 10000);
    for (int i = 0; i < 9; i++)
        health_judge(&h, &w, false, "refused", 14000); /* within start grace */
    CHECK(h.state == HEALTH_STARTING && h.fails_in_row == 0);
    CHECK(health_next_ms(&h, &w, 14000) == 14100);
    health_judge(&h, &w, true, "", 14500);
    CHECK(h.state == HEALTH_OK && h.since_ms == 14500);
    CHECK(health_next_ms(&h, &w, 14500) == 15500);
    health_judge(&h, &w, false, "a", 14600); /* grace is over with the first success */
    health_judge(&h, &w, false, "b", 14700);
    CHECK(h.state == HEALTH_OK);
    health_judge(&h, &w, false, "HTTP 500", 14800);
    CHECK(h.state == HEALTH_BAD && h.since_ms == 14800);
    CHECK_STR(h.last, "HTTP 500");
    health_judge(&h, &w, true, "", 14900);
    CHECK(h.state == HEALTH_OK && h.fails_in_row == 0);
}

TEST(the_ledger_survives)
{
    char path[] = "/tmp/limpet-unit.XXXXXX", note[200];
    struct err err = ERR_INIT;

    CHECK_OK(crypto_init(&err), err);
    int dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
    struct state s, again;
    CHECK_OK(state_open(dir, &s, note, &err), err);
    CHECK_STR(note, "");
    struct ledger *l = &s.ledger;
    (void)str_copy(l->revs[0].source, sizeof(l->revs[0].source), "device");
    l->revs[0].rev = 42;
    l->n_revs = 1;
    l->candidate_rev = 42;
    l->candidate_verdict = VERDICT_ROLLED_BACK;
    for (unsigned i = 0; i < LIM_HISTORY + 5; i++) {
        struct state_verdict v = {.rev = i, .verdict = VERDICT_CONVERGED, .why = "good"};
        ledger_add(l, &v);
    }
    CHECK(ledger_raise(l, "web", 7) && ledger_raise(l, "web", 5) && ledger_floor(l, "web") == 7 &&
          ledger_floor(l, "db") == 0);
    struct digest bad = {{1}};
    for (unsigned i = 0; i < LIM_BAD_RELEASES + 3; i++) {
        bad.b[1] = (uint8_t)i;
        ledger_mark_bad(l, &bad);
    }
    CHECK(ledger_is_bad(l, &bad) && l->n_bad == LIM_BAD_RELEASES);
    CHECK_OK(state_save(&s, &err), err);
    CHECK_OK(state_open(dir, &again, note, &err), err);
    CHECK_STR(note, "");
    CHECK(again.ledger.candidate_rev == 42 && again.ledger.candidate_verdict == VERDICT_ROLLED_BACK &&
          again.ledger.revs[0].rev == 42);
    CHECK(again.ledger.n_history == LIM_HISTORY && again.ledger.history[0].rev == LIM_HISTORY + 4 &&
          ledger_floor(&again.ledger, "web") == 7);
    CHECK(ledger_is_bad(&again.ledger, &bad));
    state_close(&again);
    state_close(&s);
    CHECK_OK(fs_remove_tree(AT_FDCWD, path, &err), err);
    (void)close(dir);
}

/* unit.intake has what follows from it. */
TEST(a_hurt_ledger_is_set_aside)
{
    char path[] = "/tmp/limpet-unit.XXXXXX", note[200];
    struct err err = ERR_INIT;
    int dir = mkdtemp(path) ? open(path, O_RDONLY | O_DIRECTORY) : -1;
    struct state s;

    CHECK_OK(state_open(dir, &s, note, &err), err);
    CHECK_OK(state_save(&s, &err), err);
    CHECK_OK(fs_write_atomic(s.dir_fd, "ledger", BUF_LIT("{\"v\":1,garbage"), 0600, &err), err);
    state_close(&s);
    CHECK_OK(state_open(dir, &s, note, &err), err);
    CHECK(strstr(note, "could not be read") != NULL);
    CHECK(s.lost && s.ledger.n_revs == 0);
    CHECK(faccessat(s.dir_fd, "ledger.bad", F_OK, 0) == 0);
    state_close(&s);
    CHECK_OK(fs_remove_tree(AT_FDCWD, path, &err), err);
    (void)close(dir);
}

/* Whatever differs from what failed may be tried, and its container runs on as it is. */
static void a_mended_one_may_be_tried(const struct judge_facts *f)
{
    struct err err = ERR_INIT;
    static const char *const mended[] = {",\"retry\":1", ",\"stop\":{\"grace_ms\":9}",
                                         ",\"restart\":{\"policy\":\"no\"}",
                                         ",\"health\":{\"tcp\":{\"port\":81}}"};
    struct digest box = d.apps[0].hash;

    for (unsigned i = 0; i < COUNT_OF(mended); i++) {
        char text[1024];
        (void)str_fmt(text, sizeof(text),
                      HEAD "{\"name\":\"web\"," RELEASE
                           ",\"memory\":{\"max_bytes\":1048576,\"enforce\":\"required\"}%s}]}",
                      mended[i]);
        CHECK_OK(parse(text, &err), err);
        CHECK_OK(judge_desired(&d, f, &err), err);
        CHECK(digest_eq(&d.apps[0].hash, &box));
    }
}

TEST(a_device_promises_only_what_it_can)
{
    struct err err = ERR_INIT;
    struct ledger *l = mem_need_zero(sizeof(*l));
    struct box_caps caps = {.seccomp = true, .cgroup_memory = true, .bridge = true};
    struct now_facts now = {.wall_s = 1, .synced = true};
    struct judge_facts f = {&caps, l, 64 << 20, &now, "it is 1970 here"};

    CHECK_OK(parse(DOC(APP(",\"memory\":{\"max_bytes\":1048576,\"enforce\":\"required\"}")), &err), err);
    CHECK_OK(judge_desired(&d, &f, &err), err);
    caps.cgroup_memory = false;
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_UNSUPPORTED, err);
    CHECK_MSG(err, "apps[0].memory.enforce");
    caps.cgroup_memory = true;
    f.memory_total_bytes = 512 << 10;
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_NOSPACE, err);
    f.memory_total_bytes = 64 << 20;
    now.wall_s = 2;
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_DENIED, err);
    CHECK_MSG(err, "expires: it was valid until 1970-01-01T00:00:02Z; it is 1970 here");
    now.wall_s = 1;
    d.issued_s = 2 + NOW_AHEAD_S;
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_DENIED, err);
    CHECK_MSG(err, "issued: it was signed at 1970-01-02");
    now.synced = false;
    CHECK_OK(judge_desired(&d, &f, &err), err);
    d.issued_s = 1;
    (void)ledger_raise(l, "web", 3);
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_DENIED, err);
    CHECK_MSG(err, "apps[0].release.counter: 2 is below 3");
    l->n_floors = 0;
    for (unsigned i = 0; i < STATE_FLOORS; i++) {
        char name[16];
        (void)str_fmt(name, sizeof(name), "n%u", i);
        CHECK(ledger_raise(l, name, 1));
    }
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_NOSPACE, err);
    CHECK_MSG(err, "counters of 256 names, web would be one more");
    l->n_floors = 0;
    ledger_mark_bad(l, &d.apps[0].trial);
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_DENIED, err);
    CHECK_MSG(err, "failed on this device before");
    a_mended_one_may_be_tried(&f);
    l->n_bad = 0;
    CHECK_OK(
        parse(DOC(APP(",\"network\":{\"mode\":\"bridge\",\"ports\":[{\"host\":1,\"container\":1}]}")), &err),
        err);
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_UNSUPPORTED, err);
    caps.nat = true;
    CHECK_OK(judge_desired(&d, &f, &err), err);
    CHECK_OK(parse(DOC(APP(",\"read_only\":false")), &err), err);
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_UNSUPPORTED, err);
    CHECK_MSG(err, "apps[0].read_only");
    CHECK_OK(parse(DOC(APP(",\"userns\":\"required\"")), &err), err);
    CHECK_ERR(judge_desired(&d, &f, &err), ERR_UNSUPPORTED, err);
    caps.userns = caps.idmap = true;
    CHECK_OK(judge_desired(&d, &f, &err), err);
    free(l);
}

TEST(the_cap_stops_large_packets)
{
    struct err err = ERR_INIT;
    /* two PUBLISH of 3 bytes and one whose header says 256 MB, fed byte by byte and at once */
    static const uint8_t bytes[] = {0x30, 0x03, 'a',  'b',  'c',  0x30, 0x03, 'x',
                                    'y',  'z',  0x30, 0xff, 0xff, 0xff, 0x7f};
    struct link_cap c = {0};

    for (unsigned i = 0; i < sizeof(bytes) - 3; i++)
        CHECK_OK(link_cap_pass(&c, buf_of(bytes + i, 1), 1000, &err), err);
    CHECK_ERR(link_cap_pass(&c, buf_of(bytes + sizeof(bytes) - 3, 3), 1000, &err), ERR_INVALID, err);
    c = (struct link_cap){0};
    CHECK_ERR(link_cap_pass(&c, buf_of(bytes, sizeof(bytes)), 1000, &err), ERR_INVALID, err);
    static const uint8_t five[] = {0x30, 0x80, 0x80, 0x80, 0x80, 0x01};
    c = (struct link_cap){0};
    CHECK_ERR(link_cap_pass(&c, buf_of(five, sizeof(five)), 1000, &err), ERR_INVALID, err);
    static const uint8_t empty[] = {0xd0, 0x00, 0xd0, 0x00, 0x30, 0x01, 'q'};
    c = (struct link_cap){0};
    CHECK_OK(link_cap_pass(&c, buf_of(empty, sizeof(empty)), 1, &err), err);
}
TEST_MAIN
TEST(name_servers_of_the_host_s_loopback_are_left_out)
{
    char *a =
             resolv_text_make("nameserver 127.0.0.53\noptions edns0\nsearch lan\n", "nameserver 192.0.2.1\n"),
         *b = resolv_text_make("nameserver ::1\nnameserver 192.0.2.9\n", "nameserver 192.0.2.1\n"),
         *none = resolv_text_make("nameserver 127.0.0.1\nnameserver fe80::1\n", "");

    CHECK_STR(a, "nameserver 192.0.2.1\noptions edns0\nsearch lan\n");
    CHECK_STR(b, "nameserver 192.0.2.9\n");
    CHECK_STR(none, "");
    free(a), free(b), free(none);
}
