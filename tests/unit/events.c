/* The queue of events. */
#include "agent/core.h"
#include "platform/log.h"
#include "tests/unit/check.h"

static struct core core;

static void begin(void)
{
    log_init("unit", LOG_ERROR_ - 1, false);
    for (unsigned i = 0; i < core.events.n; i++)
        free(core.events.list[i].json);
    memset(&core, 0, sizeof(core));
}

TEST(each_is_sent_once_until_the_connection_goes)
{
    uint32_t first = 0, second = 0, again = 0;

    begin();
    events_add(&core, "one", NULL, "first");
    events_add(&core, "two", "web", "second\nline");
    const char *json = events_next(&core, &first);
    CHECK(json && strstr(json, "\"kind\":\"one\""));
    events_sent(&core, first);
    json = events_next(&core, &second);
    CHECK(json && second != first && strstr(json, "\"app\":\"web\"") && !strchr(json, '\n'));
    events_sent(&core, second);
    CHECK(events_next(&core, &again) == NULL);
    events_lost(&core);
    CHECK(events_next(&core, &again) != NULL && again == first);
}

TEST(what_is_acknowledged_goes_and_what_is_refused_stays)
{
    uint32_t id = 0;

    begin();
    events_add(&core, "one", NULL, "first");
    CHECK(events_next(&core, &id) != NULL);
    events_sent(&core, id);
    events_acked(&core, id, false);
    CHECK(core.events.n == 1 && events_next(&core, &id) != NULL);
    events_sent(&core, id);
    events_acked(&core, id, true);
    CHECK(core.events.n == 0 && events_next(&core, &id) == NULL);
}

TEST(a_full_queue_loses_the_oldest)
{
    uint32_t id = 0;

    begin();
    for (unsigned i = 0; i < LIM_EVENTS + 2; i++)
        events_add(&core, "n", NULL, "%u", i);
    const char *json = events_next(&core, &id);
    CHECK(core.events.n == LIM_EVENTS && json && strstr(json, "\"msg\":\"2\""));
    begin();
}

/* An id of 0 would say that nothing is under way: the event were sent without end. */
TEST(no_number_makes_an_id_of_nothing)
{
    static const uint64_t before[] = {0x7ffffffe, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    uint32_t id = 0;

    for (unsigned i = 0; i < COUNT_OF(before); i++) {
        begin();
        core.events.seq = before[i];
        events_add(&core, "one", NULL, "first");
        CHECK(events_next(&core, &id) != NULL && id != 0 && id <= 0x7fffffff);
        events_sent(&core, id);
        CHECK(events_next(&core, &id) == NULL);
    }
    begin();
}

TEST_MAIN
