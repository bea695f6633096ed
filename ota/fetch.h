/* fetch.h - the request that core hands to the sandboxed fetch program (agentd-fetch), and its answers.
 * Core opens the partial files and gives their fds; the program writes nowhere else and knows nothing of the store.
 * fd 3: lines out ("progress DONE TOTAL", at last "ok" or "err KIND message"). fd 4: the request (a memfd, JSON). fd 5+i: blobs[i].
 * request: {"sources":["https://reg/v2-root/repo", "dir:/media/usb/layout"],"ca":"/etc/..." or null,"auth":..,
 *           "blobs":[{"digest":"sha256:..","size":N,"have":M,"manifest":true}],"min_rate":256,"uid":N,"gid":N}
 * Each blob is appended from byte `have` on by a range request; a source that ends early, stalls, answers wrongly or refuses
 * is left for the next one, going on at the same byte; when all are done it starts over with backoff until its deadline. */
#ifndef OTA_FETCH_H
#define OTA_FETCH_H
#include "ota/store.h"
#include "platform/job.h"

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
    const char *ca_file;  /* NULL: the system's */
    const char *auth_file; /* NULL: anonymous; else a file "user:password" for basic auth */
    const char *program;  /* path of agentd-fetch */
    const char *cgroup_path;
    uid_t uid;
    gid_t gid;
    uint64_t deadline_ms;
};
/* Start the job. on_line gets "progress DONE TOTAL" over all blobs. When on_done says it went well the partials are complete but not yet
 * verified: call store_partial_commit for each (in a job). */
int fetch_start(struct loop *l, const struct cgroup_host *cg, struct store *s, const struct fetch_request *r,
                const struct job_calls *calls, struct job **ret, struct err *err);
#endif
