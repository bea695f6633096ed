/* patch_object.h - the stream of one object of a patch pack, as ota/pack/patch.h reads it. Pure but for
 * memory. Private to fleet/patch_*.c. */
#ifndef FLEET_PATCH_OBJECT_H
#define FLEET_PATCH_OBJECT_H
#include "fleet/pack/cover_index.h"
#include "ota/pack/patch.h"

struct bytes { /* grows */
    uint8_t *p;
    size_t len, room;
};
/* bytes_add appends len bytes, bytes_number a varint; bytes_done frees. */
void bytes_add(struct bytes *b, const void *p, size_t len);
void bytes_number(struct bytes *b, uint64_t v);
void bytes_done(struct bytes *b);

struct patch_anchors {
    struct cover *c; /* in order of old_at, not overlapping there */
    size_t n;
};

struct patch_object {
    const struct buf *bases;
    unsigned n_bases;
    struct buf old;   /* the bases joined */
    struct buf fresh; /* the new file */
    struct cover_list covers;
    struct patch_anchors anchors;
    bool predicted, runs;
    unsigned run_min; /* fewer equal bytes than that do not end a run of different ones */
};
/* Begin prediction for an object: covers and the new file's head, no anchors. Errors: INVALID. */
NODISCARD int patch_object_predict(const struct patch_object *o, struct predict *p, struct err *err);
/* Where addresses really went that the covers do not tell: PLT entries in another order, variables without
 * bytes in the file. Into o->anchors (free c), at most max, the most useful ones. Errors: INVALID. */
NODISCARD int patch_anchor_find(struct patch_object *o, size_t max, struct err *err);
/* Old and new bytes for matching: every address is written as the old offset that it means, as far as covers
 * and anchors tell, so that what only moved is equal. *ret_old, *ret_new: malloc'd, as long as o->old and
 * o->fresh, owner: caller. Errors: INVALID. */
NODISCARD int patch_normal(const struct patch_object *o, uint8_t **ret_old, uint8_t **ret_new,
                           struct err *err);
/* How many pieces of the address map the object needs. */
size_t patch_object_pieces(const struct patch_object *o);
/* The object's stream; appended to *ret. Errors: INVALID (prediction where there can be none). */
NODISCARD int patch_object_build(const struct patch_object *o, struct bytes *ret, struct err *err);
#endif
