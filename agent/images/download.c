#include "agent/images/download.h"

#include "agent/core.h"

void download_init(struct core *c, const struct want *w, const struct fetch_blob *blobs, unsigned n_blobs,
                   uint64_t rate_bytes_s, struct download *ret)
{
    const struct config *config = &c->config;

    ret->told = 0;
    (void)str_fmt(ret->program, sizeof(ret->program), "%s/agentd-fetch", c->libexec);
    (void)str_fmt(ret->group, sizeof(ret->group), "%s/agent/fetch", c->cgroup_root);
    ret->request = (struct fetch_request){.sources = w->sources,
                                          .n_sources = w->n_sources,
                                          .blobs = blobs,
                                          .n_blobs = n_blobs,
                                          .ca_file = config->fetch_ca[0] ? config->fetch_ca : NULL,
                                          .auth_file = config->fetch_auth[0] ? config->fetch_auth : NULL,
                                          .program = ret->program,
                                          .cgroup_path = ret->group,
                                          .uid = c->uid,
                                          .gid = c->gid,
                                          .rate_bytes_s = rate_bytes_s,
                                          .budget_bytes = budget_ask(c),
                                          .deadline_ms = LIM_JOB_MS};
}

int download_commit(struct store *s, const struct digest *d, uint64_t bytes, struct err *err)
{
    int rc = store_partial_commit(s, d, bytes, err);

    if (rc == -(int)ERR_INTEGRITY) {
        err->kind = ERR_SOURCE;
        rc = -(int)ERR_SOURCE;
    }
    return rc;
}
