/* bundle.h - the fleet's CA, its certificates, and the directory that is copied to a device. What is there is
 * kept. */
#ifndef FLEET_BUNDLE_H
#define FLEET_BUNDLE_H
#include "fleet/base/ctx.h"

/* pki/ca, pki/operator. *ret_made: how many were new. Errors: INVALID (a file that is no key or certificate),
 * NOSPACE, IO. */
NODISCARD int bundle_ensure(const struct ctx *c, unsigned *ret_made, struct err *err);
/* pki/<stem>.{key,pem}: a broker's certificate for these names and addresses. 1 made, 0 it was there. Errors:
 * INVALID (names), NOSPACE, IO. */
NODISCARD int bundle_broker(const struct ctx *c, const char *stem, const char *const *hosts, unsigned n,
                            struct err *err);

struct bundle_want {
    const char *id;
    const char *state_dir, *run_dir;
    const char *groups[LIM_GROUPS];
    unsigned n_groups;
};
/* devices/<id>/{device.key,device.pem,ca.pem,trust.json,agentd.json}. Paths in agentd.json are relative to
 * it, so the directory may lie anywhere. 1 made, 0 it was there whole. Errors: INVALID (name taken by the
 * fleet itself, path not absolute). */
NODISCARD int bundle_device(const struct ctx *c, const struct bundle_want *w, struct err *err);
#endif
