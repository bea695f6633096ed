/* devices.c - kernel uevents make us read sysfs again, the plan holds or stops an app that lacks a required
 * device, and each running box gains and loses nodes and permissions as devices come and go. What a box has
 * is in its app's file, so the next core knows it too. */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>

#include "agent/boxes/app_file.h"
#include "agent/core.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/log.h"
#include "runtime/box/live.h"

#define SETTLE_MS 50   /* one plug-in causes several events */
#define LINKS_MS  1000 /* udev makes its links after the kernel's event */

/* One device requested by an app of one of the two sets. */
struct asked {
    unsigned set, app, k;
    const struct want *w; /* NULL: before the first one */
};

static bool next_asked(const struct core *c, struct asked *a)
{
    a->k = a->w ? a->k + 1 : 0;
    for (; a->set < COUNT_OF(c->hot.sets); a->set++, a->app = 0) {
        const struct desired *d = c->hot.sets[a->set];
        for (; d && a->app < d->n; a->app++, a->k = 0) {
            a->w = &d->apps[a->app];
            if (a->k < a->w->n_devices)
                return true;
        }
    }
    return false;
}

static unsigned count_wanted(const struct core *c, bool *ret_usb)
{
    unsigned n = 0;

    for (struct asked a = {0}; next_asked(c, &a); n++) {
        enum device_match match = a.w->devices[a.k].match;
        *ret_usb |= match == DEVICE_USB || match == DEVICE_BY_ID;
    }
    return n;
}

/* ---- the kernel's events ---- */

static void settled(struct loop_timer *t)
{
    struct core *c = container_of(t, struct core, hot.settle);

    c->hot.known = false;
    core_touch(c);
    if (!c->hot.again)
        return;
    c->hot.again = false;
    loop_timer_set(c->loop, t, clock_boot_ms() + LINKS_MS);
}

/* Their content is not read: events may be lost, sysfs is authoritative. */
static void uevent_ready(struct loop_fd *w, uint32_t events)
{
    struct core *c = container_of(w, struct core, hot.uevents);
    char text[4096];

    (void)events;
    while (recv(w->fd, text, sizeof(text), MSG_DONTWAIT) > 0 || errno == ENOBUFS)
        errno = 0;
    c->hot.again = true;
    c->hot.settle.on_fire = settled;
    loop_timer_set(c->loop, &c->hot.settle, clock_boot_ms() + SETTLE_MS);
}

static void listen_to_kernel(struct core *c)
{
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = 1};
    struct err err = ERR_INIT;
    AUTO_FD int fd = -1;

    if (c->hot.listening)
        return;
    fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        log_error("devices: no events from the kernel: %s", strerror(errno));
        return;
    }
    c->hot.uevents = (struct loop_fd){.fd = -1, .on_ready = uevent_ready};
    if (loop_fd_add(c->loop, &c->hot.uevents, fd, EPOLLIN, &err) < 0) {
        log_error("devices: %s", err.msg);
        return;
    }
    c->hot.listening = true;
    (void)steal_fd(&fd);
}

void devices_close(struct core *c)
{
    int fd = c->hot.uevents.fd;

    if (!c->hot.listening)
        return;
    loop_timer_del(c->loop, &c->hot.settle);
    loop_fd_del(c->loop, &c->hot.uevents);
    (void)close(fd);
    c->hot.listening = false;
}

/* ---- what is there ---- */

struct scan {
    struct core *c;
    struct hot_dev links[2][LIM_APPS][LIM_DEVICES];
};

static void visit(void *arg, const struct hot_node *n)
{
    static const struct hot_dev none;
    struct scan *x = arg;

    for (struct asked q = {0}; next_asked(x->c, &q);) {
        struct hot_dev *best = &x->c->hot.found[q.set][q.app][q.k];
        if (!device_match_matches(&q.w->devices[q.k], n, &x->links[q.set][q.app][q.k]))
            continue;
        const struct app *a = app_find(x->c, q.w->name);
        bool ours = a && a->devices && a->seen.box != BOX_NONE && digest_eq(&a->seen.hash, &q.w->hash);
        if (device_match_is_better(&n->dev, best, ours ? &a->devices[q.k].dev : &none))
            *best = n->dev;
    }
}

