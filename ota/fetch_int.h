/* fetch_int.h - inside the fetch program: one item, and the kinds of sources it may come from. Private to
 * agentd-fetch. */
#ifndef OTA_FETCH_INT_H
#define OTA_FETCH_INT_H
#include "ota/fetch.h"

struct fetch_item {
    struct digest digest;
    uint64_t size, have; /* size 0: unknown until it has ended */
    bool manifest, complete;
    int fd;
    int dir_fds[LIM_SOURCES]; /* the same blob in sources[i] when that is a folder that has it, else -1 */
};
struct fetch_job {
    unsigned n_sources, n_items;
    const char *sources[LIM_SOURCES]; /* in the document */
    struct fetch_item items[FETCH_BLOBS_MAX];
    char *ca, *auth; /* contents of the files, or NULL */
    size_t ca_len;
    uint64_t min_rate, stall_s, deadline_ms; /* deadline: clock_boot_ms */
    uint32_t uid, gid;
    uint64_t told_ms;
    struct http *http;
};

/* fetch_run.c: bytes of an item, at its offset `have`: bounds, writing, progress. Errors: INTEGRITY (more
 * than signed), NOSPACE, IO. */
int fetch_take(struct fetch_job *j, struct fetch_item *it, struct buf bytes, struct err *err);
/* Get every item; returns 0 or the verdict. */
int fetch_run(struct fetch_job *j, struct err *err);

/* fetch_dir.c: an OCI layout folder. dir_open opens (and only opens) what is there while we are still root,
 * so that the folder need not be readable by the sandbox's user. dir_get: sources[source]. Errors: NOTFOUND,
 * INTEGRITY (another size), IO. */
void dir_open(struct fetch_job *j);
int dir_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);

/* fetch_http.c: a registry (OCI distribution-spec). Call http_init before the sandbox. */
struct http;
int http_init(struct fetch_job *j, struct err *err);
void http_done(struct fetch_job *j);
int http_get(struct fetch_job *j, struct fetch_item *it, const char *source, struct err *err);
#endif
