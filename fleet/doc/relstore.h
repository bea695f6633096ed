/* relstore.h - the releases that this directory knows: releases/<name>/<counter>.json (envelopes) and
 * index.json. */
#ifndef FLEET_RELSTORE_H
#define FLEET_RELSTORE_H
#include "fleet/base/ctx.h"
#include "platform/crypto.h"

struct rel { /* a line of index.json */
    char name[LIM_NAME_BYTES], version[LIM_NAME_BYTES], source[600], image[SHA256_TEXT];
    uint64_t counter, bytes, issued_s; /* bytes: of the envelope */
    uint64_t packed_bytes;             /* of the largest platform */
    struct digest digest;              /* of the envelope */
};
/* All releases of a name, rising counters. *ret: malloc'd, owner: caller. An unknown name has none. Errors:
 * INVALID, IO. */
NODISCARD int relstore_load(const struct ctx *c, const char *name, struct rel **ret, unsigned *ret_n,
                            struct err *err);
/* "web:1.4.2", "web:latest", "web" (latest) or "web@2". Errors: NOTFOUND (with what there is), INVALID. */
NODISCARD int relstore_find(const struct ctx *c, const char *ref, struct rel *ret, struct err *err);
/* By the envelope's digest, over all names. NOTFOUND. */
NODISCARD int relstore_by_digest(const struct ctx *c, const struct digest *d, struct rel *ret,
                                 struct err *err);
/* Keep an envelope, then its line. Errors: CONFLICT (the counter is taken), IO. */
NODISCARD int relstore_add(const struct ctx *c, const struct rel *r, struct buf envelope, struct err *err);
#endif
