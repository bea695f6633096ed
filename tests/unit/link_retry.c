/* When link dials again: the law's bounds, for each try, and what makes it start over. */
#include "agent/link/link_retry.h"

#include "tests/unit/check.h"

#define FIRST_MS 30000

static struct link_retry fresh(void)
{
    return (struct link_retry){.first_ms = FIRST_MS};
}

TEST(the_bound_doubles_up_to_its_maximum)
{
    static const uint64_t bounds[] = {30000, 60000, 120000, 240000, 300000, 300000};
    struct link_retry low = fresh(), high = fresh(), over = fresh();

    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        CHECK(link_retry_delay_ms(&low, 0, false) == 0);                  /* full jitter: from nothing ... */
        CHECK(link_retry_delay_ms(&high, bounds[i], false) == bounds[i]); /* ... to the bound ... */
        CHECK(link_retry_delay_ms(&over, bounds[i] + 1, false) == 0);     /* ... and not beyond */
    }
    for (unsigned i = 0; i < 1000; i++) /* as often as a broker may be away */
        CHECK(link_retry_delay_ms(&high, LINK_RETRY_MAX_MS, false) == LINK_RETRY_MAX_MS);
}

TEST(the_first_bound_is_that_of_the_settings)
{
    struct link_retry r = {.first_ms = 1000};

    CHECK(link_retry_delay_ms(&r, 1000, false) == 1000);
    CHECK(link_retry_delay_ms(&r, 2000, false) == 2000);
    r = (struct link_retry){.first_ms = LINK_RETRY_MAX_MS};
    CHECK(link_retry_delay_ms(&r, LINK_RETRY_MAX_MS, false) == LINK_RETRY_MAX_MS);
    CHECK(link_retry_delay_ms(&r, LINK_RETRY_MAX_MS + 1, false) == 0);
}

TEST(far_is_as_if_all_doublings_were_done)
{
    struct link_retry r = fresh();

    CHECK(link_retry_delay_ms(&r, LINK_RETRY_MAX_MS, true) == LINK_RETRY_MAX_MS);
    CHECK(link_retry_delay_ms(&r, 60000, false) == 60000); /* and counts as one */
}

TEST(the_deadline_grows_with_the_dials)
{
    static const uint64_t deadlines[] = {30000, 60000, 120000, 240000, 240000};
    struct link_retry r = fresh();

    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++)
        CHECK(link_retry_deadline_ms(&r) == deadlines[i]);
}

TEST(a_moment_of_being_connected_resets_nothing)
{
    struct link_retry r = fresh();

    for (unsigned i = 0; i < 3; i++) {
        (void)link_retry_delay_ms(&r, 0, false);
        (void)link_retry_deadline_ms(&r);
        CHECK(!link_retry_was_up(&r, LINK_STABLE_MS - 1));
    }
    CHECK(link_retry_delay_ms(&r, 240000, false) == 240000);
    CHECK(link_retry_deadline_ms(&r) == 240000);
    CHECK(link_retry_was_up(&r, LINK_STABLE_MS)); /* a minute of it does */
    CHECK(link_retry_delay_ms(&r, FIRST_MS, false) == FIRST_MS);
    CHECK(link_retry_delay_ms(&r, 2 * FIRST_MS + 1, false) == 0);
    CHECK(link_retry_deadline_ms(&r) == LINK_DEADLINE_MS);
}

TEST_MAIN
