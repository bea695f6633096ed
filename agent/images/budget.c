/* budget.c - what the candidate has downloaded, counted against update.download.max_bytes. The sum survives
 * core and reboots in state/spent: saved each time it has grown by a fraction of the limit, and when a job
 * ends; so a power cut loses at most that fraction. Without a limit nothing is written. */
#include <inttypes.h>
#include <stdio.h>

#include "agent/core.h"
#include "ota/doc/field.h"
#include "platform/fs.h"
#include "platform/limits.h"
#include "platform/log.h"

#define SPENT_FILE  "spent"
#define SPENT_BYTES 1024
#define SAVES       32          /* during a download of the whole limit */
#define SAVE_BYTES  (64 * 1024) /* but in steps of at least this */

static uint64_t bound(const struct core *c)
{
    return c->sets.candidate.arena ? c->sets.candidate.d.download.max_bytes : 0;
}

/* Another manifest has its own sum. */
static struct spent *account(struct core *c)
{
    struct spent *s = &c->spent;
    const struct digest *now = &c->state.ledger.saved[STATE_DESIRED];

    if (!digest_eq(&s->manifest, now))
        *s = (struct spent){.manifest = *now};
    return s;
}

static void save(struct core *c, struct spent *s)
{
    AUTO_JSON struct cJSON *o = json_obj();
    struct err err = ERR_INIT;
    char text_of[SHA256_TEXT];

    json_put_u64(o, "v", 2);
    json_put_str(o, "manifest", digest_text(&s->manifest, text_of));
    json_put_u64(o, "bytes", s->bytes);
    char AUTO_MEM *text = json_print(o, false);
    if (fs_write_durable(c->state.dir_fd, SPENT_FILE, buf_str(text), 0600, &err) < 0)
        log_error("%s", err.msg); /* retried with the next bytes */
    else
        s->saved = s->bytes;
}

static int parse(struct buf text, struct spent *ret, struct err *err)
{
    static const struct json_limits lim = {SPENT_BYTES, 2, 16, false};
    struct json_cur root;
    struct spent s = {0};
    uint64_t version = 0;
    const char *manifest = "";

    if (json_parse(text, &lim, &root, err) < 0)
        return -(int)err->kind;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    if (json_get_u64(&root, "v", JSON_REQUIRED, 2, 2, &version, err) < 0 ||
        json_get_str(&root, "manifest", JSON_REQUIRED, SHA256_TEXT, &manifest, err) < 0 ||
        digest_parse(manifest, &s.manifest, err) < 0 ||
        json_get_u64(&root, "bytes", JSON_REQUIRED, 0, LIM_INTEGER, &s.bytes, err) < 0 ||
        json_done(&root, err) < 0)
        return -(int)err->kind;
    s.saved = s.bytes;
    *ret = s;
    return 0;
}

void budget_open(struct core *c)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    struct err err = ERR_INIT;
    int rc = fs_read(c->state.dir_fd, SPENT_FILE, SPENT_BYTES, &text, &len, &err);

    if (rc == 0)
        rc = parse(buf_of(text, len), &c->spent, &err);
    if (rc < 0 && err.kind != ERR_NOTFOUND)
        log_error("the saved state of the byte budget cannot be read: %s", err.msg);
}

uint64_t budget_left(struct core *c)
{
    uint64_t max = bound(c), spent = account(c)->bytes;

    return max == 0 ? UINT64_MAX : max > spent ? max - spent : 0;
}

uint64_t budget_ask(struct core *c)
{
    uint64_t left = budget_left(c);

    return left == UINT64_MAX ? 0 : left ? left : 1;
}

int budget_check(struct core *c, uint64_t need, struct err *err)
{
    uint64_t left = budget_left(c);

    if (need <= left)
        return 0;
    return err_set(err, ERR_DENIED,
                   "%" PRIu64 " bytes are to be fetched, update.download.max_bytes leaves %" PRIu64, need,
                   left);
}

static void spend(struct core *c, uint64_t bytes)
{
    struct spent *s = account(c);
    uint64_t step = bound(c) / SAVES;

    s->bytes += bytes;
    if (bound(c) && s->bytes - s->saved >= (step > SAVE_BYTES ? step : SAVE_BYTES))
        save(c, s);
}

void budget_told(struct core *c, uint64_t *told, uint64_t network)
{
    if (network > *told) {
        spend(c, network - *told);
        *told = network;
    }
}

bool budget_line(struct core *c, uint64_t *told, const char *line)
{
    unsigned long long done, total, network;

    if (sscanf(line, "progress %llu %llu %llu", &done, &total, &network) != 3)
        return false;
    budget_told(c, told, network);
    return true;
}

void budget_close(struct core *c)
{
    struct spent *s = account(c);

    if (bound(c) && s->bytes != s->saved)
        save(c, s);
}
