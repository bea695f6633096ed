/* fetch.h - the request that root passes to the sandboxed fetch program (agentd-fetch), and its output.
 * Root opens the files to be written and passes their fds; the program writes nowhere else and knows
 * nothing of the store. argv: PROGRAM fetch. fd 3: output lines ("progress DONE TOTAL NETWORK", "trouble
 * WAIT_MS KIND message" when every source failed and will be tried again, finally "ok FETCHED" with the bytes
 * received from all sources, or "err KIND message"). fd 4: the request (a sealed memfd, JSON). Then either
 *   blobs:  fd 5+i: blobs[i], appended from byte `have` on; or
 *   chunks: fd 5: a pipe; fd 6: the list of chunks of the only blob (24 bytes each, little endian: u64 at,
 *           u32 len, u32 aside, u8 check[8]), written to the pipe in this order, each once its check is
 *           verified.
 * request: {"sources":["https://reg/repo","dir:/media/usb/layout"],"ca":"/etc/..","auth":"/etc/..",
 *           "blobs":[{"digest":"sha256:..","size":N,"have":M,"manifest":true}],"chunks":N,"min_rate":256,
 *           "stall_s":60,"rate":0,"budget":0,"deadline_ms":N,"uid":N,"gid":N}
 *          (ca, auth and usb (fetch_request's usb_folder): missing if there is none; chunks: 0 for blobs)
 * When a source ends early, stalls, responds wrongly or refuses, the next one continues at the same byte or
 * chunk; after the last one it starts over with full jitter until its deadline. A round in which every source
 * refuses permanently ends the job: NOTFOUND when none has it, else SOURCE (401, 403, another certificate,
 * wrong size or bytes). */
#ifndef OTA_FETCH_H
#define OTA_FETCH_H
#include "ota/doc/source.h"
#include "ota/store/store.h"
#include "platform/job.h"

#define FETCH_BLOBS_MAX     (LIM_OCI_LAYERS + 2)
#define FETCH_MIN_RATE      256 /* bytes per second, below which a source is abandoned ... */
#define FETCH_STALL_S       60  /* ... after this long */
#define FETCH_REQUEST_BYTES (64 * 1024)
#define FETCH_CHUNK_RECORD  24 /* size of a chunk's record in the list */
#define FETCH_CHUNK_CHECK   8

struct fetch_blob {
    struct digest digest;
    uint64_t size_bytes; /* signed size: not one byte more is accepted; 0: unknown, at most
                          * LIM_ENVELOPE_BYTES */
    bool manifest;       /* request /manifests/ (with Accept) instead of /blobs/ */
};
struct fetch_request {
    const char *const *sources; /* see ota/doc/source.h */
    unsigned n_sources;
    const struct fetch_blob *blobs;
    unsigned n_blobs;
    const char *ca_file;   /* NULL: the system's CAs */
    const char *auth_file; /* NULL: anonymous; else lines "user:password" (HTTP, basic), "psk IDENTITY HEXKEY"
                               (coaps); sent to the source's own host only */
    const char *usb_folder; /* NULL; in tests: a directory whose block devices act as sticks */
    const char *program;    /* path of agentd-fetch */
    const char *cgroup_path;
    uid_t uid;
    gid_t gid;
    uint64_t deadline_ms;
    uint64_t min_rate, stall_s; /* 0: FETCH_MIN_RATE, FETCH_STALL_S */
    uint64_t rate_bytes_s;      /* download limit, 0: none */
    uint64_t budget_bytes; /* limit for network responses, headers included; more is DENIED; 0: no limit */
};
/* Start the job (cg NULL: without a cgroup). on_line gets "progress DONE TOTAL NETWORK" over all blobs, at
 * most five a second and once before it ends; NETWORK: bytes downloaded, useless ones included. When on_done
 * reports success the partials are complete but not yet verified: call store_partial_commit for each (in a
 * job). Errors: INVALID (too many, a source of unknown kind), NOSPACE, IO. */
NODISCARD int fetch_start(struct loop *l, const struct cgroup_host *cg, struct store *s,
                          const struct fetch_request *r, const struct job_calls *calls, struct job **ret,
                          struct err *err);

/* One range of a blob. */
struct fetch_chunk {
    uint64_t at;
    uint32_t len;                     /* 1 .. LIM_CHUNK_BYTES */
    uint32_t aside;                   /* for the unpacker; ignored by agentd-fetch */
    uint8_t check[FETCH_CHUNK_CHECK]; /* first bytes of the SHA-256 of its bytes */
};
/* As stored in the list. Pure. */
void fetch_chunk_put(const struct fetch_chunk *c, uint8_t dst[FETCH_CHUNK_RECORD]);
void fetch_chunk_get(const uint8_t src[FETCH_CHUNK_RECORD], struct fetch_chunk *ret);

/* Chunks of one blob as a stream, for a running job: the program is a child of the caller and lives in its
 * cgroup. fd: exactly the chunks' bytes in order, then end of file; each chunk is verified against its check
 * before its first byte is written. line_fd: lines, which the caller may read or ignore. */
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
 * on, sorted by `at`, none overlapping, none beyond the blob's end; a sealed memfd; borrowed. Errors: INVALID
 * (sources, more than one blob, no size, 0 or more than LIM_CHUNKS chunks), IO. Owner of *ret: caller
 * (fetch_stream_end or fetch_stream_done). */
NODISCARD int fetch_stream_start(const struct fetch_request *r, int chunks_fd, uint64_t n_chunks,
                                 struct fetch_stream *ret, struct err *err);
/* Read its verdict, which comes after fd was read to its end (earlier, this aborts it); reaps it.
 * *ret_fetched (may be NULL): bytes downloaded, including headers, gaps and retries; 0 on failure. Errors:
 * those of the program: INTEGRITY, NOTFOUND, DENIED (also: byte budget), NET, TIMEOUT, INVALID (list), IO. */
NODISCARD int fetch_stream_end(struct fetch_stream *s, uint64_t *ret_fetched, struct err *err);
/* Kill and reap it if it still runs. Leaves err unchanged. */
void fetch_stream_done(struct fetch_stream *s);
#endif
