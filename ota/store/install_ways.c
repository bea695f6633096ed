/* install_ways.c - where an image's entries come from: its layers (blobs through the untar program, or the record that
 * an image before left), or a pack with its tree. */
#include <errno.h>
#include <fcntl.h>

#include "ota/store/install_int.h"

/* ---- layers ---- */

static int pass_from_blob(struct install *i, unsigned layer, int blob_fd, bool whiteouts, struct err *err)
{
    struct untar_run run = {.entry_fd = -1, .line_fd = -1};
    struct err own = ERR_INIT, said = ERR_INIT;

    if (lseek(blob_fd, 0, SEEK_SET) < 0)
        return err_errno(err, errno, "layer");
    int r = untar_run_start(i->in->untar_argv, blob_fd, i->manifest.layers[layer].codec, &i->diff_ids[layer],
                            layer_max_tar(i->max_bytes, i->max_inodes), whiteouts, &run, err);
    if (r < 0)
        return r;
    r = install_entries(i, run.entry_fd, whiteouts, false, &own);
    bool cut = r < 0 && i->stream->ended;
    if (r == 0 || cut) { /* it knows best why it stopped */
        int verdict = untar_run_end(&run, &said);
        if (verdict < 0)
            r = err_set(err, said.kind, "layer %u: %s", layer, said.msg);
        else if (cut)
            r = err_set(err, own.kind, "layer %u: %s", layer, own.msg);
    } else {
        r = err_set(err, own.kind, "layer %u: %s", layer, own.msg);
    }
    untar_run_done(&run);
    return r;
}

/* What runs through the untar program is what was just hashed: the same open file, and nobody else may write
 * it any more. */
static int open_layer(struct install *i, const struct digest *d, int *ret_fd, struct err *err)
{
    struct digest got;
    uint64_t len = 0;
    char hex[65];
    int AUTO_FD fd = openat(i->s->blobs_fd, digest_hex(d, hex), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "open layer %s", hex);
    int r = sha256_fd(fd, &got, &len, err);
    if (r < 0)
        return r;
    if (!digest_eq(&got, d)) {
        (void)unlinkat(i->s->blobs_fd, hex, 0);
        return err_set(err, ERR_INTEGRITY, "layer %s has gone bad on disk", hex);
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int from_blob(struct install *i, unsigned layer, struct err *err)
{
    char name[24];
    int AUTO_FD blob_fd = -1;
    int AUTO_FD record_fd = -1;
    int r = open_layer(i, &i->manifest.layers[layer].digest, &blob_fd, err);

    (void)str_fmt(name, sizeof(name), INSTALL_RECORD, layer);
    if (r == 0)
        r = record_begin(i->work_fd, name, &record_fd, err);
    if (r == 0 && layer > 0) /* deletions mean the layers below, wherever in the archive they stand */
        r = pass_from_blob(i, layer, blob_fd, true, err);
    i->record_fd = record_fd;
    return r < 0 ? r : pass_from_blob(i, layer, blob_fd, false, err);
}

static int from_record(struct install *i, unsigned layer, struct err *err)
{
    int r = 0;

    for (int whiteouts = layer > 0; r == 0 && whiteouts >= 0; whiteouts--) {
        int AUTO_FD fd = -1;
        r = record_open(i->s, &i->manifest.layers[layer].digest, &fd, err);
        if (r == 0)
            r = install_entries(i, fd, whiteouts, true, err);
    }
    i->recorded[layer] = true;
    return r;
}

int install_layers(struct install *i, struct err *err)
{
    int r = 0;

    for (unsigned n = 0; r == 0 && n < i->manifest.n_layers; n++) {
        const struct digest *d = &i->manifest.layers[n].digest;
        if (record_is_whole(i->s, d, NULL))
            r = from_record(i, n, err);
        else
            r = from_blob(i, n, err);
    }
    return r < 0 ? r : lay_mount_points(&i->lay, err);
}

/* ---- by a pack ---- */

static int link_in(struct install *i, int dir_fd, const char *name, const char *as, struct err *err)
{
    return linkat(dir_fd, name, i->work_fd, as, 0) < 0 ? err_errno(err, errno, "keep %s", as) : 0;
}

/* Tree and table become the image's own: the very files that were compared with their digests. */
static int keep_documents(struct install *i, const struct pull *p, struct err *err)
{
    const struct store_pack *pack = p->pack;
    char hex[65];
    int r;

    if (pack->patch && !pack->held)
        r = link_in(i, i->stage.dir_fd, PULL_TREE_FILE, "record0", err);
    else
        r = link_in(i, pack->held ? i->s->layers_fd : i->s->blobs_fd, digest_hex(&pack->tree, hex), "record0",
                    err);
    if (r == 0 && p->table.len)
        r = link_in(i, i->s->blobs_fd, digest_hex(&p->table_is, hex), "table", err);
    return r;
}

/* Bring all objects into staged/ and the tree into record0. */
static int gather(struct install *i, struct err *err)
{
    const struct store_pack *pack = i->in->pack;
    struct store_cost cost = {.write_bytes = pack->write_bytes};
    struct pull p;
    int r = pull_open(&p, i->s, pack, &i->stage, i->line_fd, err);

    p.max_bytes = i->stage.max_bytes = i->max_bytes;
    p.max_inodes = i->max_inodes;
    if (r == 0 && !pack->patch)
        r = pull_judge_tree(&p, err);
    if (r == 0 && !pack->patch && !pack->held)
        r = pull_cost(&p, &cost, err);
    if (r == 0)
        r = store_check_space(i->s, cost.write_bytes, i->max_inodes, err);
    if (r == 0 && !pack->held)
        r = pack->patch ? pull_patch(&p, err) : pull_chunks(&p, &i->in->fetched_bytes, err);
    if (r == 0)
        r = keep_documents(i, &p, err);
    pull_close(&p);
    return r;
}

static int lay_tree(struct install *i, struct err *err)
{
    int AUTO_FD fd = openat(i->work_fd, "record0", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || lseek(fd, sizeof(TREE_MAGIC) - 1, SEEK_SET) < 0)
        return err_errno(err, errno, "open the tree");
    int r = install_entries(i, fd, false, true, err);
    return r < 0 ? r : lay_mount_points(&i->lay, err);
}

int install_pack(struct install *i, struct err *err)
{
    int r = gather(i, err);

    if (r == 0)
        r = lay_tree(i, err);
    i->in->written_bytes = i->stage.written;
    return r;
}
