/* download.h - applies the device's settings and the manifest's limits to any download. */
#ifndef AGENT_DOWNLOAD_H
#define AGENT_DOWNLOAD_H
#include "agent/manifest/manifest.h"
#include "ota/fetch/fetch.h"

struct core;

/* One download; lives as long as its job. */
struct download {
    struct fetch_request request; /* its strings are core's settings, or in this struct */
    char program[300], group[128];
    uint64_t told; /* bytes already counted (budget.h) */
};

/* Download blobs from the sources of w, which are the caller's, at rate_bytes_s (0: no limit). */
void download_init(struct core *c, const struct want *w, const struct fetch_blob *blobs, unsigned n_blobs,
                   uint64_t rate_bytes_s, struct download *ret);
/* Give a downloaded blob its name if it has the signed digest. Errors: SOURCE (other bytes: another source,
 * or this one later, may have the right ones), those of store_partial_commit. Runs in a job. */
NODISCARD int download_commit(struct store *s, const struct digest *d, uint64_t bytes, struct err *err);
#endif
