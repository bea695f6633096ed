/* oci.h - OCI image-spec 1.x documents: index, manifest, config. Not ours, but core parses them only after
 * their bytes matched a digest signed with one of our keys (L1). Open schemas: unknown members are ignored.
 * Docker's v2 media types too. Pure. */
#ifndef OTA_OCI_H
#define OTA_OCI_H
#include "platform/arena.h"
#include "platform/crypto.h"
#include "platform/json.h"

enum oci_codec { OCI_TAR, OCI_TAR_GZIP, OCI_TAR_ZSTD, OCI_CODEC_COUNT_ };
struct oci_blob {
    struct digest digest;
    uint64_t size_bytes;
    enum oci_codec codec; /* layers only */
};
struct oci_manifest {
    struct oci_blob config;
    unsigned n_layers;
    struct oci_blob layers[LIM_OCI_LAYERS];
};
struct oci_config { /* strings are in the arena; NULL or empty if the image has none */
    const char *architecture, *os, *variant;
    const char *const *entrypoint, *const *cmd, *const *env; /* NULL-terminated, or NULL */
    const char *user, *working_dir, *stop_signal;
    unsigned n_diff_ids;
    struct digest diff_ids[LIM_OCI_LAYERS];
};
/* A document that is both index and manifest is refused. Errors: INVALID, UNSUPPORTED (media type). */
NODISCARD int oci_is_index(struct buf json, struct err *err); /* 1 index, 0 manifest, negative error */
/* The entry of an index for a platform, chosen as by release_choose. NOTFOUND with the list of available
 * platforms. */
NODISCARD int oci_index_choose(struct buf json, const char *arch, const char *variant, struct oci_blob *ret,
                               struct err *err);
/* Errors: INVALID, UNSUPPORTED (media type, unknown kind of layer). */
NODISCARD int oci_manifest_parse(struct buf json, struct oci_manifest *ret, struct err *err);
/* Strings are allocated in arena. Errors: INVALID, NOMEM (the arena is full). */
NODISCARD int oci_config_parse(struct buf json, struct arena *arena, struct oci_config *ret, struct err *err);
#endif
