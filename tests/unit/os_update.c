/* What is done next for the device's own system, and what is remembered of it. */
#include "agent/decide/os_update.h"
#include "tests/unit/check.h"

static struct want_os want = {.version = "2", .bundle = {{1}}};
static struct os_memory memory;

static struct os_facts facts(enum os_phase phase)
{
    memory = (struct os_memory){.phase = phase, .bundle = {{1}}, .version = "2", .slot = "A"};
    return (struct os_facts){.want = &want,
                             .memory = &memory,
                             .has_updater = true,
                             .converged = true,
                             .slot_known = true,
                             .probation_ms = 1000};
}

TEST(an_update_goes_step_by_step)
{
    struct os_facts f = facts(OS_NONE);

    CHECK(os_decide(&f) == OS_FETCH);
    f.held = true;
    CHECK(os_decide(&f) == OS_INSTALL);
    f = facts(OS_INSTALLED);
    CHECK(os_decide(&f) == OS_REBOOT);
    f.rebooted = f.slot_changed = true;
    CHECK(os_decide(&f) == OS_NOTHING); /* not healthy yet */
    f.healthy = true;
    f.healthy_ms = 999;
    CHECK(os_decide(&f) == OS_NOTHING);
    f.healthy_ms = 1000;
    CHECK(os_decide(&f) == OS_CONFIRM);
    f = facts(OS_GOOD);
    CHECK(os_decide(&f) == OS_NOTHING);
}

TEST(nothing_is_begun_without_cause)
{
    struct os_facts f = facts(OS_NONE);

    f.want = NULL;
    CHECK(os_decide(&f) == OS_NOTHING);
    f = facts(OS_NONE);
    f.converged = false;
    CHECK(os_decide(&f) == OS_NOTHING);
    f = facts(OS_NONE);
    f.has_updater = false;
    CHECK(os_decide(&f) == OS_REFUSE);
    f = facts(OS_FAILED);
    f.held = true;
    CHECK(os_decide(&f) == OS_NOTHING);
    memory.bundle.b[0] = 9; /* another one failed */
    CHECK(os_decide(&f) == OS_INSTALL);
    f.slot_known = false; /* where it comes from must be known before */
    CHECK(os_decide(&f) == OS_LOOK);
}

TEST(a_bad_system_is_left)
{
    struct os_facts f = facts(OS_INSTALLED);

    f.rebooted = true;
    CHECK(os_decide(&f) == OS_FELL_BACK);
    f.slot_known = false;
    CHECK(os_decide(&f) == OS_LOOK);
    f = facts(OS_INSTALLED);
    f.rebooted = f.slot_changed = f.trial_over = true;
    CHECK(os_decide(&f) == OS_REVERT);
    f.trial_over = false;
    memory.trial_starts = OS_TRIAL_STARTS + 1;
    CHECK(os_decide(&f) == OS_REVERT);
    f.want = NULL; /* a trial ends, whatever is asked by now */
    CHECK(os_decide(&f) == OS_REVERT);
}

/* Power went while the updater wrote: in the old system it begins again, in the new one the trial does. */
TEST(a_cut_install)
{
    struct os_facts f = facts(OS_INSTALLING);

    f.held = true;
    CHECK(os_decide(&f) == OS_INSTALL);
    f.rebooted = true;
    CHECK(os_decide(&f) == OS_INSTALL);
    f.slot_changed = f.healthy = true;
    f.healthy_ms = 1000;
    CHECK(os_decide(&f) == OS_CONFIRM);
}

TEST(the_memory_survives)
{
    struct err err = ERR_INIT;
    struct os_memory back;

    (void)facts(OS_INSTALLED);
    memory.trial_starts = 3;
    memory.was_online = true;
    (void)str_copy(memory.why, sizeof(memory.why), "so");
    (void)str_copy(memory.boot_id, sizeof(memory.boot_id), "b-1");
    char AUTO_MEM *text = os_memory_build(&memory);
    CHECK_OK(os_memory_parse(buf_str(text), &back, &err), err);
    CHECK(memcmp(&back, &memory, sizeof(back)) == 0);
    CHECK_ERR(os_memory_parse(BUF_LIT("{\"v\":1}"), &back, &err), ERR_INVALID, err);
}

TEST(slots_are_read)
{
    struct err err = ERR_INIT;
    char slot[OS_SLOT_BYTES];

    CHECK_OK(os_rauc_slot(BUF_LIT("{\"compatible\":\"x\",\"booted\":\"B\",\"slots\":[{\"rootfs.0\":{}}]}"),
                          slot, sizeof(slot), &err),
             err);
    CHECK_STR(slot, "B");
    CHECK_ERR(os_rauc_slot(BUF_LIT("{\"compatible\":\"x\"}"), slot, sizeof(slot), &err), ERR_INVALID, err);
    CHECK(os_cmdline_root("quiet root=/dev/mmcblk0p2 rw", slot, sizeof(slot)));
    CHECK_STR(slot, "/dev/mmcblk0p2");
    CHECK(os_cmdline_root("root=PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4 rw", slot, sizeof(slot)));
    CHECK_STR(slot, "PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4");
    CHECK(!os_cmdline_root("noroot=1 quiet", slot, sizeof(slot)));
}

TEST(complaints_of_updaters)
{
    char rauc[] = "installing\nLastError: no key\nInstalling failed\n",
         swu[] = "Status: 4 message: ERROR : HASH\nfailed !\n", other[] = "one\ntwo\n\n", none[] = "";

    CHECK_STR(os_updater_complaint(rauc), "LastError: no key");
    CHECK_STR(os_updater_complaint(swu), "ERROR : HASH");
    CHECK_STR(os_updater_complaint(other), "two");
    CHECK_STR(os_updater_complaint(none), "");
}
TEST_MAIN
