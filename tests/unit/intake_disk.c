/* What a state directory is worth at the next start: changed, lost or half-written files, directories of
 * older agents. */
#include "tests/unit/intake_world.h"

/* ---- disks ---- */

static void edit(const char *name, const char *what, const char *into)
{
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *bytes = NULL;
    size_t len;
    char path[128];

    (void)str_fmt(path, sizeof(path), "%s/state/%s", directory, name);
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
    CHECK(core.sets.good.arena && core.sets.good.d.rev == 1); /* the one before it */
    CHECK(acts_on() == 2);                                    /* from its topic's copy, which is whole */
    CHECK_STR(core.sets.candidate.d.apps[0].args[0], "harmless");
    char path[128];
    (void)str_fmt(path, sizeof(path), "%s/state/good.bad", directory);
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
    CHECK(acts_on() == 4 && core.sets.good.arena && ledger_floor(&core.state.ledger, "web") == 2);
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
    CHECK(acts_on() == 4 && core.sets.good.arena && core.state.ledger.candidate_verdict == VERDICT_CONVERGED);
    CHECK(follow_find(&core.intake.follow, "device")->known);
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
    CHECK(acts_on() == 6 && follow_find(&core.intake.follow, "device")->rev == 6);
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
