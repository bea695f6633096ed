#include "ota/predict.h"

struct predict {
    size_t max_pieces;
};

size_t predict_memory(size_t max_pieces)
{
    return sizeof(struct predict) + max_pieces * sizeof(struct cover);
}

struct predict *predict_new(size_t max_pieces)
{
    struct predict *p = mem_need_zero(sizeof(*p));
    p->max_pieces = max_pieces;
    return p;
}

struct predict *predict_free(struct predict *p)
{
    free(p);
    return NULL;
}

uint32_t predict_head_len(struct buf start)
{
    (void)start;
    return 0;
}

static int none(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "no prediction yet");
}

int predict_begin(struct predict *p, const struct predict_source *src, struct err *err)
{
    (void)p, (void)src;
    return none(err);
}

int predict_covers(struct predict *p, const struct cover *covers, size_t n, struct err *err)
{
    (void)p, (void)covers, (void)n;
    return none(err);
}

int predict_anchor(struct predict *p, const struct cover *anchor, struct err *err)
{
    (void)p, (void)anchor;
    return none(err);
}

int predict_head(struct predict *p, struct buf head, uint64_t new_size, struct err *err)
{
    (void)p, (void)head, (void)new_size;
    return none(err);
}

int predict_bytes(struct predict *p, uint32_t old_at, uint32_t new_at, uint8_t *dst, size_t len,
                  struct err *err)
{
    (void)p, (void)old_at, (void)new_at, (void)dst, (void)len;
    return none(err);
}
