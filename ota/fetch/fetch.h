/* fetch.h - the request that root hands to the sandboxed fetch program (agentd-fetch), and its answers.
 * Root opens the files that it writes to and gives their fds; the program writes nowhere else and knows
 * nothing of the store. argv: PROGRAM fetch. fd 3: lines out ("progress DONE TOTAL NETWORK", "trouble WAIT_MS
 * KIND message" when every source failed and is asked again, at last "ok FETCHED" with the bytes that came in
 * from all sources, or "err KIND message"). fd 4: the request (a sealed memfd, JSON). Then either
 *   blobs:  fd 5+i: blobs[i], appended from byte `have` on; or
 *   chunks: fd 5: a pipe; fd 6: the list of chunks of the only blob (24 bytes each, little endian: u64 at,
 *           u32 len, u32 aside, u8 check[8]), written to the pipe in this order, each when its check was
 *           right.
 * request: {"sources":["https://reg/repo","dir:/media/usb/layout"],"ca":"/etc/..","auth":"/etc/..",
 *           "blobs":[{"digest":"sha256:..","size":N,"have":M,"manifest":true}],"chunks":N,"min_rate":256,
 *           "stall_s":60,"rate":0,"budget":0,"deadline_ms":N,"uid":N,"gid":N}
 *          (ca, auth and usb (fetch_request's usb_folder): absent when there is none; chunks: 0 for blobs)
 * A source that ends early, stalls, answers wrongly or refuses is left for the next one, which continues at
 * the same byte or chunk; when all were tried it starts over with full jitter until its deadline. A round in
 * which every source said for good that it will not ends the job: NOTFOUND when none has it, else SOURCE
 * (401, 403, another certificate, wrong size or bytes). */
#ifndef OTA_FETCH_H
#define OTA_FETCH_H
#include "ota/doc/source.h"
#include "ota/store/store.h"
#include "platform/job.h"

#define FETCH_BLOBS_MAX     (LIM_OCI_LAYERS + 2)
#define FETCH_MIN_RATE      256 /* bytes a second, below which a source is left ... */
#define FETCH_STALL_S       60  /* ... when it lasts this long */
#define FETCH_REQUEST_BYTES (64 * 1024)
#define FETCH_CHUNK_RECORD  24 /* bytes of one chunk in the list */
#define FETCH_CHUNK_CHECK   8

struct fetch_blob {
    struct digest digest;
    uint64_t size_bytes; /* signed size: not one byte more is taken; 0: unknown, at most LIM_ENVELOPE_BYTES */
    bool manifest;       /* ask /manifests/ (with Accept) instead of /blobs/ */
};
struct fetch_request {
    const char *const *sources; /* see ota/doc/source.h */
    unsigned n_sources;
    const struct fetch_blob *blobs;
    unsigned n_blobs;
    const char *ca_file;   /* NULL: the system's */
    const char *auth_file; /* NULL: anonymous; else lines "user:password" (HTTP, basic), "psk IDENTITY HEXKEY"
                               (coaps); sent to the source's own host only */
    const char *usb_folder; /* NULL; tests: a directory whose block devices stand for sticks */
    const char *program;    /* path of agentd-fetch */
    const char *cgroup_path;
    uid_t uid;
    gid_t gid;
    uint64_t deadline_ms;
    uint64_t min_rate, stall_s; /* 0: FETCH_MIN_RATE, FETCH_STALL_S */
    uint64_t rate_bytes_s;      /* from the network, at most; 0: as it comes */
    uint64_t budget_bytes; /* of answers from the network, heads too; more ends with DENIED; 0: no bound */
};
/* Start the job (cg NULL: without a cgroup). on_line gets "progress DONE TOTAL NETWORK" over all blobs, at
 * most five a second and once before it ends; NETWORK: bytes that came from there, those of no use too. When
 * on_done says it went well the partials are complete but not yet verified: call store_partial_commit for
 * each (in a job). Errors: INVALID (too many, a source of unknown kind), NOSPACE, IO. */
NODISCARD int fetch_start(struct loop *l, const struct cgroup_host *cg, struct store *s,
                          const struct fetch_request *r, const struct job_calls *calls, struct job **ret,
                          struct err *err);

/* One stretch of a blob. */
struct fetch_chunk {
    uint64_t at;
    uint32_t len;                     /* 1 .. LIM_CHUNK_BYTES */
    uint32_t aside;                   /* for the unpacker; agentd-fetch does not look at it */
    uint8_t check[FETCH_CHUNK_CHECK]; /* first bytes of the SHA-256 of its bytes */
};
/* As it stands in the list. Pure. */
void fetch_chunk_put(const struct fetch_chunk *c, uint8_t dst[FETCH_CHUNK_RECORD]);
void fetch_chunk_get(const uint8_t src[FETCH_CHUNK_RECORD], struct fetch_chunk *ret);

/* Chunks of one blob as a stream, for a job that runs already: the program is a child of the caller and lives
 * in its cgroup. fd: exactly the chunks' bytes in order, then end of file; each chunk was compared with its
 * check before its first byte is written. line_fd: lines, to be read or left alone as the caller likes. */
struct fetch_stream {
    pid_t pid;
    int fd, line_fd;
};
#define FETCH_STREAM_NONE \
    (struct fetch_stream) \
    {                     \
        .pid = 0, -1, -1  \
    }
/* r: one blob with its signed size (never 0). chunks_fd: n_chunks records (fetch_chunk_put) from its start
 * on, sorted by `at`, none overlapping, none behind the blob's end; a sealed memfd; borrowed. Errors: INVALID
 * (sources, more than one blob, no size, 0 or more than LIM_CHUNKS chunks), IO. Owner of *ret: caller
 * (fetch_stream_end or fetch_stream_done). */
NODISCARD int fetch_stream_start(const struct fetch_request *r, int chunks_fd, uint64_t n_chunks,
                                 struct fetch_stream *ret, struct err *err);
/* Its verdict, which comes when fd was read to its end (before that, this cuts it off); reaps it.
 * *ret_fetched (may be NULL): bytes that came in, those of answers' heads, gaps and second tries included; 0
 * when it failed. Errors: as of the program: INTEGRITY, NOTFOUND, DENIED (also: byte budget), NET, TIMEOUT,
 * INVALID (list), IO. */
NODISCARD int fetch_stream_end(struct fetch_stream *s, uint64_t *ret_fetched, struct err *err);
/* Kill and reap, when it still runs. Keeps err alone. */
void fetch_stream_done(struct fetch_stream *s);
#endif
