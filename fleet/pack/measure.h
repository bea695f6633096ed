/* measure.h - what an image holds when it is unpacked, counted while its layers stream by, with the device's
 * own readers: a layer that a device would refuse is refused here. Memory is bounded. Pure: bytes in, counts
 * out. */
#ifndef FLEET_MEASURE_H
#define FLEET_MEASURE_H
#include "ota/doc/entry.h"
#include "ota/doc/oci.h"

struct measure; /* one image */
/* Also gets the entries (checked) and contents; may be NULL. Borrowed. */
struct measure_tap {
    int (*on_entry)(void *arg, const struct entry *e, struct err *err);
    int (*on_bytes)(void *arg, struct buf bytes, struct err *err);
    void *arg;
};
struct measure *measure_new(const struct measure_tap *tap); /* never NULL */
struct measure *measure_free(struct measure *m);
DEFINE_AUTO(measure)

/* The next layer, lowest first. Errors: UNSUPPORTED (built without zstd), NOMEM. */
NODISCARD int measure_begin(struct measure *m, enum oci_codec codec, struct err *err);
/* Its next packed bytes. Errors: INVALID, UNSUPPORTED (what a device would refuse, by name), NOSPACE (above
 * LIM_IMAGE_*). */
NODISCARD int measure_add(struct measure *m, struct buf bytes, struct err *err);
/* Its end; *ret_diff_id: of the unpacked tar. Errors: INVALID (it ends too early). */
NODISCARD int measure_end(struct measure *m, struct digest *ret_diff_id, struct err *err);

struct measure_sum {
    uint64_t bytes;  /* of all files of all layers: what is hidden by a later layer counts too, so no device
                        needs more */
    uint64_t inodes; /* entries of all layers, directories that their paths imply, the root */
};
/* What was counted so far. */
struct measure_sum measure_sum(const struct measure *m);
#endif
