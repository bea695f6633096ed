/* What is done next for the agent's own update, which core is started, and what is remembered. */
#include "agent/decide/self_update.h"
#include "tests/unit/check.h"

static struct want want = {.release = {{1}}};
static struct self_memory memory;
static struct self_image running;

static struct self_facts facts(enum self_phase phase)
{
    memory = (struct self_memory){.phase = phase,
                                  .now = {{{9}}, {{99}}, "1"},
                                  .next = {{{1}}, {{11}}, "2"},
                                  .base = "0",
                                  .confirm_s = 10};
    running = memory.now;
    return (struct self_facts){
        .want = &want, .memory = &memory, .running = &running, .converged = true, .has_keeper = true};
}

TEST(an_update_goes_step_by_step)
{
    struct self_facts f = facts(SELF_NONE);

    CHECK(self_decide(&f) == SELF_FETCH);
    f.image = IMAGE_NOT_INSTALLED;
    CHECK(self_decide(&f) == SELF_INSTALL);
    f.image = IMAGE_NO_CHUNKS;
    CHECK(self_decide(&f) == SELF_INSTALL);
    f.image = IMAGE_INSTALLED;
    CHECK(self_decide(&f) == SELF_SWITCH);
    f = facts(SELF_TRIAL);
    CHECK(self_decide(&f) == SELF_NOTHING); /* the old one is ending */
    running = memory.next;
    CHECK(self_decide(&f) == SELF_NOTHING);
    f.healthy = true;
    CHECK(self_decide(&f) == SELF_CONFIRM);
    f.lost = true;
    CHECK(self_decide(&f) == SELF_BACK);
    f.lost = f.healthy = false;
    f.trial_over = true;
    CHECK(self_decide(&f) == SELF_BACK);
}

TEST(nothing_is_begun_without_cause)
{
    struct self_facts f = facts(SELF_GOOD);

    f.image = IMAGE_INSTALLED;
    running.release = want.release;
    CHECK(self_decide(&f) == SELF_NOTHING);
    f.image = IMAGE_NO_LAYERS; /* damaged: made again, it runs on */
    CHECK(self_decide(&f) == SELF_FETCH);
    f = facts(SELF_NONE);
    f.want = NULL;
    CHECK(self_decide(&f) == SELF_NOTHING);
    f = facts(SELF_NONE);
    f.converged = false;
    CHECK(self_decide(&f) == SELF_NOTHING);
    f = facts(SELF_NONE);
    f.has_keeper = false;
    CHECK(self_decide(&f) == SELF_REFUSE);
    f = facts(SELF_NONE);
    f.below_floor = true;
    CHECK(self_decide(&f) == SELF_REFUSE);
    f = facts(SELF_TRIAL);
    self_roll_back(&memory, "x");
    CHECK(self_decide(&f) == SELF_NOTHING); /* remembered as bad */
}

TEST(the_right_core_is_started)
{
    (void)facts(SELF_NONE);
    struct self_start_facts f = {.memory = &memory, .base = "0", .boot_id = "b", .now_ms = 5000};
    CHECK(self_start_decide(&f) == SELF_START_NOW);
    f.crashes = SELF_CRASHES;
    CHECK(self_start_decide(&f) == SELF_LEAVE_NOW);
    f.base = "1";
    CHECK(self_start_decide(&f) == SELF_FORGET);
    memory.now = (struct self_image){0};
    CHECK(self_start_decide(&f) == SELF_START_BUILT_IN);
    (void)facts(SELF_TRIAL);
    f.base = "0";
    CHECK(self_start_decide(&f) == SELF_START_NEXT);
    memory.starts = SELF_TRIAL_STARTS;
    CHECK(self_start_decide(&f) == SELF_GIVE_UP);
}

TEST(a_trial_has_its_time)
{
    (void)facts(SELF_TRIAL);
    (void)str_copy(memory.boot_id, sizeof(memory.boot_id), "b");
    memory.began_ms = 1000;
    memory.starts = 1; /* its time begins with the first start */
    struct self_start_facts f = {.memory = &memory, .base = "0", .boot_id = "b", .now_ms = 10999};
    CHECK(self_start_decide(&f) == SELF_START_NEXT && self_trial_left_ms(&memory, "b", 10999) == 1);
    f.now_ms = 11000;
    CHECK(self_start_decide(&f) == SELF_GIVE_UP);
    f.boot_id = "c"; /* power was away */
    CHECK(self_start_decide(&f) == SELF_START_NEXT && self_trial_left_ms(&memory, "c", 11000) == 10000);
}

TEST(what_was_bad_is_remembered)
{
    (void)facts(SELF_TRIAL);
    for (uint8_t i = 1; i <= SELF_BAD + 2; i++) {
        memory.next.release.b[0] = i;
        self_roll_back(&memory, "no");
        self_roll_back(&memory, "no");
    }
    struct digest d = {{2}};
    CHECK(memory.n_bad == SELF_BAD && !self_is_bad(&memory, &d));
    d.b[0] = 3;
    CHECK(self_is_bad(&memory, &d));
    self_drop_now(&memory, "crashes");
    d.b[0] = 9;
    CHECK(self_is_built_in(&memory.now) && self_is_bad(&memory, &d) && memory.phase == SELF_ROLLED_BACK);
}

TEST(the_memory_comes_back)
{
    struct self_memory got;

    (void)facts(SELF_TRIAL);
    memory.was_online = true;
    memory.boxes = 3;
    self_roll_back(&memory, "why");
    char AUTO_MEM *text = self_memory_build(&memory);
    CHECK(self_memory_parse(buf_str(text), &got, NULL) == 0);
    CHECK(got.phase == SELF_ROLLED_BACK && got.boxes == 3 && got.was_online && got.n_bad == 1);
    CHECK(digest_eq(&got.now.image, &memory.now.image) && strcmp(got.why, "why") == 0);
    char *hex = strstr(text, "sha256:");
    memcpy(hex + 7, "../../", 6); /* no path can stand there */
    CHECK(self_memory_parse(buf_str(text), &got, NULL) < 0);
}

TEST_MAIN
