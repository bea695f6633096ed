/* manifest_int.h - the manifest parser (manifest.h). Private to manifest*.c: manifest_field.c reads the field
 * types, manifest_app.c and manifest_device.c an app, manifest.c the document. All report the field's path
 * when they refuse. Pure. */
#ifndef AGENT_MANIFEST_INT_H
#define AGENT_MANIFEST_INT_H
#include "agent/manifest/manifest.h"

/* One document being parsed: where strings and errors go. */
struct manifest_reader {
    struct arena *arena;
    struct err *err;
    bool saved; /* accepted earlier, perhaps by a less strict agent */
};

/* A field of o, as named in manifest_fields.h: 1: present and in *ret (strings live in the arena), 0: missing
 * (optional ones), else -kind. Errors: INVALID, NOMEM (the arena is full). */
int manifest_text(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret);
int manifest_name(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret);
/* Absolute, without "..". */
int manifest_path(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  const char **ret);
int manifest_digest(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                    struct digest *ret);
/* An array: *ret_list is allocated for its elements, of that size each, and one more; zeroed. */
int manifest_array(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                   unsigned min, unsigned max, struct json_cur *ret, size_t size, void **ret_list);
/* The same for an object with arbitrary keys. */
int manifest_map(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                 unsigned min, unsigned max, struct json_cur *ret, size_t size, void **ret_list);
/* An array of strings, NULL-terminated. */
int manifest_list(struct manifest_reader *r, const struct json_cur *o, const char *key, enum json_need need,
                  unsigned min, unsigned max, const char *const **ret);
/* "sources" of an app, the system or the agent: 0 or -kind. */
int manifest_sources(struct manifest_reader *r, const struct json_cur *from, const char **sources,
                     unsigned *ret_n);
/* "release" and "sources": 0 or -kind. */
int manifest_release(struct manifest_reader *r, const struct json_cur *app, struct want *w);
/* Copy a string into the arena. Errors: NOMEM. */
int manifest_keep(struct manifest_reader *r, const char *text, const char **ret);

/* "devices": 0 or -kind. */
int manifest_devices(struct manifest_reader *r, const struct json_cur *app, struct want *w);

/* A complete app, and the hash of what affects its box: 0 or -kind. */
int manifest_app(struct manifest_reader *r, const struct json_cur *app, struct want *w);
#endif