static void follow_links(struct scan *x)
{
    static const char *const directories[DEVICE_MATCH_COUNT_] = {
        [DEVICE_BY_ID] = "by-id", [DEVICE_BY_PATH] = "by-path"};
    AUTO_FD int dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);

    for (struct asked q = {0}; next_asked(x->c, &q);) {
        const struct want_device *d = &q.w->devices[q.k];
        if (directories[d->match] && d->name[0] != '/')
            x->links[q.set][q.app][q.k] = device_scan_link(dev, directories[d->match], d->name);
    }
}

static void scan(struct core *c, bool usb)
{
    struct scan AUTO_MEM *x = mem_need_zero(sizeof(*x));
    AUTO_FD int sys = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    x->c = c;
    follow_links(x);
    if (sys >= 0)
        device_scan(sys, usb, visit, x);
}

void devices_observe(struct core *c)
{
    const struct desired *sets[2];
    bool usb = false, same = c->hot.known && c->hot.seen_sets == c->changes.sets;

    sets_candidates(c, &sets[0], &sets[1]);
    for (unsigned s = 0; s < 2; s++) {
        same &= sets[s] == c->hot.sets[s];
        c->hot.sets[s] = sets[s];
    }
    c->hot.seen_sets = c->changes.sets;
    if (same)
        return;
    mem_clear(c->hot.found, sizeof(c->hot.found));
    c->hot.known = true;
    if (count_wanted(c, &usb) == 0) {
        devices_close(c);
        return;
    }
    listen_to_kernel(c); /* first: so that anything plugged in during the scan is reported */
    scan(c, usb);
}

/* What was found for each device of w; NULL: it requests none, or is in none of the sets. */
static const struct hot_dev *found_of(const struct core *c, const struct want *w)
{
    for (struct asked a = {0}; next_asked(c, &a);)
        if (a.w == w)
            return c->hot.found[a.set][a.app];
    return NULL;
}

struct lack devices_lack(const struct core *c, const struct want *w)
{
    const struct hot_dev *found = found_of(c, w);
    struct lack l = {.path = NULL};

    for (unsigned k = 0; found && k < w->n_devices; k++)
        if (w->devices[k].required && !found[k].type) {
            l.path = l.path ? l.path : w->devices[k].path;
            l.stop |= w->devices[k].on_remove == DEVICE_STOP;
        }
    return l;
}

/* ---- a box gains and loses devices ---- */

static void to_live(const struct want_device *w, const struct hot_dev *dev, struct live_device *ret)
{
    *ret = (struct live_device){w->path, dev->type, dev->major, dev->minor, w->access};
}

/* The id maps of a running box, from the kernel: the list may be newer than the box. */
static int maps_of(const struct box_id *box, struct spec_id_maps *ret, struct err *err)
{
    char path[48], text[256];
    unsigned inner, outer, count;

    (void)str_fmt(path, sizeof(path), "/proc/%d/uid_map", (int)box->pid);
    if (fs_read_text(AT_FDCWD, path, text, sizeof(text), err) < 0)
        return -(int)err->kind;
    if (sscanf(text, "%u %u %u", &inner, &outer, &count) != 3 || inner != 0)
        return err_set(err, ERR_INVALID, "%s: has no root", path);
    *ret = spec_id_range(outer, count);
    return 0;
}

static int give(struct app *a, const struct box_id *box, bool userns, const struct want *w, unsigned k,
                const struct hot_dev *dev, struct err *err)
{
    struct spec_id_maps maps = {.n = 0};
    struct app_device *has = &a->devices[k];
    struct live_device d;

    to_live(&w->devices[k], dev, &d);
    *has = (struct app_device){.tried = *dev};
    int rc = userns ? maps_of(box, &maps, err) : 0;
    if (rc == 0)
        rc = live_device_add(&a->core->cgroups, box, &d, userns ? &maps : NULL, userns ? &maps : NULL,
                             a->core->app_fd, &has->rule, err);
    if (rc == 0)
        has->dev = *dev;
    else
        (void)str_fmt(has->why, sizeof(has->why), "%.140s", err->msg);
    return rc;
}

