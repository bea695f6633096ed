/* What a device takes for now, which of its topics it follows, whose verdict an unreadable manifest is. */
#include "agent/decide/follow.h"
#include "agent/decide/now.h"
#include "platform/clock.h"
#include "tests/unit/check.h"

#define YEAR (365 * NOW_DAY_S)
#define T    1800000000ULL

TEST(a_clock_counts_as_far_as_it_can_be_believed)
{
    struct now_facts f = {
        .wall_s = T, .synced = true, .floor_s = T - 5, .issued_s = T - 9, .build_s = T - 99};

    CHECK(now_s(&f) == T);
    f.wall_s = 9; /* no battery */
    CHECK(now_s(&f) == T - 5);
    f.synced = false;
    CHECK(now_s(&f) == T - 5);
    f.wall_s = T + 14 * YEAR; /* a bad battery: no reason to call everything expired */
    CHECK(now_s(&f) == T - 5 + NOW_TRUST_S);
    f.synced = true;
    CHECK(now_s(&f) == T + 14 * YEAR);
}

TEST(the_floor_follows_a_synchronised_clock_within_bounds)
{
    struct now_facts f = {.wall_s = T + 5, .synced = true, .floor_s = T, .issued_s = T, .build_s = 1};

    CHECK(now_floor_s(&f) == T + 5);
    f.synced = false;
    CHECK(now_floor_s(&f) == T);
    f.synced = true;
    f.wall_s = T + 14 * YEAR; /* a spoofed time server */
    CHECK(now_floor_s(&f) == T + NOW_TRUST_S);
    f.wall_s = 9;
    CHECK(now_floor_s(&f) == T); /* forward only */
    f.floor_s = T + YEAR;
    f.wall_s = T + 2 * YEAR;
    CHECK(now_floor_s(&f) == T + YEAR);
}

TEST(a_document_from_the_future_is_told_by_a_synchronised_clock)
{
    struct now_facts f = {.wall_s = T, .synced = true};

    CHECK(now_may_be_issued(&f, T + NOW_AHEAD_S));
    CHECK(!now_may_be_issued(&f, T + NOW_AHEAD_S + 1));
    f.synced = false;
    CHECK(now_may_be_issued(&f, T + 5 * YEAR));
}

TEST(the_words_say_where_the_time_comes_from)
{
    char text[NOW_TEXT];
    struct now_facts f = {.wall_s = 9, .floor_s = T, .issued_s = T, .build_s = 1};

    CHECK_STR(now_text(&f, "trust version 2", text, sizeof(text)),
              "it is 2027-01-15T08:00:00Z here by its floor (trust version 2); its clock says "
              "1970-01-01T00:00:09Z, not synchronised");
    f = (struct now_facts){.wall_s = T, .synced = true};
    CHECK_STR(now_text(&f, "", text, sizeof(text)), "it is 2027-01-15T08:00:00Z here by its clock");
    f = (struct now_facts){.wall_s = T + YEAR, .issued_s = T};
    (void)now_text(&f, "", text, sizeof(text));
    CHECK(strstr(text, "by the newest signed document and 30 days; its clock says 2028-01-15") != NULL);
}

static struct follow f;

static void know(const char *source, uint64_t rev, bool withdrawn)
{
    struct follow_doc *doc = follow_find(&f, source);
    struct desired d = {.rev = rev, .withdrawn = withdrawn};
    struct digest digest = {{(uint8_t)rev}};

    CHECK(doc != NULL);
    follow_set(doc, &d, &digest, "dev-1", false);
}

static const char *chosen(void)
{
    struct follow_choice choice;

    follow_choose(&f, T, &choice);
    return choice.doc ? choice.doc->source : "none";
}

