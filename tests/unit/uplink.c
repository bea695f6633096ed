/* What link may say, how often core listens to a source, what link keeps meanwhile. */
#include "agent/decide/bucket.h"
#include "agent/link/link_outbox.h"
#include "agent/turn/uplink_said.h"
#include "tests/unit/check.h"

static const struct config config = {
    .device = "gw-1", .fleet = "demo", .groups = {"line-a", "line-b"}, .n_groups = 2};

static int parse(const char *text, struct said *ret, struct err *err)
{
    static char msg[400];

    (void)str_copy(msg, sizeof(msg), text);
    return uplink_said_parse(&config, msg, strlen(text), ret, err);
}

TEST(link_s_words_are_taken_apart)
{
    struct err err = ERR_INIT;
    struct said s;

    CHECK_OK(parse("doc group:line-b\nbytes\n\x01", &s, &err), err);
    CHECK(s.word == SAID_DOC && s.source == SAID_GROUPS + 1 && buf_eq(s.packed, BUF_LIT("bytes\n\x01")));
    CHECK_STR(s.source_text, "group:line-b");
    CHECK_OK(parse("doc trust/3\n", &s, &err), err);
    CHECK(s.source == SAID_TRUST && s.packed.len == 0);
    CHECK_OK(parse("clear group:all", &s, &err), err);
    CHECK(s.word == SAID_CLEAR && s.source == SAID_GROUP_ALL);
    CHECK_OK(parse("bad cmd a  text with \x1b[2J", &s, &err), err);
    CHECK(s.word == SAID_BAD && s.source == SAID_COMMAND);
    CHECK_STR(s.text, "a  text with ?[2J");
    CHECK_OK(parse("up 5", &s, &err), err);
    CHECK(s.word == SAID_UP);
    CHECK_OK(parse("down network no route: it is far", &s, &err), err);
    CHECK_STR(s.text, "network no route: it is far");
    CHECK_OK(parse("ack 4294967295 0", &s, &err), err);
    CHECK(s.id == UINT32_MAX && s.sent);
    CHECK_OK(parse("ack 7 255", &s, &err), err);
    CHECK(s.id == 7 && !s.sent);
    CHECK_OK(parse("cmd logs c-91 ops-a 1785500030 web 100", &s, &err), err);
    CHECK(s.word == SAID_CMD && s.source == SAID_COMMAND && s.command.exp_s == 1785500030 &&
          s.command.lines == 100);
    CHECK_STR(s.command.reply, "ops-a");
    CHECK_STR(s.command.app, "web");
    CHECK_OK(parse("cmd status c-91 ops-a 0 - 20", &s, &err), err);
    CHECK_STR(s.command.app, "");
}

TEST(link_says_nothing_else)
{
    static const char *const rows[] = {
        "",
        "doc",
        "doc device",   /* no bytes */
        "doc local\nx", /* the console's */
        "doc group:other\nx",
        "doc group:\nx",
        "doc cmd\nx",
        "doc device more\nx",
        "doc  device\nx",
        "clear local",
        "clear cmd",
        "clear device\nx",
        "bad local text",
        "bad device",
        "bad device ",
        "up 6",
        "up 5 5",
        "down ",
        "ack 1",
        "ack 0 0",
        "ack -1 0",
        "ack 4294967296 0",
        "ack 1 256",
        "cmd logs c-91 ops-a 1785500030 web",
        "cmd logs c-91 ops-a 1785500030 web 100 more",
        "cmd logs c-91 limpet1/demo/d/gw-2/state 1785500030 web 100",
        "cmd logs c-91 .. 1785500030 web 100",
        "cmd logs c-91 ops-a -1 web 100",
        "cmd logs c-91 ops-a 1785500030 ../web 100",
        "cmd logs c-91 ops-a 1785500030 web 0",
        "cmd Logs c-91 ops-a 1785500030 web 1",
        "cmd logs c\x7f ops-a 1785500030 web 1",
        "stop",
        "documents device\nx",
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        struct said s = {.source = 99};
        if (parse(rows[i], &s, &err) == 0)
            printf("taken: %s\n", rows[i]);
        CHECK(err.kind == ERR_INVALID && s.source == 99);
    }
    struct err err = ERR_INIT;
    struct said s;
    char nul[] = "clear device\0x";
    CHECK_ERR(uplink_said_parse(&config, nul, sizeof(nul) - 1, &s, &err), ERR_INVALID, err);
}

TEST(a_bucket_gives_some_at_once_then_one_by_one)
{
    const struct bucket_rate rate = {3, 1000};
    struct bucket b = {0};

    CHECK(bucket_take(&b, rate, 50000) == 50000);
    CHECK(bucket_take(&b, rate, 50000) == 50000);
    CHECK(bucket_take(&b, rate, 50000) == 51000);
    CHECK(bucket_take(&b, rate, 51000) == 52000);
    CHECK(bucket_take(&b, rate, 51500) == 53000); /* who does not wait waits longer */
    CHECK(bucket_take(&b, rate, 60000) == 60000);
    CHECK(bucket_take(&b, rate, 60000) == 60000);
    CHECK(bucket_take(&b, rate, 60000) == 61000);
    const struct bucket_rate one = {1, 10};
    b = (struct bucket){0};
    CHECK(bucket_take(&b, one, 5) == 15);
}

