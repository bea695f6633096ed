#include "agent/boxes/adopt.h"

#include <stdio.h>

#include "agent/boxes/app_file.h"
#include "agent/boxes/apps.h"
#include "agent/boxes/names.h"
#include "agent/core.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"

static void adopt_file(struct core *c, const char *file)
{
    char name[LIM_NAME_BYTES];
    uint8_t AUTO_MEM *text = NULL;
    size_t len, stem = strlen(file) - 5;
    struct json_cur root = {.node = NULL};
    struct err err = ERR_INIT;

    if (!str_fmt(name, sizeof(name), "%.*s", (int)stem, file) || !str_is_name(name))
        return;
    struct app *a = app_new(c, name);
    if (!a || fs_read(c->app_fd, file, LIM_ENVELOPE_BYTES, &text, &len, &err) < 0 ||
        json_parse(buf_of(text, len), &json_limits_signed, &root, &err) < 0 || !app_file_read(a, &root)) {
        log_error("the file of %s cannot be used: %s", name, err.msg);
        if (a)
            a->used = false;
    } else if (a->seen.box != BOX_NONE) {
        apps_adopt(a);
    }
    (void)json_free(root.node);
}

/* Control groups of ours without an app file: a core died between starting a box and writing its file. */
static void kill_orphans(struct core *c)
{
    const struct desired *sets[] = {&c->sets.candidate.d, &c->sets.good.d, &c->sets.previous.d};

    for (unsigned i = 0; i < COUNT_OF(sets); i++)
        for (unsigned k = 0; k < sets[i]->n; k++) {
            struct app *a = app_find(c, sets[i]->apps[k].name);
            struct box_id b = {.pid = -1};
            struct cgroup *g = NULL;
            if (a && a->seen.box != BOX_NONE)
                continue;
            (void)str_copy(b.id, sizeof(b.id), sets[i]->apps[k].name);
            (void)str_fmt(b.cgroup_path, sizeof(b.cgroup_path), "%s/app/%s", c->cgroup_root, b.id);
            b.net = sets[i]->apps[k].net == NET_CNI      ? SPEC_NET_CNI
                    : sets[i]->apps[k].net == NET_BRIDGE ? SPEC_NET_BRIDGE /* at an unknown address */
                                                         : SPEC_NET_NONE;
            if (cgroup_open(&c->cgroups, b.cgroup_path, &g, NULL) < 0)
                continue;
            log_warn("%s was partly started when core died: removed", b.id);
            err_ignore(box_kill(&c->cgroups, &b, NULL));
            err_ignore(box_cleanup(&c->cgroups, &b, NULL));
            (void)cgroup_free(g);
        }
}

/* Let CNI plugins CHECK the network of a box that was taken over: one box a turn, since that may take a
 * while. */
static void check_next(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, adopt.net_check);
    struct cgroup_field *f;
    struct err err = ERR_INIT;
    struct app *a = NULL;

    for (unsigned i = 0; i < LIM_APPS && !a; i++)
        if (c->apps[i].used && c->apps[i].seen.box == BOX_RUNNING && !c->apps[i].net_known)
            a = &c->apps[i];
    if (!a)
        return;
    a->net_known = true;
    f = &a->report.network;
    if (box_net_check(&a->box, &err) < 0) {
        *f = (struct cgroup_field){.state = CGROUP_DEGRADED};
        (void)str_fmt(f->why, sizeof(f->why), "%.90s", err.msg);
        (void)str_clean(f->why);
        events_add(c, "network-bad", a->seen.name, "%s", f->why);
    } else if (a->box.net == SPEC_NET_CNI) {
        *f = (struct cgroup_field){.state = CGROUP_ENFORCED};
    }
    app_file_save(a);
    core_tell(c);
    loop_timer_set(c->loop, t, clock_boot_ms() + 1);
}

void adopt_boxes(struct core *c)
{
    char list[LIM_APPS][LIM_NAME_BYTES + 8];
    unsigned found = fs_list(c->app_fd, ".json", &list[0][0], sizeof(list[0]), LIM_APPS);

    for (unsigned i = 0; i < found; i++)
        adopt_file(c, list[i]);
    names_changed(c, NULL); /* some ended meanwhile */
    kill_orphans(c);
    struct err err = ERR_INIT;
    if (box_sweep(&err) < 0)
        log_warn("networks of boxes that have gone: %s", err.msg);
    c->adopt.net_check.on_fire = check_next;
    loop_timer_set(c->loop, &c->adopt.net_check, clock_boot_ms() + 1);
}
