/* desired.h - from the operator's file to the document that is signed. */
#ifndef FLEET_DESIRED_H
#define FLEET_DESIRED_H
#include "fleet/base/ctx.h"
#include "fleet/base/doc.h"

/* Blank out // and block comments outside of strings, in place: offsets in messages stay right. Pure. */
void desired_strip(char *text);
/* Read a file ("-": stdin), strip it. owner: caller. Errors: NOTFOUND, INVALID (larger than
 * LIM_ENVELOPE_BYTES), IO. */
NODISCARD int desired_read(const char *file, struct buf *ret_own, struct err *err);

struct target {
    const char *device, *group; /* one of them */
};
/* -d or -g. Errors: USAGE. */
NODISCARD int desired_target_parse(const struct args *a, struct target *ret, struct err *err);
/* The topic of its desired state. */
void desired_target_topic(const struct ctx *c, const struct target *t, char dst[200]);

struct fill {
    struct target target;
    uint64_t rev, issued_s, expires_s;
    const char *by;             /* NULL: none */
    const struct json_cur *old; /* the document before it, NULL: none; its apps' `retry` are kept */
    bool retry;                 /* each app's `retry` becomes rev */
};
/* The whole document: releases looked up, the rest filled, checked against the schema. *ret: JSON text,
 * owner: caller. Errors: INVALID with the field's path, NOTFOUND (release). */
NODISCARD int desired_fill(const struct ctx *c, struct buf text, const struct fill *f, char **ret,
                           struct err *err);
#endif