/* ---- link's outbox ---- */

static struct {
    char text[2000];
    unsigned room;
} core;

static bool hear(void *arg, const char *text)
{
    (void)arg;
    if (core.room == 0)
        return false;
    core.room--;
    size_t n = strlen(core.text);
    (void)str_fmt(core.text + n, sizeof(core.text) - n, "%s|", text);
    return true;
}

static bool hear_item(void *arg, const struct outbox_item *i)
{
    char text[400];

    (void)str_fmt(text, sizeof(text), "%s %.*s", i->source, (int)i->len, (const char *)i->bytes);
    return hear(arg, text);
}

static const struct outbox_calls calls = {hear, hear_item, NULL};

static const char *flushed(struct outbox *o, unsigned room, bool waits)
{
    core.text[0] = '\0';
    core.room = room;
    CHECK(link_outbox_flush(o, &calls) == waits);
    return core.text;
}

static void put(struct outbox *o, const char *source, const char *topic, const char *text)
{
    link_outbox_put(o, source, topic, buf_str(text), false);
}

static void drain(struct outbox *o)
{
    for (unsigned i = 0; i < 100; i++) {
        (void)flushed(o, 100, false);
        link_outbox_next(o, "cmd");
        link_outbox_next(o, "trust");
        link_outbox_next(o, "device");
        link_outbox_next(o, "group:all");
    }
    CHECK(o->n == 0 && o->n_commands == 0);
}

TEST(the_newest_of_each_topic_waits_for_core)
{
    struct outbox o = {0};

    put(&o, "device", "d/desired", "1");
    put(&o, "trust", "trust/1", "t1");
    put(&o, "trust", "trust/2", "t2");
    CHECK_STR(flushed(&o, 0, true), "");
    put(&o, "device", "d/desired", "2");
    put(&o, "cmd", "status", "s");
    CHECK_STR(flushed(&o, 100, false),
              "trust t1|cmd s|"); /* what is signed waits for all that says who signs */
    link_outbox_next(&o, "trust");
    link_outbox_next(&o, "nobody");
    link_outbox_next(&o, "");
    CHECK_STR(flushed(&o, 100, false), "trust t2|");
    CHECK_STR(flushed(&o, 100, false), "");
    link_outbox_next(&o, "trust");
    CHECK_STR(flushed(&o, 100, false), "device 2|");
    put(&o, "device", "d/desired", "3");
    put(&o, "group:all", "g/all", "g");
    put(&o, "device", "d/desired", "4");
    CHECK_STR(flushed(&o, 100, false), "group:all g|"); /* else nobody waits for another source */
    link_outbox_next(&o, "device");
    CHECK_STR(flushed(&o, 0, true), "");
    CHECK_STR(flushed(&o, 100, false), "device 4|");
    link_outbox_next(&o, "device");
    CHECK_STR(flushed(&o, 100, false), "");
    drain(&o);
}

TEST(words_go_first_and_none_is_lost)
{
    struct outbox o = {0};

    put(&o, "device", "d/desired", "1");
    link_outbox_ack(&o, 7, 0);
    link_outbox_ack(&o, 8, 255);
    link_outbox_state(&o, "down x");
    link_outbox_state(&o, "up 5");
    CHECK_STR(flushed(&o, 2, true), "up 5|ack 7 0|");
    CHECK_STR(flushed(&o, 100, false), "ack 8 255|device 1|");
    drain(&o);
}

TEST(commands_queue_and_what_is_too_much_is_told)
{
    struct outbox o = {0};

    for (unsigned i = 0; i < OUTBOX_COMMANDS + 3; i++)
        put(&o, "cmd", "logs", "c");
    put(&o, "device", "d/desired", "1");
    CHECK_STR(flushed(&o, 100, false), "cmd c|device 1|");
    for (unsigned i = 1; i < OUTBOX_COMMANDS; i++) {
        link_outbox_next(&o, "cmd");
        CHECK_STR(flushed(&o, 100, false), "cmd c|");
    }
    link_outbox_next(&o, "cmd");
    CHECK_STR(flushed(&o, 100, false), "bad cmd too many commands at once: 3 left out|");
    CHECK_STR(flushed(&o, 100, false), "");
    put(&o, "cmd", "logs", "again");
    CHECK_STR(flushed(&o, 100, false), "");
    link_outbox_next(&o, "cmd");
    CHECK_STR(flushed(&o, 100, false), "cmd again|");
    drain(&o);
}

TEST(a_flood_of_topics_is_bounded)
{
    struct outbox o = {0};
    char topic[32];

    for (unsigned i = 0; i < OUTBOX_FULL; i++) {
        CHECK(!link_outbox_is_full(&o));
        (void)str_fmt(topic, sizeof(topic), "trust/%u", i);
        put(&o, "trust", topic, "t");
    }
    CHECK(link_outbox_is_full(&o));
    drain(&o);
    CHECK(!link_outbox_is_full(&o));
}

TEST_MAIN
