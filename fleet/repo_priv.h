/* repo_priv.h - inside of repo.h: the two kinds of repository. */
#ifndef FLEET_REPO_PRIV_H
#define FLEET_REPO_PRIV_H
#include "fleet/repo.h"

struct repo_kind {
    int (*manifest)(struct repo *r, const char *tag, struct buf *ret_own, struct err *err);
    int (*blob)(struct repo *r, const char *digest, http_sink sink, void *arg, struct err *err);
    int (*put_blob)(struct repo *r, struct buf bytes, const char *digest, struct err *err);
    int (*put_manifest)(struct repo *r, const char *tag, struct buf text, struct err *err);
};
struct repo {
    const struct repo_kind *kind;
    char source[600], tag[140];
    char base[300], name[256]; /* registry: "http://host:5000", "demo/web" */
    int dir_fd;                /* layout */
    struct http *http;
};
extern const struct repo_kind repo_registry, repo_layout;

/* A growing buffer that is a sink. */
struct repo_mem {
    uint8_t *p;
    size_t len, cap, max;
};
int repo_mem_sink(void *arg, struct buf bytes, struct err *err);
#endif
