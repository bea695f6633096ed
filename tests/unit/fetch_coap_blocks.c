/* Blocks over CoAP: what was asked, what came, what is missing. */
#include "ota/fetch/fetch_coap_blocks.h"
#include "check.h"

static uint8_t bytes[BLOCKS_BYTES];
static struct blocks b;
static struct err err;

/* A question for n blocks from `at` on; all of its token is `token`. */
static void ask_set(uint64_t at, unsigned n, uint8_t token, uint64_t now_ms)
{
    uint8_t t[BLOCKS_TOKEN];

    memset(t, token, sizeof(t));
    for (unsigned i = 0; i < n; i++)
        blocks_add(&b, at + i * blocks_size(&b));
    blocks_asked(&b, t, now_ms);
}

static void begin(uint64_t at, bool sets)
{
    b = (struct blocks){.szx = BLOCKS_SZX};
    err = ERR_INIT;
    blocks_begin(&b, at, sets);
}

static enum blocks_match come(uint8_t token, uint32_t num, unsigned szx, bool more, size_t len, uint64_t size,
                              uint64_t now_ms, int *ret)
{
    uint8_t t[BLOCKS_TOKEN];
    struct block_ask *a = NULL;

    memset(t, token, sizeof(t));
    struct block_answer w = {.token = t,
                             .token_len = sizeof(t),
                             .data = bytes,
                             .len = len,
                             .has_block = true,
                             .more = more,
                             .num = num,
                             .szx = szx};
    enum blocks_match match = blocks_match(&b, &w, &a);
    *ret = match == BLOCKS_WANTED ? blocks_take(&b, a, &w, size, now_ms, &err) : 0;
    return match;
}

/* As many blocks as are here in order. */
static unsigned ready(void)
{
    unsigned n = 0;

    for (; blocks_ready(&b); n++)
        blocks_drop(&b);
    return n;
}

TEST(singles_have_a_token_each)
{
    int r = 0;

    begin(5 * 1024, false);
    for (uint8_t i = 0; i < 3; i++)
        memset(blocks_add(&b, b.next_at)->token, 10 + i, BLOCKS_TOKEN);
    CHECK(b.next_at == 8 * 1024);
    CHECK(come(9, 5, 6, true, 1024, 0, 0, &r) == BLOCKS_STRANGE);
    CHECK(come(11, 6, 6, true, 1024, 0, 0, &r) == BLOCKS_WANTED && r == 0);
    CHECK(come(11, 6, 6, true, 1024, 0, 0, &r) == BLOCKS_NEEDLESS);
    CHECK(ready() == 0);
    CHECK(come(10, 5, 6, true, 1024, 0, 0, &r) == BLOCKS_WANTED && r == 0);
    CHECK(ready() == 2 && b.n == 1 && b.window == 3);
    CHECK(come(12, 6, 6, true, 1024, 0, 0, &r) == BLOCKS_WANTED && r == -ERR_NET);
    CHECK(come(12, 7, 6, true, 1024, 0, 5000, &r) == BLOCKS_WANTED && r == 0);
    CHECK(b.window == 1);
}

TEST(a_block_is_what_was_asked_for)
{
    static const struct {
        uint32_t num;
        unsigned szx;
        bool more;
        size_t len;
        uint64_t size;
        int want;
    } rows[] = {
        {3, 6, true, 1024, 5000, 0},
        {4, 6, true, 1024, 5000, -ERR_NET},
        {3, 6, true, 1000, 5000, -ERR_NET},
        {3, 6, false, 1024, 5000, -ERR_INTEGRITY},
        {3, 6, true, 1024, 4096, -ERR_INTEGRITY},
        {3, 6, false, 1024, 4096, 0},
        {3, 6, false, 928, 4000, 0},
        {3, 6, false, 927, 4000, -ERR_INTEGRITY},
        {3, 6, false, 1025, 0, -ERR_NET},
        {3, 6, false, 7, 0, 0},
        {1, 7, true, 1024, 5000, -ERR_NET},
        {6, 5, true, 512, 5000, 0},
        {7, 5, true, 512, 5000, -ERR_NET},
        {6, 5, true, 1024, 5000, -ERR_NET},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int r = 0;
        begin(3 * 1024, false);
        memset(blocks_add(&b, b.next_at)->token, 1, BLOCKS_TOKEN);
        CHECK(come(1, rows[i].num, rows[i].szx, rows[i].more, rows[i].len, rows[i].size, 0, &r) ==
              BLOCKS_WANTED);
        if (r != rows[i].want)
            printf("row %zu: %d, not %d: %s\n", i, r, rows[i].want, err.msg);
        CHECK(r == rows[i].want && (r == 0) == b.asks[0].answered);
    }
}