int devices_start(struct app *a, const struct box_started *b, const struct want *w, struct err *err)
{
    const struct hot_dev *found = found_of(a->core, w);
    bool userns = b->report.userns.state == CGROUP_ENFORCED;

    app_no_devices(a);
    if (w->n_devices)
        a->devices = mem_need_zero(LIM_DEVICES * sizeof(*a->devices));
    for (unsigned k = 0; found && k < w->n_devices; k++) {
        if (!found[k].type)
            continue;
        int rc = give(a, &b->id, userns, w, k, &found[k], err);
        if (rc < 0 && w->devices[k].required)
            return rc;
        if (rc < 0)
            events_add(a->core, "device-failed", w->name, "%s", err->msg);
    }
    return 0;
}

static void take(struct app *a, const struct want *w, unsigned k)
{
    struct err err = ERR_INIT;
    struct live_device d;

    to_live(&w->devices[k], &a->devices[k].dev, &d);
    if (live_device_remove(&a->core->cgroups, &a->box, &d, &err) < 0)
        log_warn("%s", err.msg);
    a->devices[k] = (struct app_device){.dev = {0}};
}

static void sync_one(struct app *a, const struct want *w, unsigned k, const struct hot_dev *found)
{
    struct err err = ERR_INIT;
    enum hot_do todo = device_match_decide(found, &a->devices[k].dev);
    const struct want_device *d = &w->devices[k];

    if (todo == HOT_NOTHING || (todo == HOT_ADD && device_match_same(found, &a->devices[k].tried)))
        return;
    if (todo != HOT_ADD) {
        take(a, w, k);
        events_add(a->core, "device-gone", w->name, "%s", d->path);
    }
    if (todo != HOT_REMOVE &&
        give(a, &a->box, a->report.userns.state == CGROUP_ENFORCED, w, k, found, &err) < 0)
        events_add(a->core, "device-failed", w->name, "%s", err.msg);
    else if (todo != HOT_REMOVE)
        events_add(a->core, "device-there", w->name, "%s: %c %u:%u", d->path, found->type, found->major,
                   found->minor);
    app_file_save(a);
    core_tell(a->core);
    if (todo != HOT_ADD && d->on_remove == DEVICE_RESTART) { /* the next plan stops it */
        a->seen.device_lost = true;
        core_touch(a->core);
    }
}

void devices_sync(struct core *c)
{
    for (unsigned i = 0; i < LIM_APPS; i++) {
        struct app *a = &c->apps[i];
        const struct want *w = a->used && a->seen.box == BOX_RUNNING ? sets_want(c, a->seen.name) : NULL;
        const struct hot_dev *found =
            w && a->devices && digest_eq(&w->hash, &a->seen.hash) ? found_of(c, w) : NULL;
        for (unsigned k = 0; found && k < w->n_devices; k++) {
            if (!found[k].type)
                a->devices[k].tried.type = 0;
            sync_one(a, w, k, &found[k]);
        }
    }
}

/* ---- what is reported ---- */

void devices_report(struct cJSON *o, struct core *c, const char *name)
{
    const struct want *w = manifest_find(c->sets.plan.run ? c->sets.plan.run : c->sets.plan.aim, name);
    const struct hot_dev *found = w && w->n_devices ? found_of(c, w) : NULL;
    const struct app *a = app_find(c, name);
    struct cJSON *list = found ? json_put(o, "devices", json_arr()) : NULL;
    char text[40];

    for (unsigned k = 0; found && k < w->n_devices; k++) {
        const struct app_device *has = a && a->devices && a->seen.box != BOX_NONE ? &a->devices[k] : NULL;
        bool given = has && has->dev.type;
        struct cJSON *e = json_push(list, json_obj());
        json_put_str(e, "path", w->devices[k].path);
        json_put_str(e, "state",
                     given                ? "there"
                     : has && has->why[0] ? "failed"
                     : found[k].type      ? "found"
                                          : "absent");
        json_put_bool(e, "required", w->devices[k].required);
        if (found[k].type &&
            str_fmt(text, sizeof(text), "%c %u:%u", found[k].type, found[k].major, found[k].minor))
            json_put_str(e, "node", text);
        if (given && has->rule.state != CGROUP_ENFORCED)
            json_put_str(e, "why", has->rule.why[0] ? has->rule.why : "no device rules on this machine");
        else if (has && has->why[0])
            json_put_str(e, "why", has->why);
    }
}
