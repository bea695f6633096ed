/* state_tool.c - a test-only program that does to a state directory what core does with documents, one step a
 * run, so that a test can end it at each system call. Keys and documents are made from the numbers alone.
 *   state-tool DIR trust VERSION     a trust document arrives (1: the first one)
 *   state-tool DIR accept REV        a manifest arrives
 *   state-tool DIR confirm           its trial ended well: candidate becomes good, good previous
 *   state-tool DIR refuse            its trial failed
 *   state-tool DIR rollback          the operator goes back to the set before
 *   state-tool DIR show              what is remembered: NAME=VALUE words on one line
 * Errors go to stderr as "KIND: message", exit status is the kind. */
#include <fcntl.h>
#include <stdio.h>

#include "agent/core.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"

#define ISSUED  1700000000ULL /* before any clock of a test machine ... */
#define EXPIRES 8000000000ULL /* ... and after it */

static struct core core;

static void make_key(unsigned n, uint8_t priv[P256_PRIV_BYTES])
{
    memset(priv, 0, P256_PRIV_BYTES);
    priv[P256_PRIV_BYTES - 1] = (uint8_t)(n + 1);
}

static int make_trust(uint64_t version, struct envelope **ret, struct err *err)
{
    struct trust t = {
        .fleet = "demo", .version = version, .issued_s = ISSUED + version, .expires_s = EXPIRES};
    uint8_t root[1][P256_PRIV_BYTES], pub[P256_PRIV_BYTES];
    int r = 0;

    for (unsigned i = 0; r == 0 && i < TRUST_ROLE_COUNT_; i++) {
        t.roles[i].threshold = t.roles[i].n_keys = 1;
        make_key(i, pub);
        r = p256_public(pub, &t.roles[i].keys[0], err);
    }
    if (r < 0)
        return r;
    char AUTO_MEM *text = trust_build(&t);
    make_key(TRUST_ROOT, root[0]);
    return envelope_sign(ENVELOPE_TYPE_TRUST, buf_str(text), root, 1, ret, err);
}

static int make_manifest(uint64_t rev, struct envelope **ret, struct err *err)
{
    uint8_t key[1][P256_PRIV_BYTES];
    char text[1024];

    make_key(TRUST_FLEET, key[0]);
    (void)str_fmt(text, sizeof(text),
                  "{\"schema\":\"limpet.desired/1\",\"fleet\":\"demo\",\"target\":{\"device\":\"dev-1\"},"
                  "\"rev\":%llu,\"issued\":%llu,\"expires\":%llu,\"apps\":[{\"name\":\"web\",\"release\":{"
                  "\"name\":\"web\",\"counter\":%llu,\"digest\":\"sha256:"
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":700},"
                  "\"sources\":[\"http://127.0.0.1:9/web\"]}]}",
                  (unsigned long long)rev, ISSUED + rev, EXPIRES, (unsigned long long)rev);
    return envelope_sign(ENVELOPE_TYPE_DESIRED, buf_str(text), key, 1, ret, err);
}

static int take(const char *source, const struct envelope *e, struct err *err)
{
    return intake_document(&core, source, e, err);
}

static int run(const char *verb, uint64_t n, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int r = 0;

    if (strcmp(verb, "trust") == 0)
        return (r = make_trust(n, &e, err)) < 0 ? r : take("local", e, err);
    if (strcmp(verb, "accept") == 0)
        return (r = make_manifest(n, &e, err)) < 0 ? r : take("device", e, err);
    if (strcmp(verb, "confirm") == 0)
        return intake_confirm(&core, err);
    if (strcmp(verb, "rollback") == 0)
        return intake_rollback(&core, err);
    if (strcmp(verb, "refuse") == 0)
        intake_verdict(&core, VERDICT_ROLLED_BACK, "as the test asked");
    return r;
}

static void show(void)
{
    const struct ledger *l = &core.state.ledger;

    printf("rev=%llu candidate=%llu good=%llu previous=%llu verdict=%s back=%d trust=%llu floor=%llu\n",
           (unsigned long long)(l->n_revs ? l->revs[0].rev : 0),
           (unsigned long long)(core.sets.candidate.arena ? core.sets.candidate.d.rev : 0),
           (unsigned long long)(core.sets.good.arena ? core.sets.good.d.rev : 0),
           (unsigned long long)(core.sets.previous.arena ? core.sets.previous.d.rev : 0),
           plan_verdict_name(l->candidate_verdict), l->follow_previous,
           (unsigned long long)(core.state.has_trust ? core.state.trust.version : 0),
           (unsigned long long)ledger_floor(l, "web"));
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    uint64_t n = 0;
    char note[200];

    if (argc < 3 || (argc > 3 && !str_u64(argv[3], 0, UINT64_MAX, &n)))
        return 2;
    log_init("state-tool", LOG_ERROR_, false);
    (void)str_copy(core.config.fleet, sizeof(core.config.fleet), "demo");
    (void)str_copy(core.config.device, sizeof(core.config.device), "dev-1");
    core.memory_total_bytes = UINT64_MAX;
    core.run_fd = -1;
    int r = crypto_init(&err);
    if (r == 0)
        r = fs_open_dir(AT_FDCWD, argv[1], true, 0700, &core.state_fd, &err);
    if (r == 0)
        r = state_open(core.state_fd, &core.state, note, &err);
    if (r == 0)
        r = intake_load(&core, &err);
    if (r == 0 && note[0])
        fprintf(stderr, "note: %s\n", note);
    if (r == 0)
        r = run(argv[2], n, &err);
    if (r == 0 && core.intake.unsaved)
        r = err_set(&err, ERR_IO, "the ledger is not saved");
    if (r == 0)
        show();
    (void)fflush(stdout);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", err_kind_name(err.kind), err.msg);
    return r < 0 ? -r : 0;
}