TEST(a_set_is_matched_by_number_and_any_of_its_tokens)
{
    uint64_t due = 0;
    int r = 0;

    begin(0, true);
    ask_set(0, 4, 1, 1000);
    CHECK(come(2, 0, 6, true, 1024, 9999, 1100, &r) == BLOCKS_STRANGE);
    CHECK(come(1, 9, 6, true, 1024, 9999, 1100, &r) == BLOCKS_NEEDLESS);
    CHECK(come(1, 2, 6, true, 1024, 9999, 1100, &r) == BLOCKS_WANTED && r == 0);
    CHECK(come(1, 2, 6, true, 1024, 9999, 1100, &r) == BLOCKS_NEEDLESS);
    CHECK(ready() == 0);
    CHECK(blocks_step_decide(&b, 1599, &due) == BLOCKS_PATIENCE && due == 1600);
    CHECK(blocks_step_decide(&b, 1600, &due) == BLOCKS_AGAIN);
    ask_set(0, 0, 2, 1600);
    CHECK(b.named == 3 && b.first_at == 0 && b.last_at == 3 * 1024);
    CHECK(come(1, 0, 6, true, 1024, 9999, 1700, &r) == BLOCKS_WANTED && r == 0);
    CHECK(come(2, 1, 6, true, 1024, 9999, 1700, &r) == BLOCKS_WANTED && r == 0);
    CHECK(come(2, 3, 6, true, 1024, 9999, 1700, &r) == BLOCKS_WANTED && r == 0);
    CHECK(ready() == 4 && b.n == 0 && b.next_at == 4096);
    /* a new blob: the old tokens are those of nobody */
    blocks_begin(&b, 0, true);
    ask_set(0, 4, 3, 2000);
    CHECK(come(1, 0, 6, true, 1024, 9999, 2000, &r) == BLOCKS_STRANGE);
}

TEST(old_tokens_are_forgotten_in_order)
{
    int r = 0;

    begin(0, true);
    ask_set(0, 2, 1, 0);
    for (uint8_t i = 2; i <= BLOCKS_TOKENS; i++)
        ask_set(0, 0, i, 0);
    CHECK(come(1, 0, 6, true, 1024, 9999, 0, &r) == BLOCKS_WANTED && r == 0);
    ask_set(0, 0, BLOCKS_TOKENS + 1, 0);
    CHECK(come(1, 1, 6, true, 1024, 9999, 0, &r) == BLOCKS_STRANGE);
    CHECK(come(2, 1, 6, true, 1024, 9999, 0, &r) == BLOCKS_WANTED && r == 0);
}

TEST(without_any_answer_it_waits_longer_each_time)
{
    uint64_t now = 100, due = 0;
    unsigned questions = 1;

    begin(0, true);
    ask_set(0, 10, 1, now);
    for (unsigned turn = 0; turn < 100 && blocks_step_decide(&b, now, &due) != BLOCKS_DEAD; turn++) {
        if (blocks_step_decide(&b, now, &due) == BLOCKS_PATIENCE) {
            now = due;
            continue;
        }
        ask_set(0, 0, 1, now);
        questions++;
    }
    CHECK(questions == 1 + BLOCKS_TRIES && now == 100 + 4000 * (1 + 2 + 4 + 8 + 16));
    /* where the way is long, the next set is not asked for twice */
    int r = 0;
    begin(0, true);
    ask_set(0, 1, 1, 0);
    ask_set(0, 0, 2, 4000);
    CHECK(come(1, 0, 6, true, 1024, 9999, 5000, &r) == BLOCKS_WANTED && r == 0 && ready() == 1);
    ask_set(1024, 2, 3, 5000);
    CHECK(blocks_step_decide(&b, 14999, &due) == BLOCKS_PATIENCE && due == 15000);
}

TEST(the_rest_is_asked_for_when_the_last_is_here)
{
    uint64_t due = 0;
    int r = 0;

    begin(0, true);
    ask_set(0, 10, 1, 0);
    CHECK(come(1, 0, 6, true, 1024, 99999, 300, &r) == BLOCKS_WANTED);
    CHECK(blocks_step_decide(&b, 300, &due) == BLOCKS_PATIENCE && due == 900);
    CHECK(come(1, 9, 6, true, 1024, 99999, 310, &r) == BLOCKS_WANTED);
    CHECK(blocks_step_decide(&b, 311, &due) == BLOCKS_PATIENCE && due == 410);
    CHECK(blocks_step_decide(&b, 410, &due) == BLOCKS_AGAIN);
}

