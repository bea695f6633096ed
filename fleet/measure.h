/* measure.h - what a layer holds when it is unpacked: bytes of files and number of entries, counted while it
 * streams by. Memory is constant. Pure: bytes in, counts out. */
#ifndef FLEET_MEASURE_H
#define FLEET_MEASURE_H
#include "ota/oci.h"

struct measure; /* opaque */
/* Errors: UNSUPPORTED (zstd). Owner: caller. */
int measure_new(enum oci_codec codec, struct measure **ret, struct err *err);
struct measure *measure_free(struct measure *m);
DEFINE_AUTO(measure)
/* The next packed bytes. Errors: INVALID (damaged gzip or tar), NOSPACE (above LIM_IMAGE_*). */
int measure_add(struct measure *m, struct buf bytes, struct err *err);
struct measure_sum {
    uint64_t bytes;        /* of regular files, later hidden ones too: an upper bound of what is stored */
    uint64_t inodes;       /* entries and the folders that their paths imply at most once each */
    struct digest diff_id; /* of the unpacked tar */
};
/* After the last byte. Errors: INVALID (it ends too early). */
int measure_end(struct measure *m, struct measure_sum *ret, struct err *err);
#endif
