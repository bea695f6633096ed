/* repo_int.h - inside of repo.h: the two kinds of repository. */
#ifndef FLEET_REPO_INT_H
#define FLEET_REPO_INT_H
#include "fleet/repo/repo.h"

struct repo_kind {
    int (*manifest)(struct repo *r, const char *tag, struct buf *ret_own, struct err *err);
    int (*blob)(struct repo *r, const char *digest, http_sink sink, void *arg, struct err *err);
    int (*put_blob)(struct repo *r, struct buf bytes, const char *digest, struct err *err);
    int (*put_manifest)(struct repo *r, const char *tag, struct buf text, struct err *err);
    int (*tags)(struct repo *r, repo_tag_fn each, void *arg, struct err *err);
};
struct repo {
    const struct repo_kind *kind;
    char source[600], tag[140];
    char base[300], name[256]; /* registry: "http://host:5000", "demo/web" */
    int dir_fd;                /* layout */
    char temporary[300];       /* an archive, laid out; goes with us */
    struct http *http;
};
extern const struct repo_kind repo_registry, repo_layout;

/* The media type of an index or manifest: what it says itself, else by its members. */
const char *repo_type(struct buf text);
/* Make an empty layout of a directory that is none yet. Errors: NOSPACE, IO. */
NODISCARD int repo_layout_make(int dir_fd, struct err *err);
/* repo_archive.c: lay the tar file out in a directory of its own; r->tag: which image of it, empty: the
 * first. Errors: NOTFOUND, INVALID, NOSPACE, IO. */
NODISCARD int repo_open_archive(const char *file, struct repo *r, struct err *err);

/* A growing buffer that is a sink. */
struct repo_mem {
    uint8_t *p;
    size_t len, cap, max;
};
/* arg: a struct repo_mem, zeroed but for max; p is malloc'd, owner: caller. Errors: INVALID (more than
 * max). */
NODISCARD int repo_mem_sink(void *arg, struct buf bytes, struct err *err);
#endif
