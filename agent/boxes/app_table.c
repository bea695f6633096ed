#include "agent/boxes/app_table.h"

#include "agent/core.h"

struct app *app_find(struct core *c, const char *name)
{
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && strcmp(c->apps[i].seen.name, name) == 0)
            return &c->apps[i];
    return NULL;
}

bool app_table_any_box(const struct core *c)
{
    for (unsigned i = 0; i < LIM_APPS; i++)
        if (c->apps[i].used && c->apps[i].seen.box != BOX_NONE)
            return true;
    return false;
}

void app_no_devices(struct app *a)
{
    free(a->devices);
    a->devices = NULL;
}

void app_usage(struct app *a, struct cgroup_usage *ret)
{
    box_usage(&a->core->cgroups, &a->box, ret);
    if (ret->memory_peak_bytes != CGROUP_UNSET && ret->memory_peak_bytes > a->peak_bytes)
        a->peak_bytes = ret->memory_peak_bytes;
}

struct app *app_new(struct core *c, const char *name)
{
    struct app *a = app_find(c, name);

    for (unsigned i = 0; !a && i < LIM_APPS; i++)
        if (!c->apps[i].used || (c->apps[i].seen.box == BOX_NONE && !sets_want(c, c->apps[i].seen.name)))
            a = &c->apps[i];
    if (!a || (a->used && strcmp(a->seen.name, name) == 0))
        return a;
    free(a->probe);
    app_no_devices(a);
    *a = (struct app){.used = true, .core = c, .pidfd = -1, .out_fd = -1, .err_fd = -1};
    a->exit_watch.fd = a->out_watch.fd = a->err_watch.fd = a->oom_watch.fd = -1;
    (void)str_copy(a->seen.name, sizeof(a->seen.name), name);
    return a;
}
