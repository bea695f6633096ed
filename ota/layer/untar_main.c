/* untar_main.c - agentd-untar: the sandboxed program that turns one layer blob into entries (entry.h), so
 * that root parses no archive. PROGRAM untar UID GID CODEC DIFF_ID MAX_TAR_BYTES all|whiteouts fd 3: verdict
 * line out. fd 4: the blob, read only. fd 5: the pipe for entries. It gives up all other privileges before it
 * reads the first byte. The diff id is checked here only to report an error early: the installer does not
 * rely on it. */
#include <string.h>

#include "ota/layer/layer.h"
#include "ota/layer/worker.h"
#include "platform/fs.h"

#define BLOB_FD    4
#define ENTRY_FD   5
#define OUT_BYTES  (64 * 1024)
#define DATA_BYTES (4ULL << 20)
#define N_ARGS     8

struct out {
    bool whiteouts_only;
    bool pass; /* the content that follows is wanted */
    size_t len;
    uint8_t buf[OUT_BYTES + ENTRY_WIRE_BYTES];
};

static int flush(struct out *o, struct err *err)
{
    int rc = fs_write_full(ENTRY_FD, buf_of(o->buf, o->len), err);

    o->len = 0;
    return rc;
}

static int on_entry(void *arg, const struct entry *e, struct err *err)
{
    struct out *o = arg;

    o->pass = !o->whiteouts_only || e->kind == ENTRY_WHITEOUT || e->kind == ENTRY_OPAQUE;
    if (!o->pass)
        return 0;
    if (o->len > OUT_BYTES) {
        int rc = flush(o, err);
        if (rc < 0)
            return rc;
    }
    o->len += entry_encode(e, o->buf + o->len);
    return 0;
}

static int on_bytes(void *arg, struct buf bytes, struct err *err)
{
    struct out *o = arg;

    if (!o->pass)
        return 0;
    if (o->len + bytes.len <= OUT_BYTES) {
        memcpy(o->buf + o->len, bytes.p, bytes.len);
        o->len += bytes.len;
        return 0;
    }
    int rc = flush(o, err);
    return rc < 0 ? rc : fs_write_full(ENTRY_FD, bytes, err);
}

struct args {
    uint64_t max_tar;
    int codec;
    struct digest diff_id;
    bool whiteouts_only;
};

static int read_args(int argc, char **argv, struct args *a, struct err *err)
{
    if (argc != N_ARGS || !str_u64(argv[6], 0, UINT64_MAX, &a->max_tar))
        return err_set(err, ERR_INVALID, "usage: untar UID GID CODEC DIFF_ID MAX_TAR_BYTES all|whiteouts");
    a->codec = layer_codec_parse(argv[4]);
    a->whiteouts_only = strcmp(argv[7], "whiteouts") == 0;
    return a->codec < 0 ? err_set(err, ERR_UNSUPPORTED, "codec %s", argv[4])
                        : digest_parse(argv[5], &a->diff_id, err);
}

static int run(const struct args *a, struct err *err)
{
    static struct out o;
    struct layer_calls calls = {on_entry, on_bytes, &o};
    struct entry end = {.kind = ENTRY_END};
    struct digest diff_id;
    uint64_t tar_bytes = 0;

    o.whiteouts_only = a->whiteouts_only;
    int rc = layer_read(BLOB_FD, (enum oci_codec)a->codec, a->max_tar, &calls, &diff_id, &tar_bytes, err);
    if (rc < 0)
        return rc;
    if (!digest_eq(&diff_id, &a->diff_id))
        return err_set(err, ERR_INTEGRITY, "the unpacked layer is not what the config's diff_id says");
    o.pass = o.whiteouts_only = false;
    rc = on_entry(&o, &end, err);
    return rc < 0 ? rc : flush(&o, err);
}

int main(int argc, char **argv)
{
    struct args a = {0};
    struct err err = ERR_INIT;
    int rc;

    if (argc < 2 || strcmp(argv[1], "untar") != 0)
        return 2;
    rc = read_args(argc, argv, &a, &err);
    if (rc == 0)
        rc = crypto_init(&err);
    if (rc == 0)
        rc = worker_enter(argv[2], argv[3], DATA_BYTES + (a.codec == OCI_TAR_ZSTD ? LIM_ZSTD_BYTES : 0),
                          ENTRY_FD + 2, &err);
    if (rc == 0)
        rc = run(&a, &err);
    return worker_verdict(rc, &err);
}
