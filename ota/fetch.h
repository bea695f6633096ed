/* fetch.h - the request that core hands to the sandboxed fetch program (agentd-fetch), and its answers.
 * Core opens the partial files and gives their fds; the program writes nowhere else and knows nothing of the
 * store. argv: PROGRAM fetch. fd 3: lines out ("progress DONE TOTAL", at last "ok" or "err KIND message"). fd
 * 4: the request (a sealed memfd, JSON). fd 5+i: blobs[i]. request: {"sources":["https://reg/repo",
 * "dir:/media/usb/layout"],"ca":"/etc/..","auth":"/etc/..",
 *           "blobs":[{"digest":"sha256:..","size":N,"have":M,"manifest":true}],"min_rate":256,"stall_s":60,"deadline_ms":N,
 *           "uid":N,"gid":N}   (ca and auth: absent when there is none)
 * Each blob is appended from byte `have` on by a range request; a source that ends early, stalls, answers
 * wrongly or refuses is left for the next one, going on at the same byte; when all are done it starts over
 * with full jitter until its deadline. A round in which every source said for good that it will not (404,
 * 401, wrong size) ends the job with that verdict. */
#ifndef OTA_FETCH_H
#define OTA_FETCH_H
#include "ota/store.h"
#include "platform/job.h"

#define FETCH_BLOBS_MAX     (LIM_OCI_LAYERS + 2)
#define FETCH_MIN_RATE      256 /* bytes a second, below which a source is left ... */
#define FETCH_STALL_S       60  /* ... when it lasts this long */
#define FETCH_REQUEST_BYTES (64 * 1024)

struct fetch_blob {
    struct digest digest;
    uint64_t size_bytes; /* signed size: not one byte more is taken; 0: unknown, at most LIM_ENVELOPE_BYTES */
    bool manifest;       /* ask /manifests/ (with Accept) instead of /blobs/ */
};
struct fetch_request {
    const char *const *sources; /* "http://host:port/repo/name", "https://...", "dir:/path" (OCI layout) */
    unsigned n_sources;
    const struct fetch_blob *blobs;
    unsigned n_blobs;
    const char *ca_file;   /* NULL: the system's */
    const char *auth_file; /* NULL: anonymous; else a file "user:password" for basic auth (sent to the
                              source's host only) */
    const char *program;   /* path of agentd-fetch */
    const char *cgroup_path;
    uid_t uid;
    gid_t gid;
    uint64_t deadline_ms;
    uint64_t min_rate, stall_s; /* 0: FETCH_MIN_RATE, FETCH_STALL_S */
};
/* Start the job (cg NULL: without a cgroup). on_line gets "progress DONE TOTAL" over all blobs, at most five
 * a second. When on_done says it went well the partials are complete but not yet verified: call
 * store_partial_commit for each (in a job). Errors: INVALID (too many, a source of unknown kind), NOSPACE,
 * IO. */
int fetch_start(struct loop *l, const struct cgroup_host *cg, struct store *s, const struct fetch_request *r,
                const struct job_calls *calls, struct job **ret, struct err *err);
#endif
