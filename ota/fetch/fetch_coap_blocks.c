#include "ota/fetch/fetch_coap_blocks.h"

#include <inttypes.h>

struct block_ask *blocks_at(struct blocks *b, unsigned i)
{
    return &b->asks[(b->first + i) % BLOCKS_SET];
}

void blocks_begin(struct blocks *b, uint64_t at, bool sets)
{
    b->next_at = b->n > 0 ? blocks_at(b, 0)->at : at;
    b->first = b->n = b->n_tokens = b->named = b->came = b->tries = 0;
    b->way_ms = 0;
    b->window = 1;
    b->sets = sets;
    b->whole = false;
}

struct block_ask *blocks_add(struct blocks *b, uint64_t at)
{
    struct block_ask *a = blocks_at(b, b->n++);

    a->at = at;
    a->szx = b->szx;
    a->answered = false;
    b->next_at = at + blocks_size(b);
    return a;
}

const struct block_ask *blocks_ready(struct blocks *b)
{
    return b->n > 0 && blocks_at(b, 0)->answered ? blocks_at(b, 0) : NULL;
}

void blocks_drop(struct blocks *b)
{
    b->first = (b->first + 1) % BLOCKS_SET;
    b->n--;
}

/* ---- responses ---- */

static bool same_token(const struct block_answer *answer, const uint8_t token[BLOCKS_TOKEN])
{
    return answer->token_len == BLOCKS_TOKEN && memcmp(answer->token, token, BLOCKS_TOKEN) == 0;
}

static enum blocks_match match_set(struct blocks *b, const struct block_answer *answer,
                                   struct block_ask **ret)
{
    uint64_t at = answer->has_block ? (uint64_t)answer->num << (answer->szx + 4) : 0;
    bool known = false;

    for (unsigned i = 0; i < b->n_tokens && i < BLOCKS_TOKENS; i++)
        known |= same_token(answer, b->tokens[i]);
    if (!known)
        return BLOCKS_STRANGE;
    for (unsigned i = 0; i < b->n; i++)
        if (blocks_at(b, i)->at == at && !blocks_at(b, i)->answered) {
            *ret = blocks_at(b, i);
            return BLOCKS_WANTED;
        }
    return BLOCKS_NEEDLESS;
}

enum blocks_match blocks_match(struct blocks *b, const struct block_answer *answer, struct block_ask **ret)
{
    if (b->sets)
        return match_set(b, answer, ret);
    for (unsigned i = 0; i < b->n; i++)
        if (same_token(answer, blocks_at(b, i)->token)) {
            *ret = blocks_at(b, i);
            return (*ret)->answered ? BLOCKS_NEEDLESS : BLOCKS_WANTED;
        }
    return BLOCKS_STRANGE;
}

static int judge(const struct block_ask *a, const struct block_answer *w, uint64_t size, struct err *err)
{
    uint64_t full = (uint64_t)1 << (w->szx + 4);

    if (w->szx > a->szx || w->num * full != a->at)
        return err_set(err, ERR_NET, "answers with another block than was asked");
    if (w->more ? w->len != full : w->len > full)
        return err_set(err, ERR_NET, "answers with a block of %zu bytes", w->len);
    if (size && (a->at + w->len > size || !w->more != (a->at + w->len == size)))
        return err_set(err, ERR_INTEGRITY, "is not of the %" PRIu64 " bytes that were signed", size);
    return 0;
}

/* Smaller blocks from here on. In a set whose first block is missing none is kept: one request has one size.
 * A server asked "from the start" is now sending the first of its blocks. */
static bool shrink(struct blocks *b, const struct block_ask *a, unsigned szx, uint64_t size)
{
    uint64_t at = a->at;

    b->szx = szx < b->szx ? szx : b->szx;
    if (b->sets && a != blocks_at(b, 0)) {
        b->next_at = blocks_at(b, 0)->at;
        b->n = 0;
        return false;
    }
    while (b->n > 0 && blocks_at(b, b->n - 1)->at > at)
        b->n--;
    b->next_at = at + blocks_size(b);
    while (b->sets && !b->list && b->n < BLOCKS_SET && b->next_at < size)
        b->last_at = blocks_add(b, b->next_at)->at;
    return true;
}