TEST(a_peer_that_sends_only_the_first_of_a_list)
{
    uint64_t due = 0;
    int r = 0;

    begin(3072, true);
    ask_set(3072, 10, 1, 0);
    CHECK(come(1, 3, 6, true, 1024, 99999, 10, &r) == BLOCKS_WANTED && ready() == 1);
    CHECK(blocks_step_decide(&b, 1000, &due) == BLOCKS_ONLY_ONE);
    blocks_begin(&b, b.next_at, false);
    CHECK(b.n == 0 && b.next_at == 4096);
    /* it was another one: loss */
    begin(3072, true);
    ask_set(3072, 10, 1, 0);
    CHECK(come(1, 4, 6, true, 1024, 99999, 10, &r) == BLOCKS_WANTED);
    CHECK(blocks_step_decide(&b, 1000, &due) == BLOCKS_AGAIN);
    /* "from the start" is no list */
    begin(0, true);
    b.whole = true;
    ask_set(0, 10, 1, 0);
    CHECK(come(1, 0, 6, true, 1024, 99999, 10, &r) == BLOCKS_WANTED && !b.whole);
    CHECK(blocks_step_decide(&b, 1000, &due) == BLOCKS_AGAIN);
}

TEST(smaller_blocks)
{
    int r = 0;

    /* one by one: what was asked behind it is asked again */
    begin(0, false);
    for (uint8_t i = 0; i < 4; i++)
        memset(blocks_add(&b, b.next_at)->token, 10 + i, BLOCKS_TOKEN);
    CHECK(come(11, 4, 4, true, 256, 9999, 0, &r) == BLOCKS_WANTED && r == 0);
    CHECK(b.n == 2 && b.szx == 4 && b.next_at == 1024 + 256);
    /* a list: only its first is of use */
    begin(0, true);
    ask_set(0, 4, 1, 0);
    CHECK(come(1, 4, 5, true, 512, 9999, 0, &r) == BLOCKS_WANTED && r == 0);
    CHECK(b.n == 0 && b.szx == 5 && b.next_at == 0);
    begin(0, true);
    ask_set(0, 4, 1, 0);
    CHECK(come(1, 0, 5, true, 512, 9999, 0, &r) == BLOCKS_WANTED && r == 0);
    CHECK(b.n == 1 && b.szx == 5 && b.next_at == 512 && ready() == 1);
    /* from the start: the first ten of them are under way, and not more than there are */
    for (int large = 0; large < 2; large++) {
        uint64_t size = large ? 9999 : 3999;
        begin(0, true);
        b.whole = true;
        ask_set(0, size > 9000 ? 10 : 4, 1, 0);
        CHECK(come(1, 0, 5, true, 512, size, 0, &r) == BLOCKS_WANTED && r == 0);
        CHECK(b.n == (size > 9000 ? 10 : 8) && b.last_at == (b.n - 1) * 512ULL);
        CHECK(come(1, 7, 5, size > 9000, size > 9000 ? 512 : 415, size, 0, &r) == BLOCKS_WANTED && r == 0);
    }
}

TEST(the_way_is_chosen)
{
    uint64_t from_start[BLOCKS_SET], middle[BLOCKS_SET];

    for (unsigned i = 0; i < BLOCKS_SET; i++) {
        from_start[i] = i * 1024;
        middle[i] = (50 + i) * 1024;
    }
    CHECK(blocks_is_start(99999, 6, from_start, 10) && blocks_is_start(2500, 6, from_start, 3));
    CHECK(!blocks_is_start(99999, 6, from_start, 9) && !blocks_is_start(99999, 6, middle, 10));
    CHECK(!blocks_is_start(99999, 5, from_start, 10) && !blocks_is_start(99999, 6, from_start, 0));
    static const struct {
        enum blocks_peer peer;
        uint64_t size;
        bool start;
        unsigned n;
        enum blocks_way want;
    } rows[] = {
        {PEER_UNKNOWN, 99999, true, 10, WAY_TRY},
        {PEER_UNKNOWN, 99999, false, 2, WAY_TRY},
        {PEER_UNKNOWN, 99999, false, 1, WAY_SINGLES},
        {PEER_UNKNOWN, 0, true, 10, WAY_SINGLES},
        {PEER_SINGLES, 99999, true, 10, WAY_SINGLES},
        {PEER_SETS, 99999, false, 1, WAY_SETS},
        {PEER_SETS, 0, true, 10, WAY_SINGLES},
        {PEER_SETS, 99999, true, 0, WAY_SINGLES},
        {PEER_FROM_START, 99999, true, 10, WAY_SETS},
        {PEER_FROM_START, 99999, true, 9, WAY_SINGLES},
        {PEER_FROM_START, 99999, false, 10, WAY_SINGLES},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        CHECK(blocks_way_decide(rows[i].peer, rows[i].size, 6, rows[i].start ? from_start : middle,
                                rows[i].n) == rows[i].want);
}

TEST_MAIN
