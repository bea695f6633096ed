/* manifest_int.h - one manifest being read (manifest.h). Private to manifest*.c: manifest_field.c reads
 * what fields have in common, manifest_app.c and manifest_device.c an app, manifest.c the document. All
 * name the field's path when they refuse. Pure. */
#ifndef AGENT_MANIFEST_INT_H
#define AGENT_MANIFEST_INT_H
#include "agent/manifest/manifest.h"

/* One document being read: where strings go, and what the walk fills. */
struct manifest_reader {
    struct arena *arena;
    struct err *err;
    bool saved; /* accepted before, perhaps by an agent that asked for less */
};

/* A field of o, as manifest_fields.h names it: 1: it is there and in *ret (strings live in the arena), 0: it
 * is not (optional ones), else -kind. Errors: INVALID, NOMEM (the arena is full). */
int manifest_text(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret);
int manifest_name(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret);
/* Absolute, without "..". */
int manifest_path(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret);
int manifest_digest(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                    struct digest *ret);
/* An array: *ret_list has room for its elements, of that size each, and one more; all zero. */
int manifest_array(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                   unsigned min, unsigned max, struct json_cur *ret, size_t size, void **ret_list);
/* The same of an object whose keys are free. */
int manifest_map(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                 unsigned min, unsigned max, struct json_cur *ret, size_t size, void **ret_list);
/* An array of strings, then NULL. */
int manifest_list(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  unsigned min, unsigned max, const char *const **ret);
/* "sources" of an app, the system or the agent: 0 or -kind. */
int manifest_sources(struct manifest_reader *r, const struct json_cur *from, const char **sources,
                     unsigned *ret_n);
/* "release" and "sources": 0 or -kind. */
int manifest_release(struct manifest_reader *r, const struct json_cur *app, struct want *w);
/* A string into the arena. Errors: NOMEM. */
int manifest_keep(struct manifest_reader *r, const char *text, const char **ret);

/* "devices": 0 or -kind. */
int manifest_devices(struct manifest_reader *r, const struct json_cur *app, struct want *w);

/* An app, all of it, and the hash of what shapes its box: 0 or -kind. */
int manifest_app(struct manifest_reader *r, const struct json_cur *app, struct want *w);
#endif
