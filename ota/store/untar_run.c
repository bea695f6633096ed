/* untar_run.c - starts the sandboxed untar program and reads its verdict. */
#include "ota/layer/layer.h"

#include "ota/layer/sandboxed.h"
#include "ota/store/store_int.h"
#include <inttypes.h>

#define ARGS_MAX 16

int untar_run_start(char *const *argv, int blob_fd, enum oci_codec codec, const struct digest *diff_id,
                    uint64_t max_tar_bytes, bool whiteouts_only, struct untar_run *ret, struct err *err)
{
    char diff[SHA256_TEXT], bytes[24], what[16], codec_text[8];
    struct sandboxed c;
    char *all[ARGS_MAX + 5] = {NULL};
    unsigned n = 0;

    while (argv[n] && n < ARGS_MAX) {
        all[n] = argv[n];
        n++;
    }
    (void)str_copy(codec_text, sizeof(codec_text), layer_codec_name(codec));
    (void)digest_text(diff_id, diff);
    (void)str_fmt(bytes, sizeof(bytes), "%" PRIu64, max_tar_bytes);
    (void)str_copy(what, sizeof(what), whiteouts_only ? "whiteouts" : "all");
    all[n++] = codec_text;
    all[n++] = diff;
    all[n++] = bytes;
    all[n] = what;
    int rc = sandboxed_start(all, &blob_fd, 1, &c, err);
    if (rc == 0)
        *ret = (struct untar_run){.pid = c.pid, .entry_fd = c.out_fd, .line_fd = c.line_fd};
    return rc;
}

int untar_run_end(struct untar_run *r, struct err *err)
{
    struct sandboxed c = {.pid = r->pid, .out_fd = r->entry_fd, .line_fd = r->line_fd};

    *r = (struct untar_run){.entry_fd = -1, .line_fd = -1};
    return sandboxed_end(&c, "untar", NULL, 0, err);
}

void untar_run_done(struct untar_run *r)
{
    struct sandboxed c = {.pid = r->pid, .out_fd = r->entry_fd, .line_fd = r->line_fd};

    sandboxed_done(&c);
    *r = (struct untar_run){.entry_fd = -1, .line_fd = -1};
}
