#include "agent/decide/judge.h"

#include <inttypes.h>

#include "platform/clock.h"

/* Law L10, for anything that has a release. at: the field's path. */
static int judge_counter(const struct ledger *l, const struct want *w, const char *at, struct err *err)
{
    uint64_t floor = ledger_floor(l, w->release_name);

    if (w->counter < floor)
        return err_set(err, ERR_DENIED,
                       "%s.release.counter: %" PRIu64 " is below %" PRIu64 ", which %s has reached here", at,
                       w->counter, floor, w->release_name);
    if (!ledger_has_room(l, w->release_name))
        return err_set(err, ERR_NOSPACE,
                       "%s.release.name: this device keeps counters of %d names, %s would be one more", at,
                       STATE_FLOORS, w->release_name);
    return 0;
}

static int judge_required(const struct want *w, unsigned i, const struct box_caps *caps, struct err *err)
{
    const struct {
        const char *field, *line;
        enum policy_enforce enforce;
        bool can;
    } rows[] = {
        {"memory.enforce", "CONFIG_MEMCG=y (and cgroup_enable=memory on a Raspberry Pi)", w->memory_enforce,
         caps->cgroup_memory},
        {"cpu.enforce", "CONFIG_CFS_BANDWIDTH=y", w->cpu_enforce, caps->cgroup_cpu},
        {"pids.enforce", "CONFIG_CGROUP_PIDS=y", w->pids_enforce, caps->cgroup_pids},
        {"userns", "CONFIG_USER_NS=y and idmapped mounts (Linux 5.12)", w->userns,
         caps->userns && caps->idmap && w->net != NET_HOST},
        {"seccomp", "CONFIG_SECCOMP_FILTER=y", w->seccomp, caps->seccomp},
        {"network.mode", "CONFIG_BRIDGE=y and CONFIG_VETH=y",
         w->net == NET_BRIDGE ? ENFORCE_REQUIRED : ENFORCE_BEST_EFFORT, caps->bridge},
        {"network.ports", "nftables with NAT", w->n_ports ? ENFORCE_REQUIRED : ENFORCE_BEST_EFFORT,
         caps->nat},
    };

    /* needs an upper layer; the image's own files belong to the store and other images (L13) */
    if (!w->read_only)
        return err_set(
            err, ERR_UNSUPPORTED,
            "apps[%u].read_only: false is not possible yet; mount a tmpfs or a volume where %s writes", i,
            w->name);
    for (unsigned k = 0; k < COUNT_OF(rows); k++)
        if (rows[k].enforce == ENFORCE_REQUIRED && !rows[k].can)
            return err_set(err, ERR_UNSUPPORTED,
                           "apps[%u].%s: %s is required and this device cannot enforce it; it needs %s", i,
                           rows[k].field, w->name, rows[k].line);
    return 0;
}

int judge_desired(const struct desired *d, const struct judge_facts *f, struct err *err)
{
    char when[24];

    if (d->expires_s <= now_s(f->now))
        return err_set(err, ERR_DENIED, "expires: it was valid until %s; %s",
                       clock_rfc3339(d->expires_s, when, sizeof(when)), f->now_text);
    if (!now_may_be_issued(f->now, d->issued_s))
        return err_set(err, ERR_DENIED,
                       "issued: it was signed at %s; %s: check the clock of the machine that signed it",
                       clock_rfc3339(d->issued_s, when, sizeof(when)), f->now_text);
    if (d->has_os) {
        int rc = judge_counter(f->ledger, &d->os.want, "os", err);
        if (rc < 0)
            return rc;
    }
    for (unsigned i = 0; i < d->n; i++) {
        const struct want *w = &d->apps[i];
        char at[24];
        (void)str_fmt(at, sizeof(at), "apps[%u]", i);
        int rc = judge_counter(f->ledger, w, at, err);
        if (rc < 0)
            return rc;
        if (ledger_is_bad(f->ledger, &w->trial))
            return err_set(err, ERR_DENIED,
                           "apps[%u].release: %s %" PRIu64
                           " with the same settings has failed on this device before; "
                           "change one, or its \"retry\" (fleetctl apply --retry)",
                           i, w->release_name, w->counter);
        if (w->memory_max_bytes != CGROUP_UNSET && w->memory_max_bytes > f->memory_total_bytes)
            return err_set(err, ERR_NOSPACE,
                           "apps[%u].memory.max_bytes: %" PRIu64 " is more than the device's %" PRIu64, i,
                           w->memory_max_bytes, f->memory_total_bytes);
        rc = judge_required(w, i, f->caps, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}
