/* fetch_coap_blocks.h - the blocks of one blob over CoAP: what was asked, what came, what is missing. Pure:
 * no libcoap, no clock, no network; the memory is what stands in struct blocks.
 *   singles (Block2, RFC 7959): each block has a question and a token of its own, a few under way at a time.
 *   sets (Q-Block2, RFC 9177): one question names up to BLOCKS_SET blocks, and all of them come with its
 *   token. The
 *     next set is asked for when this one is here; what is missing of it is asked for again, with a new
 *     token. An
 *     answer to an earlier question of this blob still counts. A block that nobody waits for does not. */
#ifndef OTA_FETCH_COAP_BLOCKS_H
#define OTA_FETCH_COAP_BLOCKS_H
#include "platform/err.h"
#include "platform/mem.h"

#define BLOCKS_SZX     6 /* 1024 bytes: the largest that CoAP over UDP has */
#define BLOCKS_BYTES   1024
#define BLOCKS_TOKEN   8
#define BLOCKS_TOKENS  8    /* of questions for sets: this one and those before it */
#define BLOCKS_WINDOW  8    /* singles under way: grows with quick answers, falls to 1 with a slow one */
#define BLOCKS_SLOW_MS 2000 /* ACK_TIMEOUT of RFC 7252: a single that takes longer was asked for twice */
/* Of RFC 9177: MAX_PAYLOADS, NON_RECEIVE_TIMEOUT (twice NON_TIMEOUT; doubled with each question that has no
 * answer at all), NON_MAX_RETRANSMIT. */
#define BLOCKS_SET     10
#define BLOCKS_WAIT_MS 4000
#define BLOCKS_TRIES   4
/* Blocks of a set come one behind the other. When one is here and then none for twice the way there and back,
 * at least QUIET, the rest is lost; behind the last one only those may come that it has overtaken. */
#define BLOCKS_QUIET_MS 500
#define BLOCKS_LATE_MS  100

struct block_ask {
    uint64_t at, sent_ms;
    uint8_t token[BLOCKS_TOKEN], data[BLOCKS_BYTES];
    unsigned szx; /* that was asked with */
    uint16_t len;
    bool answered, last;
};
/* What an answer says of itself. */
struct block_answer {
    const uint8_t *token, *data;
    size_t token_len, len;
    bool has_block, more;
    uint32_t num;
    unsigned szx;
};
/* The asks are a ring in the order of their offsets. */
struct blocks {
    struct block_ask asks[BLOCKS_SET];
    unsigned first, n, window, szx;
    uint64_t next_at; /* offset behind the last ask */
    bool ended;       /* the last block of a blob of unknown size is here */
    bool sets;
    /* of sets only: the last question */
    uint8_t tokens[BLOCKS_TOKENS][BLOCKS_TOKEN];
    unsigned n_tokens;    /* so many were made; the newest BLOCKS_TOKENS are kept */
    unsigned named, came; /* blocks in it; of them here */
    unsigned tries;       /* questions without an answer */
    bool first_came, last_came;
    bool whole;                 /* nothing of it is here: the question for it is "from the start" ... */
    bool list;                  /* ... or was a list */
    uint64_t first_at, last_at; /* of the blocks in it */
    uint64_t sent_ms, came_ms;
    uint64_t row_ms; /* of the first question in a row without answers */
    uint64_t way_ms; /* from there to the first answer: the way there and back */
};

/* Nothing is asked: from offset `at` on (the first unanswered one when *b has asks). */
void blocks_begin(struct blocks *b, uint64_t at, bool sets);
struct block_ask *blocks_at(struct blocks *b, unsigned i);
static inline uint64_t blocks_size(const struct blocks *b)
{
    return (uint64_t)1 << (b->szx + 4);
}
/* Asks for the block at `at`, which lies at or behind next_at; there is room for it. */
struct block_ask *blocks_add(struct blocks *b, uint64_t at);
/* The next bytes in order, which the caller hands on before blocks_drop; NULL: not here yet. */
const struct block_ask *blocks_ready(struct blocks *b);
void blocks_drop(struct blocks *b);

/* Whose answer is it? */
enum blocks_match {
    BLOCKS_STRANGE,  /* the token of no question */
    BLOCKS_NEEDLESS, /* of a set, but nobody waits for this block */
    BLOCKS_WANTED,
};
/* *ret: the ask that the answer is for, only with BLOCKS_WANTED. */
enum blocks_match blocks_match(struct blocks *b, const struct block_answer *answer, struct block_ask **ret);
/* Takes exactly the block that was asked for: neither gap nor overlap, full unless it is the last. size: of
 * the blob, 0 unknown. A peer with smaller blocks is followed: what was asked behind this one is asked again.
 * Errors: NET (another block), INTEGRITY (another end). */
NODISCARD int blocks_take(struct blocks *b, struct block_ask *a, const struct block_answer *answer,
                          uint64_t size, uint64_t now_ms, struct err *err);

/* ---- sets ---- */

/* What is known of a peer, for as long as the program runs. */
enum blocks_peer {
    PEER_UNKNOWN,
    PEER_SINGLES, /* refuses Q-Block2 */
    PEER_SETS,    /* has it */
    /* has it, but only for a client that begins with block 0 (libcoap's server keeps state then) */
    PEER_FROM_START,
};
enum blocks_way { WAY_SINGLES, WAY_TRY, WAY_SETS };
/* at: the next n (at most BLOCKS_SET) blocks that are wanted, of a blob of `size` bytes (0 unknown). */
enum blocks_way blocks_way_decide(enum blocks_peer peer, uint64_t size, unsigned szx, const uint64_t *at,
                                  unsigned n);
/* Is that all of the first set? Then the question for it can be "all of the blob from its start, set by
 * set". */
bool blocks_is_start(uint64_t size, unsigned szx, const uint64_t *at, unsigned n);

/* A question for all unanswered asks goes out: as b->whole "from the start", else a list of them. */
void blocks_asked(struct blocks *b, const uint8_t token[BLOCKS_TOKEN], uint64_t now_ms);

enum blocks_step {
    BLOCKS_PATIENCE, /* until *ret_due_ms */
    BLOCKS_AGAIN,    /* ask for what is missing */
    BLOCKS_ONLY_ONE, /* of a list it sent only the first: from now on one by one */
    BLOCKS_DEAD,     /* it does not answer */
};
/* What to do about the set under way at now_ms (clock_boot_ms). */
enum blocks_step blocks_step_decide(const struct blocks *b, uint64_t now_ms, uint64_t *ret_due_ms);
#endif
