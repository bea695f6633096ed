/* box_group.c - the control group of a box about to start. See box_int.h. */
#include "runtime/box/box_int.h"

/* A caller with a config.json gets an error for what is not in force; the agent gets a report (L9). */
static int fill_group(const struct cgroup_host *h, const struct spec *s, const char *path,
                      struct cgroup **ret, struct box_report *rep, struct err *err)
{
    AUTO_MEM struct cgroup_list *own = NULL;
    struct cgroup_list *list = s->resources;
    int rc;

    if (!list) {
        list = own = mem_need(sizeof(*own));
        cgroup_list_of_limits(&s->limits, own);
        cgroup_list_standard_devices(own);
    }
    if ((rc = cgroup_make_list(h, path, list, ret, err)) < 0)
        return rc;
    cgroup_list_report(list, &rep->cgroup);
    rep->devices = list->device_state;
    if (own || (rc = cgroup_list_judge(list, err)) == 0)
        return 0;
    err_ignore(cgroup_remove(*ret, 1000, NULL));
    return rc;
}

int box_make_group(const struct cgroup_host *h, const struct spec *s, const char *path, struct cgroup **ret,
                   bool *ret_fresh, struct box_report *rep, struct err *err)
{
    struct cgroup *old = NULL;
    bool empty = true, fresh = true;

    /* remove what an earlier box left there: its counts of kills are not ours */
    if (cgroup_may_exist(h, path) && cgroup_open(h, path, &old, NULL) == 0) {
        empty = cgroup_is_empty(old);
        fresh = empty && cgroup_remove(old, 0, NULL) == 0;
    }
    (void)cgroup_free(old);
    if (!empty) /* it keeps its limits */
        return err_set(err, ERR_CONFLICT, "processes of an earlier start still run in cgroup %s", path);
    *ret_fresh = fresh;
    return fill_group(h, s, path, ret, rep, err);
}
