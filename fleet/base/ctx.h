/* ctx.h - a fleet's directory on the operator's machine, and its settings:
 *   fleet.json                   name, broker, registry defaults
 *   keys/<role>-<n>.key          signing keys, 0600; the root keys belong on an offline medium in earnest use
 *   trust/<version>.json         signed trust documents
 *   pki/                         CA, broker and operator certificates and keys
 *   devices/<id>/                what is copied to a device's /etc/limpet
 *   releases/<name>/             signed releases by counter, index.json
 *   desired/<d|g>-<name>.json    what was signed last for a device or group
 * Nothing here overwrites a file but indexes and desired/; every file is durable before the next one is
 * begun. */
#ifndef FLEET_CTX_H
#define FLEET_CTX_H
#include <sys/types.h>

#include "fleet/base/args.h"
#include "fleet/base/out.h"
#include "platform/limits.h"
#include "platform/mem.h"

struct ctx {
    int dir_fd, lock_fd;
    char path[512]; /* of the directory, for libraries that want paths */
    char fleet[LIM_NAME_BYTES], host[256];
    uint16_t port;
    char registry_ca[512], registry_auth[512]; /* empty: none */
    enum out_format output;
};

/* The directory that -C, FLEETCTL_DIR or the default names, into dst. Errors: INVALID (too long), USAGE (no
 * home). */
NODISCARD int ctx_path(const struct args *a, char *dst, size_t size, struct err *err);
/* Open the directory and read fleet.json. Errors: NOTFOUND (run init), INVALID (the field). End with
 * ctx_close.
 */
NODISCARD int ctx_open(const struct args *a, struct ctx *ret, struct err *err);
/* Make the directory and fleet.json, or open it when it is there and says the same fleet. Errors: CONFLICT,
 * INVALID. */
NODISCARD int ctx_init(const struct args *a, const char *fleet, const char *host, uint16_t port,
                       struct ctx *ret, struct err *err);
void ctx_close(struct ctx *c);
/* Only one fleetctl changes a directory at a time; held until ctx_unlock or ctx_close. Waits a while for
 * another one. Errors: CONFLICT. */
NODISCARD int ctx_lock(struct ctx *c, struct err *err);
void ctx_unlock(struct ctx *c);
/* "gw-1:8883", "[::1]:8883", "gw-1" (8883) -> parts. Errors: USAGE. */
NODISCARD int ctx_parse_broker(const char *text, char host[256], uint16_t *ret_port, struct err *err);

/* Files by path below the directory. */
bool ctx_has(const struct ctx *c, const char *name);
/* NUL behind the last byte; owner: caller. Errors: NOTFOUND, INVALID (larger than max), IO. */
NODISCARD int ctx_read(const struct ctx *c, const char *name, size_t max, struct buf *ret_own,
                       struct err *err);
/* Make a file with its directories. Errors: EXISTS, IO, NOSPACE. */
NODISCARD int ctx_create(const struct ctx *c, const char *name, struct buf bytes, mode_t mode,
                         struct err *err);
/* The same, but an older one is replaced whole (indexes only). Errors: NOSPACE, IO. */
NODISCARD int ctx_replace(const struct ctx *c, const char *name, struct buf bytes, mode_t mode,
                          struct err *err);
/* Names in a directory, sorted by name; NULL-terminated, one block, owner: caller. An absent directory is
 * empty. */
char **ctx_list(const struct ctx *c, const char *name);

static inline void buf_auto_free_(struct buf *b)
{
    free((void *)b->p);
}
/* A struct buf that owns its bytes. */
#define AUTO_BUF __attribute__((cleanup(buf_auto_free_))) struct buf
#endif
