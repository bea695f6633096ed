/* fetch_int.h - inside the fetch program: one item, and the kinds of sources it may come from. Private to
 * agentd-fetch. */
#ifndef OTA_FETCH_INT_H
#define OTA_FETCH_INT_H
#include "ota/fetch/fetch.h"

#define FETCH_LINE_FD    3
#define FETCH_PSK_BYTES  64
#define FETCH_ETAG_BYTES 64

/* One blob: all of it from `have` on into a file, or chunks of it into a pipe. Which bytes are wanted next is
 * all that a source needs to know (fetch_next); what it gets it hands to fetch_take. */
struct fetch_item {
    struct digest digest;
    uint64_t size; /* 0: unknown until it has ended */
    bool manifest, complete;
    int fd;
    char etags[LIM_SOURCES][FETCH_ETAG_BYTES]; /* what sources[i] calls this version of it, "" unknown */
    int dir_fds[LIM_SOURCES]; /* the same blob in sources[i] when that is a directory that has it, else -1 */
    uint64_t have;            /* of a blob: bytes that are here; of chunks: bytes handed on */
    const uint8_t *chunks;    /* the list (mapped); NULL: the whole blob */
    uint64_t n_chunks, next;
    uint64_t chunk_bytes; /* of all chunks */
    uint8_t *hold;        /* the first `held` bytes of chunk `next` */
    uint32_t held;
    bool mixed; /* by more than one answer */
    /* which source gave which part of a blob, so that a wrong digest can be blamed */
    bool unmixed, bad[LIM_SOURCES]; /* from now on by one source alone; sources that gave something else */
    unsigned given_by;              /* 1 + source; 0: several, or another process */
};
struct fetch_span {
    uint64_t from, to; /* [from, to); to 0: until the blob's end, wherever that is */
};
struct fetch_job {
    unsigned n_sources, n_items;
    const char *names[LIM_SOURCES]; /* of sources, as the request has them; they point into it */
    struct source sources[LIM_SOURCES];
    struct fetch_item items[FETCH_BLOBS_MAX];
    const char *ca_path;  /* in the document, or NULL */
    char *ca, *auth_text; /* contents of the files, or NULL */
    char *auth;           /* "user:password" in auth_text, or NULL */
    size_t ca_len;
    uint64_t min_rate, stall_s, deadline_ms; /* deadline: clock_boot_ms */
    uint64_t rate, budget;                   /* 0: none */
    uint64_t n_chunks;
    uint64_t fetched, from_network; /* bytes that came in */
    uint64_t pause_ms[LIM_SOURCES]; /* clock_boot_ms until which sources[i] has asked not to be asked */
    uint64_t brake_ms;              /* clock_boot_ms until which nothing more is taken */
    bool ours;                      /* what failed last is no source's fault: none is asked again */
    uint32_t uid, gid;
    uint64_t told_ms;
    char *psk_identity; /* of DTLS; NULL: by certificate */
    uint8_t psk[FETCH_PSK_BYTES];
    size_t psk_len;
    const char *usb_folder; /* devices in here are sticks (tests); NULL: those of the machine */
    struct err usb_err;
    struct http *http;
    struct coap *coap;
};

/* fetch_item.c. Map the list of the only item's chunks from fd and check it. Errors: INVALID (see
 * fetch_stream_start), IO. */
NODISCARD int fetch_list(struct fetch_item *it, int fd, uint64_t n, struct err *err);
/* What to ask a source for: neighbouring chunks are one span, with small gaps. False: nothing is wanted. */
bool fetch_next(const struct fetch_item *it, struct fetch_span *ret);
/* Bytes of the blob from offset `at` on; those before what is wanted next and between chunks are passed over.
 * Errors: INTEGRITY (more than signed, a gap, a chunk with other bytes); and, with j->ours set, those of the
 * file or pipe: NOSPACE, IO. */
NODISCARD int fetch_take(struct fetch_job *j, struct fetch_item *it, uint64_t at, struct buf bytes,
                         struct err *err);
/* The same, but only what lies at or behind `at`. */
bool fetch_next_after(const struct fetch_item *it, uint64_t at, struct fetch_span *ret);
/* A source starts: it continues within the chunk that another one left. */
void fetch_begin(struct fetch_item *it);
/* Count bytes from the network before they are looked at. Errors: DENIED (budget; j->ours is set). */
NODISCARD int fetch_count(struct fetch_job *j, uint64_t bytes, struct err *err);
/* How long to wait before more is taken, so that the rate holds; 0: no time. */
uint64_t fetch_brake_ms(const struct fetch_job *j);
/* Milliseconds; signals do not cut it short. */
void fetch_sleep(uint64_t ms);
/* May this span be asked for? Errors: DENIED (more than the budget; j->ours is set). */
NODISCARD int fetch_afford(struct fetch_job *j, const struct fetch_item *it, struct fetch_span span,
                           struct err *err);
/* Every source failed: why, and when they are asked again. */
void fetch_tell_trouble(const struct err *why, uint64_t wait_ms);
/* "progress" of all items, when there was none lately or always. A line that nobody reads is left out. */
void fetch_tell(struct fetch_job *j, bool always);

/* fetch_run.c: get every item; returns 0 or the verdict. Errors: as fetch.h says of the program. */
NODISCARD int fetch_run(struct fetch_job *j, struct err *err);

/* fetch_dir.c: an OCI layout directory. fetch_dir_open opens (and only opens) what is there while we are
 * still root, so that the directory need not be readable by the sandbox's user. dir_get: sources[source].
 * Errors: NOTFOUND, INTEGRITY (another size), IO. */
void fetch_dir_open(struct fetch_job *j);
NODISCARD int fetch_dir_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);
/* "blobs/sha256/<hex>": where an OCI layout has it. */
char *fetch_dir_blob_path(const struct fetch_item *it, char dst[96]);

/* fetch_http.c: a registry (OCI distribution-spec), or a layout on a web server. Call fetch_http_init before
 * the sandbox. */
struct http;
/* Errors: NOMEM, NET (a CA file without certificates). */
NODISCARD int fetch_http_init(struct fetch_job *j, struct err *err);
void fetch_http_done(struct fetch_job *j);
/* From sources[source] until the item wants nothing more. Errors: NOTFOUND, DENIED, NET, TIMEOUT, INTEGRITY,
 * and those of fetch_take. */
NODISCARD int fetch_http_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);

/* fetch_coap.c: a layout over CoAP. Call fetch_coap_init before the sandbox. Errors: those of the source. */
struct coap;
NODISCARD int fetch_coap_init(struct fetch_job *j, struct err *err);
void fetch_coap_done(struct fetch_job *j);
/* As http_get. Errors: as http_get. */
NODISCARD int fetch_coap_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);

/* fetch_usb.c: a layout on a stick. fetch_usb_open finds, mounts and opens while we are root; what went wrong
 * there is j->usb_err. Errors of usb_get: IO (no stick has it, or it was carried away: no use to ask again
 * here). */
void fetch_usb_open(struct fetch_job *j);
NODISCARD int fetch_usb_get(struct fetch_job *j, struct fetch_item *it, unsigned source, struct err *err);
#endif
