/* fetch_int.h - inside the fetch program: one item, and the kinds of sources it can come from. Private to
 * agentd-fetch. */
#ifndef OTA_FETCH_INT_H
#define OTA_FETCH_INT_H
#include "ota/fetch/fetch.h"

#define FETCH_LINE_FD    3
#define FETCH_PSK_BYTES  64
#define FETCH_ETAG_BYTES 64

/* One blob: all of it from `have` on into a file, or chunks of it into a pipe. A source only needs to know
 * which bytes are wanted next (fetch_next); what it receives it passes to fetch_take. */
struct fetch_item {
    struct digest digest;
    uint64_t size; /* 0: unknown until it ends */
    bool manifest, complete;
    int fd;
    char etags[LIM_SOURCES][FETCH_ETAG_BYTES]; /* ETag of this blob at sources[i], "" unknown */
    int dir_fds[LIM_SOURCES]; /* the same blob in sources[i] if that is a directory that has it, else -1 */
    uint64_t have;            /* of a blob: bytes present; of chunks: bytes passed on */
    const uint8_t *chunks;    /* the list (mapped); NULL: the whole blob */
    uint64_t n_chunks, next;
    uint64_t chunk_bytes; /* of all chunks */
    uint8_t *hold;        /* the first `held` bytes of chunk `next` */
    uint32_t held;
    bool mixed; /* from more than one response */
    /* which source sent which part of a blob, so that a wrong digest can be attributed */
    bool unmixed, bad[LIM_SOURCES]; /* from now on by one source alone; sources that sent something else */
    unsigned given_by;              /* 1 + source; 0: several, or another process */
};
struct fetch_span {
    uint64_t from, to; /* [from, to); to 0: until the blob's end, wherever that is */
};
struct fetch_job {
    unsigned n_sources, n_items;
    const char *names[LIM_SOURCES]; /* of sources, as in the request; they point into it */
    struct source sources[LIM_SOURCES];
    struct fetch_item items[FETCH_BLOBS_MAX];
    const char *ca_path;  /* in the document, or NULL */
    char *ca, *auth_text; /* contents of the files, or NULL */
    char *auth;           /* "user:password" in auth_text, or NULL */
    size_t ca_len;
    uint64_t min_rate, stall_s, deadline_ms; /* deadline: clock_boot_ms */
    uint64_t rate, budget;                   /* 0: no limit */
    uint64_t n_chunks;
    uint64_t fetched, from_network; /* bytes received */
    uint64_t pause_ms[LIM_SOURCES]; /* clock_boot_ms until which sources[i] asked us to pause */
    uint64_t brake_ms;              /* clock_boot_ms until which reading pauses */
    bool ours;                      /* the last failure is not a source's fault: none is tried again */
    uint32_t uid, gid;
    uint64_t told_ms;
    char *psk_identity; /* of DTLS; NULL: by certificate */
    uint8_t psk[FETCH_PSK_BYTES];
    size_t psk_len;
    const char *usb_folder; /* block devices in it act as sticks (tests); NULL: those of the machine */
    struct err usb_err;
    struct http *http;
    struct coap *coap;
};

/* fetch_item.c. Map the list of the only item's chunks from fd and check it. Errors: INVALID (see
 * fetch_stream_start), IO. */
NODISCARD int fetch_list(struct fetch_item *it, int fd, uint64_t n, struct err *err);
/* What to request from a source: adjacent chunks are one span, small gaps included. False: nothing is
 * wanted. */
bool fetch_next(const struct fetch_item *it, struct fetch_span *ret);
/* Bytes of the blob from offset `at` on; those before the wanted ones and between chunks are skipped. Errors:
 * INTEGRITY (more than signed, a gap, a chunk with other bytes); and, with j->ours set, those of the file or
 * pipe: NOSPACE, IO. */
NODISCARD int fetch_take(struct fetch_job *j, struct fetch_item *it, uint64_t at, struct buf bytes,
                         struct err *err);
/* The same, but only what is at or after `at`. */
bool fetch_next_after(const struct fetch_item *it, uint64_t at, struct fetch_span *ret);
/* A source starts: it continues within the chunk that the previous one left. */
void fetch_begin(struct fetch_item *it);
/* Count bytes from the network before they are used. Errors: DENIED (budget; j->ours is set). */
NODISCARD int fetch_count(struct fetch_job *j, uint64_t bytes, struct err *err);
/* How long to pause to keep within the rate; 0: not at all. */
uint64_t fetch_brake_ms(const struct fetch_job *j);
/* Milliseconds; not interrupted by signals. */
void fetch_sleep(uint64_t ms);
/* May this span be requested? Errors: DENIED (exceeds the budget; j->ours is set). */
NODISCARD int fetch_afford(struct fetch_job *j, const struct fetch_item *it, struct fetch_span span,
                           struct err *err);
/* Every source failed: report why, and when they are tried again. */
void fetch_tell_trouble(const struct err *why, uint64_t wait_ms);
/* Print "progress" for all items, unless printed recently, or always. A line that would block is dropped. */
void fetch_tell(struct fetch_job *j, bool always);

/* fetch_run.c: get every item; returns 0 or the verdict. Errors: as in fetch.h. */
NODISCARD int fetch_run(struct fetch_job *j, struct err *err);

/* fetch_dir.c: an OCI layout directory. fetch_dir_open only opens what is there while we are still root, so
 * that the directory need not be readable by the sandbox's user. dir_get: sources[source]. Errors: NOTFOUND,
 * INTEGRITY (another size), IO. */
void fetch_dir_open(struct fetch_job *j);
NODISCARD int fetch_dir_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);
/* "blobs/sha256/<hex>": its path in an OCI layout. */
char *fetch_dir_blob_path(const struct fetch_item *it, char dst[96]);

/* fetch_http.c: a registry (OCI distribution-spec), or a layout on a web server. Call fetch_http_init before
 * the sandbox. */
struct http;
/* Errors: NOMEM, NET (a CA file without certificates). */
NODISCARD int fetch_http_init(struct fetch_job *j, struct err *err);
void fetch_http_done(struct fetch_job *j);
/* Get from sources[source] until the item wants nothing more. Errors: NOTFOUND, DENIED, NET, TIMEOUT,
 * INTEGRITY, and those of fetch_take. */
NODISCARD int fetch_http_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);

/* fetch_coap.c: a layout over CoAP. Call fetch_coap_init before the sandbox. Errors: those of the source. */
struct coap;
NODISCARD int fetch_coap_init(struct fetch_job *j, struct err *err);
void fetch_coap_done(struct fetch_job *j);
/* As http_get. Errors: as http_get. */
NODISCARD int fetch_coap_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);

/* fetch_usb.c: a layout on a stick. fetch_usb_open finds, mounts and opens while we are root; its errors go
 * to j->usb_err. Errors of usb_get: IO (no stick has it, or it was removed: no use retrying here). */
void fetch_usb_open(struct fetch_job *j);
NODISCARD int fetch_usb_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);
#endif
