/* init: keys, CA, broker and operator certificates, trust version 1, device bundles. Run again, it completes
 * what is missing. */
#include <inttypes.h>
#include <string.h>

#include "fleet/doc/bundle.h"
#include "fleet/doc/keyring.h"
#include "fleet/doc/x509.h"
#include "fleet/verbs/verbs.h"
#include "platform/clock.h"
#include "platform/crypto.h"

#define DEVICES_MAX   60
#define TRUST_DEFAULT (5 * 365ULL * 86400ULL * 1000ULL) /* ms; before it ends: keys rotate root */

static int first_trust(const struct ctx *c, uint64_t valid_ms, struct err *err)
{
    struct trust_doc AUTO_MEM *t = mem_need_zero(sizeof(*t));
    struct signing_key k;
    char id[LIM_NAME_BYTES];

    if (keyring_trust_last_version(c) > 0)
        return 0;
    t->version = 1;
    t->issued_s = clock_wall_s();
    t->expires_s = t->issued_s + valid_ms / 1000;
    for (unsigned r = 0; r < TRUST_ROLE_COUNT_; r++) {
        (void)str_fmt(id, sizeof(id), "%s-1", role_names[r]);
        if (keyring_key_ensure(c, id, &k, NULL, err) < 0 ||
            keyring_trust_add(t, (enum trust_role)r, &k, false, err) < 0)
            return -(int)err->kind;
    }
    return keyring_trust_save(c, t, NULL, err) < 0 ? -(int)err->kind : 1;
}

static int broker_cert(const struct ctx *c, const struct args *a, struct err *err)
{
    const char *hosts[X509_HOSTS] = {c->host}, *more[X509_HOSTS];
    static const char *const local[] = {"localhost", "127.0.0.1", "::1"};
    unsigned n = 1, n_more = args_all(a, OPT_HOST, more, COUNT_OF(more));

    for (unsigned i = 0; i < COUNT_OF(local); i++)
        if (strcmp(c->host, local[i]) != 0)
            hosts[n++] = local[i];
    for (unsigned i = 0; i < n_more && n < X509_HOSTS; i++)
        hosts[n++] = more[i];
    return bundle_broker(c, "pki/broker", hosts, n, err);
}

static int devices(const struct ctx *c, const struct args *a, struct err *err)
{
    const char *ids[DEVICES_MAX];
    unsigned n = args_all(a, OPT_DEVICE, ids, COUNT_OF(ids));
    struct bundle_want w = {.state_dir = args_str(a, OPT_STATE_DIR, "/var/lib/limpet"),
                            .run_dir = args_str(a, OPT_RUN_DIR, "/run/limpet")};
    int rc = 0;

    w.n_groups = args_all(a, OPT_GROUP, w.groups, LIM_GROUPS);
    for (unsigned i = 0; i < n && rc >= 0; i++) {
        w.id = ids[i];
        rc = bundle_device(c, &w, err);
        if (rc >= 0)
            term_print(stdout, "%s  devices/%s\n", rc ? "made" : "kept", w.id);
    }
    return rc < 0 ? rc : 0;
}

static int fill(const struct ctx *c, const struct args *a, struct err *err)
{
    uint64_t valid_ms = TRUST_DEFAULT;
    unsigned made = 0;
    int trust, broker;

    if (args_ms(a, OPT_EXPIRES, &valid_ms, err) < 0)
        return -(int)err->kind;
    trust = first_trust(c, valid_ms, err);
    if (trust < 0)
        return trust;
    term_print(stdout, "%s  keys/, trust/%" PRIu64 ".json\n", trust ? "made" : "kept",
               keyring_trust_last_version(c));
    if (bundle_ensure(c, &made, err) < 0 || (broker = broker_cert(c, a, err)) < 0)
        return -(int)err->kind;
    term_print(stdout, "%s  pki/\n", made || broker ? "made" : "kept");
    return devices(c, a, err);
}

int verb_init(struct ctx *none, const struct args *a, struct err *err)
{
    const char *fleet = args_str(a, OPT_FLEET, NULL);
    struct ctx c;
    char host[256];
    uint16_t port;
    int rc;

    (void)none;
    if (!fleet || !str_is_name(fleet))
        return err_set(err, ERR_USAGE, "--fleet NAME is needed: small letters, digits, . _ -");
    if (crypto_init(err) < 0 ||
        ctx_parse_broker(args_str(a, OPT_BROKER, "localhost:8883"), host, &port, err) < 0 ||
        ctx_init(a, fleet, host, port, &c, err) < 0)
        return -(int)err->kind;
    rc = fill(&c, a, err);
    if (rc == 0)
        out_note("fleet '%s' in %s. Keep keys/root-*.key and pki/ca.key offline in earnest use.\n"
                 "next: copy devices/ID/ to the device's /etc/limpet, then fleetctl publish REF",
                 c.fleet, c.path);
    ctx_close(&c);
    return rc;
}
