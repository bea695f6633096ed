/* Whose fault a failed job is, and when its owner may try again. */
#include "agent/core.h"
#include "tests/unit/check.h"

static struct core core;

static struct err failed(enum err_kind kind, const char *msg)
{
    struct err err = ERR_INIT;

    (void)err_set(&err, kind, "%s", msg);
    return err;
}

TEST(each_owner_has_a_fault_of_its_own)
{
    struct err net = failed(ERR_NET, "no route"), full = failed(ERR_NOSPACE, "full\n");

    memset(&core, 0, sizeof(core));
    jobs_fault(&core, OWNER_AGENT, "agent", &net);
    CHECK(jobs_fault_of(&core, OWNER_APPS)->last.kind == ERR_NONE && jobs_again_ms(&core, OWNER_APPS) == 0);
    jobs_fault(&core, OWNER_APPS, "web", &full);
    CHECK(jobs_fault_of(&core, OWNER_AGENT)->last.kind == ERR_NET);
    CHECK_STR(jobs_fault_of(&core, OWNER_APPS)->app, "web");
    CHECK(strchr(jobs_fault_of(&core, OWNER_APPS)->err.msg, '\n') == NULL);
    jobs_fault_clear(&core, OWNER_APPS);
    CHECK(jobs_again_ms(&core, OWNER_APPS) == 0 && jobs_again_ms(&core, OWNER_AGENT) > 0);
    CHECK(core.dirty && core.report_dirty);
}

TEST(a_row_is_of_one_kind_and_tries_are_of_all)
{
    struct err net = failed(ERR_NET, "no route"), source = failed(ERR_SOURCE, "other bytes");
    const struct jobs_fault *f = jobs_fault_of(&core, OWNER_SYSTEM);

    memset(&core, 0, sizeof(core));
    jobs_fault(&core, OWNER_SYSTEM, "", &net);
    jobs_fault(&core, OWNER_SYSTEM, "", &net);
    CHECK(f->last.in_row == 2 && f->tries == 2);
    jobs_fault(&core, OWNER_SYSTEM, "", &source);
    CHECK(f->last.in_row == 1 && f->tries == 3);
    CHECK(jobs_again_ms(&core, OWNER_SYSTEM) == f->last.at_ms + plan_retry_delay_ms(3));
}

TEST(trouble_is_told_once)
{
    memset(&core, 0, sizeof(core));
    CHECK(jobs_trouble(&core, 1000, ERR_NET, "no route"));
    CHECK(!jobs_trouble(&core, 2000, ERR_NET, "no route"));
    CHECK(jobs_trouble(&core, 1000, ERR_SOURCE, "refused"));
}

TEST(nothing_is_under_way)
{
    memset(&core, 0, sizeof(core));
    jobs_begin(&core, &(struct jobs_about){OWNER_STORE, STEP_SCRUB, "", false});
    CHECK(!jobs_running(&core) && !jobs_is_of(&core, OWNER_STORE));
    jobs_cancel_stale(&core, "a newer manifest");
    jobs_cancel(&core, "the end");
}
TEST_MAIN