static void note_came(struct blocks *b, const struct block_ask *a, uint64_t now_ms)
{
    if (b->came++ == 0)
        b->way_ms = now_ms - b->row_ms;
    b->came_ms = now_ms;
    b->first_came |= a->at == b->first_at;
    b->last_came |= a->at == b->last_at;
    b->whole = false;
}

int blocks_take(struct blocks *b, struct block_ask *a, const struct block_answer *answer, uint64_t size,
                uint64_t now_ms, struct err *err)
{
    struct block_answer whole = *answer;

    if (!answer->has_block) {
        whole.num = 0;
        whole.szx = BLOCKS_SZX;
        whole.more = false;
        if (a->at != 0)
            return err_set(err, ERR_NET, "answers without a block");
    }
    if (answer->len > BLOCKS_BYTES)
        return err_set(err, ERR_NET, "answers with a block of %zu bytes", answer->len);
    int rc = judge(a, &whole, size, err);
    if (rc < 0 || (whole.szx < a->szx && whole.more && !shrink(b, a, whole.szx, size)))
        return rc;
    if (answer->len)
        memcpy(a->data, answer->data, answer->len);
    a->len = (uint16_t)answer->len;
    a->last = !whole.more;
    a->answered = true;
    if (b->sets)
        note_came(b, a, now_ms);
    else if (now_ms - a->sent_ms >= BLOCKS_SLOW_MS)
        b->window = 1;
    else if (b->window < BLOCKS_WINDOW)
        b->window++;
    return 0;
}

/* ---- sets ---- */

bool blocks_is_start(uint64_t size, unsigned szx, const uint64_t *at, unsigned n)
{
    uint64_t block = (uint64_t)1 << (szx + 4), all = (size + block - 1) / block;

    for (unsigned i = 0; i < n; i++)
        if (at[i] != i * block)
            return false;
    return n > 0 && n == (all < BLOCKS_SET ? all : BLOCKS_SET);
}

enum blocks_way blocks_way_decide(enum blocks_peer peer, uint64_t size, unsigned szx, const uint64_t *at,
                                  unsigned n)
{
    if (size == 0 || n == 0 || peer == PEER_SINGLES)
        return WAY_SINGLES;
    if (peer == PEER_UNKNOWN)
        return n > 1 ? WAY_TRY : WAY_SINGLES;
    return peer == PEER_SETS || blocks_is_start(size, szx, at, n) ? WAY_SETS : WAY_SINGLES;
}

void blocks_asked(struct blocks *b, const uint8_t token[BLOCKS_TOKEN], uint64_t now_ms)
{
    memcpy(b->tokens[b->n_tokens++ % BLOCKS_TOKENS], token, BLOCKS_TOKEN);
    b->tries = b->named > 0 && b->came == 0 ? b->tries + 1 : 0;
    if (b->tries == 0)
        b->row_ms = now_ms;
    b->named = b->came = 0;
    b->first_came = b->last_came = false;
    b->list = !b->whole;
    b->sent_ms = now_ms;
    for (unsigned i = 0; i < b->n; i++) {
        const struct block_ask *a = blocks_at(b, i);
        if (a->answered)
            continue;
        if (b->named++ == 0)
            b->first_at = a->at;
        b->last_at = a->at;
    }
}

static uint64_t patience(const struct blocks *b)
{
    uint64_t twice = 2 * b->way_ms;

    if (b->came == 0)
        return b->sent_ms + ((twice > BLOCKS_WAIT_MS ? twice : BLOCKS_WAIT_MS) << b->tries);
    if (b->last_came)
        return b->came_ms + BLOCKS_LATE_MS;
    return b->came_ms + (twice < BLOCKS_QUIET_MS  ? BLOCKS_QUIET_MS
                         : twice > BLOCKS_WAIT_MS ? BLOCKS_WAIT_MS
                                                  : twice);
}

enum blocks_step blocks_step_decide(const struct blocks *b, uint64_t now_ms, uint64_t *ret_due_ms)
{
    uint64_t due = patience(b);

    if (now_ms < due) {
        *ret_due_ms = due;
        return BLOCKS_PATIENCE;
    }
    if (b->came == 0 && b->tries >= BLOCKS_TRIES)
        return BLOCKS_DEAD;
    /* all but the first lost by chance: rare, and then the link is unsuited to sets anyway */
    return b->list && b->came == 1 && b->first_came && b->named > 2 ? BLOCKS_ONLY_ONE : BLOCKS_AGAIN;
}
