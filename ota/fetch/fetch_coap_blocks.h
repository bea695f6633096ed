/* fetch_coap_blocks.h - the blocks of one blob over CoAP: requested, received, missing. Pure: no libcoap, no
 * clock, no network; all memory is in struct blocks.
 *   singles (Block2, RFC 7959): each block has its own request and token, several in flight at a time.
 *   sets (Q-Block2, RFC 9177): one request names up to BLOCKS_SET blocks, and all of them arrive with its
 *     token. The next set is requested once this one is complete; what is missing of it is requested again,
 *     with a new token. A response to an earlier request for this blob counts if its block is wanted. */
#ifndef OTA_FETCH_COAP_BLOCKS_H
#define OTA_FETCH_COAP_BLOCKS_H
#include "platform/err.h"
#include "platform/mem.h"

#define BLOCKS_SZX     6 /* 1024 bytes: the maximum of CoAP over UDP */
#define BLOCKS_BYTES   1024
#define BLOCKS_TOKEN   8
#define BLOCKS_TOKENS  8    /* of requests for sets: the current one and earlier ones */
#define BLOCKS_WINDOW  8    /* singles in flight: grows with quick responses, falls to 1 with a slow one */
#define BLOCKS_SLOW_MS 2000 /* ACK_TIMEOUT of RFC 7252: a slower single was sent twice */
/* From RFC 9177: MAX_PAYLOADS, NON_RECEIVE_TIMEOUT (twice NON_TIMEOUT; doubled with each request that gets no
 * response at all), NON_MAX_RETRANSMIT. */
#define BLOCKS_SET     10
#define BLOCKS_WAIT_MS 4000
#define BLOCKS_TRIES   4
/* The blocks of a set arrive one after the other. If one has arrived and then none for twice the round trip,
 * at least QUIET, the rest is lost; after the last one only blocks that it overtook can arrive. */
#define BLOCKS_QUIET_MS 500
#define BLOCKS_LATE_MS  100

struct block_ask {
    uint64_t at, sent_ms;
    uint8_t token[BLOCKS_TOKEN], data[BLOCKS_BYTES];
    unsigned szx; /* as requested */
    uint16_t len;
    bool answered, last;
};
/* What a response says about itself. */
struct block_answer {
    const uint8_t *token, *data;
    size_t token_len, len;
    bool has_block, more;
    uint32_t num;
    unsigned szx;
};
/* The asks are a ring ordered by their offsets. */
struct blocks {
    struct block_ask asks[BLOCKS_SET];
    unsigned first, n, window, szx;
    uint64_t next_at; /* offset after the last ask */
    bool ended;       /* the last block of a blob of unknown size has arrived */
    bool sets;
    /* only for sets: the last request */
    uint8_t tokens[BLOCKS_TOKENS][BLOCKS_TOKEN];
    unsigned n_tokens;    /* number made so far; the newest BLOCKS_TOKENS are kept */
    unsigned named, came; /* blocks in it; of those received */
    unsigned tries;       /* requests without a response */
    bool first_came, last_came;
    bool whole;                 /* none of it was received: request it "from the start" ... */
    bool list;                  /* ... or it was a list */
    uint64_t first_at, last_at; /* of the blocks in it */
    uint64_t sent_ms, came_ms;
    uint64_t row_ms; /* of the first of several requests without a response */
    uint64_t way_ms; /* from there to the first response: the round trip */
};

/* Request nothing yet: from offset `at` on (the first unanswered one if *b has asks). */
void blocks_begin(struct blocks *b, uint64_t at, bool sets);
struct block_ask *blocks_at(struct blocks *b, unsigned i);
static inline uint64_t blocks_size(const struct blocks *b)
{
    return (uint64_t)1 << (b->szx + 4);
}
/* Add an ask for the block at `at`, which is at or after next_at; there must be room for it. */
struct block_ask *blocks_add(struct blocks *b, uint64_t at);
/* The next bytes in order, which the caller passes on before blocks_drop; NULL: not received yet. */
const struct block_ask *blocks_ready(struct blocks *b);
void blocks_drop(struct blocks *b);

/* Which ask does a response belong to? */
enum blocks_match {
    BLOCKS_STRANGE,  /* unknown token */
    BLOCKS_NEEDLESS, /* of a set, but the block is not wanted */
    BLOCKS_WANTED,
};
/* *ret: the ask for this response, only with BLOCKS_WANTED. */
enum blocks_match blocks_match(struct blocks *b, const struct block_answer *answer, struct block_ask **ret);
/* Takes exactly the requested block: neither gap nor overlap, full unless it is the last. size: of the blob,
 * 0 unknown. If the peer uses smaller blocks so do we: what was requested after this one is requested again.
 * Errors: NET (another block), INTEGRITY (another end). */
NODISCARD int blocks_take(struct blocks *b, struct block_ask *a, const struct block_answer *answer,
                          uint64_t size, uint64_t now_ms, struct err *err);

/* ---- sets ---- */

/* What is known of a peer, as long as the program runs. */
enum blocks_peer {
    PEER_UNKNOWN,
    PEER_SINGLES, /* rejects Q-Block2 */
    PEER_SETS,    /* supports it */
    /* supports it, but only for a client that starts with block 0 (libcoap's server keeps state then) */
    PEER_FROM_START,
};
enum blocks_way { WAY_SINGLES, WAY_TRY, WAY_SETS };
/* at: the next n (at most BLOCKS_SET) blocks wanted, of a blob of `size` bytes (0 unknown). */
enum blocks_way blocks_way_decide(enum blocks_peer peer, uint64_t size, unsigned szx, const uint64_t *at,
                                  unsigned n);
/* Is that the complete first set? Then the request for it can be "all of the blob from its start, set by
 * set". */
bool blocks_is_start(uint64_t size, unsigned szx, const uint64_t *at, unsigned n);

/* A request for all unanswered asks is sent: with b->whole as "from the start", else as a list. */
void blocks_asked(struct blocks *b, const uint8_t token[BLOCKS_TOKEN], uint64_t now_ms);

enum blocks_step {
    BLOCKS_PATIENCE, /* wait until *ret_due_ms */
    BLOCKS_AGAIN,    /* request what is missing */
    BLOCKS_ONLY_ONE, /* it sent only the first of a list: from now on one by one */
    BLOCKS_DEAD,     /* it does not respond */
};
/* What to do about the current set at now_ms (clock_boot_ms). */
enum blocks_step blocks_step_decide(const struct blocks *b, uint64_t now_ms, uint64_t *ret_due_ms);
#endif