TEST(its_own_document_then_the_groups_in_order_then_all)
{
    struct config config = {.n_groups = 3, .groups = {"line-b", "all", "line-a"}};

    follow_init(&f, &config);
    CHECK(f.n == 4 && !follow_find(&f, "group:line-c"));
    CHECK_STR(chosen(), "none");
    know("group:all", 9, false);
    CHECK_STR(chosen(), "group:all");
    know("group:line-a", 1, false);
    CHECK_STR(chosen(), "group:line-a");
    know("group:line-b", 1, false);
    CHECK_STR(chosen(), "group:line-b");
    know("device", 1, false);
    know("group:all", 10, false);
    CHECK_STR(chosen(), "device");
    know("device", 2, true);
    CHECK_STR(chosen(), "group:line-b");
    know("group:line-b", 2, true);
    know("group:line-a", 2, true);
    CHECK_STR(chosen(), "group:all");
    know("group:all", 11, true);
    CHECK_STR(chosen(), "none");
}

TEST(a_document_whose_time_has_not_come_hides_those_behind_it)
{
    struct config config = {.n_groups = 1, .groups = {"line-a"}};
    struct follow_choice choice;
    struct digest digest = {{1}};
    struct desired d = {
        .rev = 7, .issued_s = T, .group = "line-a", .has_rollout = true, .salt = "s", .slots = 0};

    follow_init(&f, &config);
    know("group:all", 3, false);
    follow_set(follow_find(&f, "group:line-a"), &d, &digest, "dev-1", false);
    follow_choose(&f, T, &choice);
    CHECK(choice.held && choice.doc && strcmp(choice.doc->source, "group:line-a") == 0);
    CHECK(strstr(choice.why, "rev 7: slot ") && strstr(choice.why, "of rollout s, open to 0"));
    d.slots = 10000;
    d.not_before_s = T + 9;
    follow_set(follow_find(&f, "group:line-a"), &d, &digest, "dev-1", false);
    follow_choose(&f, T, &choice);
    CHECK(choice.held && strstr(choice.why, "turn of the rollout is at 2027-01-15T08:00:09Z"));
    follow_choose(&f, T + 9, &choice);
    CHECK(!choice.held && choice.doc);
    d.slots = 0; /* somebody at the device applies it */
    follow_set(follow_find(&f, "group:line-a"), &d, &digest, "dev-1", true);
    follow_choose(&f, T, &choice);
    CHECK(!choice.held && choice.doc);
}

#define HEAD(schema)                                                                  \
    "{\"schema\":\"" schema                                                           \
    "\",\"fleet\":\"demo\",\"target\":{\"device\":\"dev-1\"},\"rev\":4,\"issued\":1," \
    "\"expires\":2,"

TEST(the_head_of_a_manifest_that_cannot_be_read)
{
    struct desired d = {.rev = 0};
    struct arena *arena = arena_new(65536);
    struct err err = ERR_INIT;

    CHECK(manifest_head(BUF_LIT(HEAD("limpet.desired/9") "\"id\":\"r-1\",\"colour\":\"red\"}"), arena, &d));
    CHECK(d.rev == 4 && d.expires_s == 2);
    CHECK_STR(d.device, "dev-1");
    CHECK_STR(d.id, "r-1");
    CHECK(!manifest_head(BUF_LIT(HEAD("other/1") "\"apps\":[]}"), arena, &d));
    CHECK(!manifest_head(BUF_LIT("{\"schema\":\"limpet.desired/1\",\"rev\":4}"), arena, &d));
    CHECK(!manifest_head(BUF_LIT("[1,"), arena, &d));
    CHECK_OK(manifest_parse(BUF_LIT(HEAD("limpet.desired/1") "\"withdrawn\":true}"), arena, &d, &err), err);
    CHECK(d.withdrawn && d.n == 0);
    CHECK_ERR(
        manifest_parse(BUF_LIT(HEAD("limpet.desired/1") "\"withdrawn\":true,\"apps\":[]}"), arena, &d, &err),
        ERR_INVALID, err);
    CHECK_MSG(err, "apps");
    (void)arena_free(arena);
}
TEST_MAIN
