/* download.h - what a download takes from the device's settings and the manifest's bounds, whatever it is
 * for. */
#ifndef AGENT_DOWNLOAD_H
#define AGENT_DOWNLOAD_H
#include "agent/manifest/manifest.h"
#include "ota/fetch/fetch.h"

struct core;

/* One download; lives as long as its job. */
struct download {
    struct fetch_request request; /* its strings are of core's settings, or here */
    char program[300], group[128];
    uint64_t told; /* bytes over the network that were counted of it (budget.h) */
};

/* Blobs from the sources of w, which are the caller's, at rate_bytes_s (0: as they come). */
void download_init(struct core *c, const struct want *w, const struct fetch_blob *blobs, unsigned n_blobs,
                   uint64_t rate_bytes_s, struct download *ret);
/* A blob that was downloaded gets its name when it has the bytes that were signed. Errors: SOURCE (other
 * bytes: another source, or this one later, may have the right ones), those of store_partial_commit. For a
 * job. */
NODISCARD int download_commit(struct store *s, const struct digest *d, uint64_t bytes, struct err *err);
#endif
