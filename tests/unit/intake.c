/* Documents against a real state directory: what is accepted, what each refusal leaves behind, and how every
 * lock-out that a stolen key or a wrong clock can make is opened again by the root keys. */
#include "tests/unit/intake_world.h"

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

/* A group downloads in turns; nobody waits for a device of his own, or at it. */
TEST(only_a_group_s_document_from_the_broker_waits_for_its_turn)
{
    struct err err = ERR_INIT;
    uint64_t turn = 0;

    begin();
    first_trust();
    for (uint64_t rev = 1; rev <= 3; rev++) { /* one of them may be the very first */
        CHECK_OK(give((struct doc){"line-a", .rev = rev}, &err), err);
        uint64_t now = clock_boot_ms();
        CHECK(core.intake.turn_ms <= now + MANIFEST_TURN_MS);
        turn = core.intake.turn_ms > turn ? core.intake.turn_ms : turn;
    }
    CHECK(acts_on() == 3 && turn > 0);
    CHECK_OK(give((struct doc){"line-a", .rev = 4, .local = true}, &err), err);
    CHECK(acts_on() == 4 && core.intake.turn_ms == 0);
    for (uint64_t rev = 5; rev <= 7; rev++)
        CHECK_OK(give((struct doc){"line-a", .rev = rev}, &err), err);
    CHECK(core.intake.turn_ms > 0); /* control */
    CHECK_OK(give((struct doc){"device", .rev = 1}, &err), err);
    CHECK(acts_on() == 1 && core.intake.turn_ms == 0);
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
    CHECK(acts_on() == 0 && strstr(core.intake.denied_why, "trust version 1 expired"));
    CHECK(follow_find(&core.intake.follow, "group:line-a")->known);
    set_clock((long long)(4 * DAY), "synced");
    intake_turn(&core);
    CHECK(acts_on() == 0 && core.intake.follow_again_ms > clock_boot_ms()); /* not every few seconds */
    core.intake.follow_again_ms = 0;
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
    CHECK(core.intake.held_why[0] && acts_on() == 0 && core.intake.want_rev == 5);
    CHECK_OK(give_trust(2, start_s, start_s + 5 * YEAR, keys_new, &err), err);
    reboot();
    CHECK(!core.intake.held_why[0] && !follow_find(&core.intake.follow, "group:line-a")->known);
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
    CHECK(strcmp(core.state.ledger.refused.why, err.msg) == 0 && core.intake.want_rev == 3);
    reboot();
    CHECK(core.state.ledger.refused.rev == 3 && core.intake.want_rev == 3); /* told after a restart too */
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
    CHECK_MSG(err, "check the clock of the machine that signed it");
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
    intake_time_tick(&core);
    CHECK_OK(give((struct doc){"device", .rev = 1}, &err), err);
    set_clock(0, "unsynced");
    intake_time_tick(&core);
    CHECK(core.state.ledger.time_floor_s == start_s);
    set_clock((long long)(14 * YEAR), "synced"); /* a spoofed time server */
    intake_time_tick(&core);
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
    CHECK(core.intake.denied_why[0]);
    CHECK_OK(give_trust(2, start_s, start_s + YEAR, keys_1, &err), err);
    CHECK_OK(give((struct doc){"device", .rev = 1}, &err), err);
    CHECK(acts_on() == 1 && !core.intake.denied_why[0]);
    end();
}

/* Power between the note, the document and the reset: the reset is done once, and never without its
 * document. */
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
    CHECK(core.state.trust.version == 1 && core.intake.trust_ahead == 3 && !core.intake.denied_why[0]);
    CHECK_OK(give_trust(2, start_s, start_s + YEAR, keys_1, &err), err);
    CHECK(core.state.trust.version == 2);
    CHECK_OK(give_trust(3, start_s, start_s + YEAR, keys_1, &err), err); /* asked for again */
    CHECK(core.state.trust.version == 3);
    CHECK_OK(give_trust(5, start_s, start_s + YEAR, keys_1, &err), err);
    unsigned events = core.events.n;
    intake_turn(&core);
    CHECK(core.events.n == events);
    intake_turn(&core); /* a gap is told, once */
    intake_turn(&core);
    CHECK(core.events.n == events + 1 && strstr(core.events.list[events].json, "version 5 is on the broker"));
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
    CHECK(core.intake.want_rev == 7 && acts_on() == 0);
    CHECK_OK(give((struct doc){"all", .rev = 2, .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":0}"}, &err),
             err);
    reboot(); /* and not by a restart */
    CHECK(core.intake.want_rev == 7 && core.intake.held_why[0]);
    CHECK_ERR(
        give((struct doc){"line-a", .rev = 6, .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":10000}"}, &err),
        ERR_DENIED, err);
    CHECK_MSG(err, "rev: 7 was accepted before, 6 is a replay");
    CHECK_OK(
        give((struct doc){"line-a", .rev = 8, .more = ",\"rollout\":{\"salt\":\"s\",\"slots\":10000}"}, &err),
        err);
    CHECK(acts_on() == 8 && !core.intake.held_why[0]);
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
    CHECK(acts_on() == 3 && core.intake.want_rev == 3 &&
          !core.intake.held_why[0]); /* it does not wait for the group's */
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
    CHECK(l->refused.rev == 2 && core.intake.want_rev == 2 && acts_on() == 1 && l->history[0].rev == 2);
    CHECK_STR(l->refused.why, "colour: unknown field");
    CHECK_ERR(give((struct doc){"device", .rev = 2, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(l->n_history == 1); /* retained ones come again */
    reboot();
    CHECK(l->refused.rev == 2 && core.intake.want_rev == 2);
    CHECK_OK(give((struct doc){"device", .rev = 3}, &err), err);
    CHECK(acts_on() == 3 && l->refused.rev == 0);
    /* a newer agent judges anew */
    CHECK_ERR(give((struct doc){"device", .rev = 4, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    halt();
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    char path[128];
    (void)str_fmt(path, sizeof(path), "%s/state/ledger", directory);
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
    CHECK(!intake_refused(&core) && core.intake.want_rev == 3);
    CHECK_ERR(give((struct doc){"device", .rev = 4, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(intake_refused(&core) && core.intake.want_rev == 4);
    CHECK_ERR(give((struct doc){"all", .rev = 2, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(core.state.ledger.refused.rev == 4); /* the one before it keeps its place */
    unsigned n = core.state.ledger.n_history;
    CHECK_ERR(give((struct doc){"line-a", .rev = 9, .more = ",\"colour\":\"red\""}, &err), ERR_INVALID, err);
    CHECK(core.state.ledger.n_history == n);
    end();
}
TEST_MAIN
