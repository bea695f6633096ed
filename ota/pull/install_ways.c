/* install_ways.c - where an image's entries come from: its layers (blobs through the untar program, or the
 * record left by an earlier image), or a pack with its tree. */
#include <errno.h>
#include <fcntl.h>

#include "ota/pull/install_int.h"

/* ---- layers ---- */

static int pass_from_blob(struct install *i, unsigned layer, int blob_fd, bool whiteouts, struct err *err)
{
    struct untar_run run = {.entry_fd = -1, .line_fd = -1};
    struct err own = ERR_INIT, said = ERR_INIT;

    if (lseek(blob_fd, 0, SEEK_SET) < 0)
        return err_errno(err, errno, "layer");
    int rc = untar_run_start(i->in->untar_argv, blob_fd, i->manifest.layers[layer].codec, &i->diff_ids[layer],
                             layer_max_tar(i->max_bytes, i->max_inodes), whiteouts, &run, err);
    if (rc < 0)
        return rc;
    rc = install_entries(i, run.entry_fd, whiteouts, false, &own);
    bool cut = rc < 0 && i->stream->ended;
    if (rc == 0 || cut) { /* its reason is the best one */
        int verdict = untar_run_end(&run, &said);
        if (verdict < 0)
            rc = err_set(err, said.kind, "layer %u: %s", layer, said.msg);
        else if (cut)
            rc = err_set(err, own.kind, "layer %u: %s", layer, own.msg);
    } else {
        rc = err_set(err, own.kind, "layer %u: %s", layer, own.msg);
    }
    untar_run_done(&run);
    return rc;
}

/* The untar program reads exactly what was just hashed: the same open file, which nothing else can write any
 * more. */
static int open_layer(struct install *i, const struct digest *d, int *ret_fd, struct err *err)
{
    struct digest got;
    uint64_t len = 0;
    char hex[SHA256_HEX];
    AUTO_FD int fd = openat(i->s->blobs_fd, digest_hex(d, hex), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "open layer %s", hex);
    int rc = sha256_fd(fd, &got, &len, err);
    if (rc < 0)
        return rc;
    if (!digest_eq(&got, d)) {
        (void)unlinkat(i->s->blobs_fd, hex, 0);
        return err_set(err, ERR_INTEGRITY, "layer %s is damaged on disk", hex);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int from_blob(struct install *i, unsigned layer, struct err *err)
{
    char name[24];
    AUTO_FD int blob_fd = -1;
    AUTO_FD int record_fd = -1;
    int rc = open_layer(i, &i->manifest.layers[layer].digest, &blob_fd, err);

    (void)str_fmt(name, sizeof(name), INSTALL_RECORD, layer);
    if (rc == 0)
        rc = record_begin(i->work_fd, name, &record_fd, err);
    if (rc == 0 && layer > 0) /* deletions apply to the layers below, wherever they are in the archive */
        rc = pass_from_blob(i, layer, blob_fd, true, err);
    i->record_fd = record_fd;
    return rc < 0 ? rc : pass_from_blob(i, layer, blob_fd, false, err);
}

static int from_record(struct install *i, unsigned layer, struct err *err)
{
    int rc = 0;

    for (int whiteouts = layer > 0; rc == 0 && whiteouts >= 0; whiteouts--) {
        AUTO_FD int fd = -1;
        rc = record_open(i->s, &i->manifest.layers[layer].digest, &fd, err);
        if (rc == 0)
            rc = install_entries(i, fd, whiteouts, true, err);
    }
    i->recorded[layer] = true;
    return rc;
}

int install_layers(struct install *i, struct err *err)
{
    int rc = 0;

    for (unsigned n = 0; rc == 0 && n < i->manifest.n_layers; n++) {
        const struct digest *d = &i->manifest.layers[n].digest;
        if (record_is_whole(i->s, d, NULL))
            rc = from_record(i, n, err);
        else
            rc = from_blob(i, n, err);
    }
    return rc < 0 ? rc : lay_mount_points(&i->lay, err);
}

/* ---- with a pack ---- */

static int link_in(struct install *i, int dir_fd, const char *name, const char *as, struct err *err)
{
    return linkat(dir_fd, name, i->work_fd, as, 0) < 0 ? err_errno(err, errno, "keep %s", as) : 0;
}

/* Tree and table become part of the image: the very files that were checked against their digests. */
static int keep_documents(struct install *i, const struct pull *p, struct err *err)
{
    const struct store_pack *pack = p->pack;
    char hex[SHA256_HEX];
    int rc;

    if (pack->patch && !pack->held)
        rc = link_in(i, i->stage.dir_fd, PULL_TREE_FILE, "record0", err);
    else
        rc = link_in(i, pack->held ? i->s->layers_fd : i->s->blobs_fd, digest_hex(&pack->tree, hex),
                     "record0", err);
    if (rc == 0 && p->table.len)
        rc = link_in(i, i->s->blobs_fd, digest_hex(&p->table_is, hex), "table", err);
    return rc;
}

/* Bring all objects into staged/ and the tree into record0. */
static int gather(struct install *i, struct err *err)
{
    const struct store_pack *pack = i->in->pack;
    struct store_cost cost = {.write_bytes = pack->write_bytes};
    struct pull p;
    int rc = pull_open(&p, i->s, pack, &i->stage, i->line_fd, err);

    p.max_bytes = i->stage.max_bytes = i->max_bytes;
    p.max_inodes = i->max_inodes;
    if (rc == 0 && !pack->patch)
        rc = pull_judge_tree(&p, err);
    if (rc == 0 && !pack->patch && !pack->held)
        rc = pull_cost(&p, &cost, err);
    if (rc == 0)
        rc = store_check_space(i->s, cost.write_bytes, i->max_inodes, err);
    if (rc == 0 && !pack->held)
        rc = pack->patch ? pull_patch(&p, err) : pull_chunks(&p, &i->in->fetched_bytes, err);
    if (rc == 0)
        rc = keep_documents(i, &p, err);
    pull_close(&p);
    return rc;
}

static int lay_tree(struct install *i, struct err *err)
{
    AUTO_FD int fd = openat(i->work_fd, "record0", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || lseek(fd, sizeof(TREE_MAGIC) - 1, SEEK_SET) < 0)
        return err_errno(err, errno, "open the tree");
    int rc = install_entries(i, fd, false, true, err);
    return rc < 0 ? rc : lay_mount_points(&i->lay, err);
}

int install_pack(struct install *i, struct err *err)
{
    int rc = gather(i, err);

    if (rc == 0)
        rc = lay_tree(i, err);
    i->in->written_bytes = i->stage.written;
    return rc;
}
