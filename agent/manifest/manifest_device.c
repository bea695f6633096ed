/* manifest_device.c - the devices of an app in a manifest. See manifest.h, device_match.h. */
#include <stdio.h>

#include "agent/manifest/manifest_fields.h"
#include "agent/manifest/manifest_int.h"
#include "platform/cgroup/cgroup.h"

static const char *const access_names[] = {WORDS_ACCESS};
static const unsigned access_masks[] = {CGROUP_DEV_READ | CGROUP_DEV_WRITE, CGROUP_DEV_READ,
                                        CGROUP_DEV_WRITE};
static const char *const remove_names[] = {WORDS_REMOVE};
static const char *const match_names[DEVICE_MATCH_COUNT_] = {WORDS_MATCH};

/* Four hex digits. */
static bool read_hex(const char *s, uint16_t *ret)
{
    unsigned v;

    if (strspn(s, "0123456789abcdefABCDEF") < 4 || sscanf(s, "%4x", &v) != 1)
        return false;
    *ret = (uint16_t)v;
    return true;
}

static int read_major(const struct json_cur *m, struct want_device *d, struct err *err)
{
    uint64_t major = 0, minor;

    if (json_get_u64(m, FIELD_MATCH_MAJOR, &major, err) < 0)
        return -(int)ERR_INVALID;
    int rc = json_get_u64(m, FIELD_MATCH_MINOR, &minor, err);
    d->major = (uint32_t)major;
    if (rc > 0)
        d->minor = (int64_t)minor;
    return rc;
}

static int read_match(struct manifest_reader *r, const struct json_cur *device, struct want_device *d)
{
    struct json_cur m, any;
    unsigned kinds = 0;

    if (json_get_object(device, FIELD_DEVICE_MATCH, &m, r->err) < 0)
        return -(int)r->err->kind;
    for (unsigned i = 0; i < DEVICE_MATCH_COUNT_; i++)
        if (json_get(&m, match_names[i], JSON_OPTIONAL, &any, NULL) > 0) {
            d->match = (enum device_match)i;
            kinds++;
        }
    if (kinds != 1)
        return json_fail(&m, r->err, ERR_INVALID, "exactly one of by-id, by-path, usb, major is expected");
    int rc = d->match == DEVICE_MAJOR ? read_major(&m, d, r->err)
                                      : manifest_text(r, &m, match_names[d->match], JSON_REQUIRED, &d->name);
    if (rc >= 0 && d->match == DEVICE_USB &&
        (strlen(d->name) != 9 || d->name[4] != ':' || !read_hex(d->name, &d->vendor) ||
         !read_hex(d->name + 5, &d->product)))
        return json_fail(&m, r->err, ERR_INVALID, "usb: \"%.40s\" is not like \"0403:6001\"", d->name);
    if (rc >= 0 && (d->match == DEVICE_BY_ID || d->match == DEVICE_BY_PATH) &&
        (!d->name[0] || strlen(d->name) > 255 || strcmp(d->name, "..") == 0 || strcmp(d->name, ".") == 0 ||
         (strchr(d->name, '/') && (d->match == DEVICE_BY_ID || d->name[0] != '/'))))
        return json_fail(&m, r->err, ERR_INVALID,
                         "%s: \"%.60s\" is neither the name of a link nor a path of sysfs",
                         match_names[d->match], d->name);
    if (rc < 0 || manifest_text(r, &m, FIELD_MATCH_SUBSYSTEM, &d->subsystem) < 0)
        return -(int)r->err->kind;
    return json_done(&m, r->err);
}

static int read_device(struct manifest_reader *r, const struct json_cur *c, struct want_device *d)
{
    int access = 0, on_remove = DEVICE_KEEP;

    *d = (struct want_device){.minor = -1};
    if (json_is_object(c, r->err) < 0 || read_match(r, c, d) < 0 ||
        manifest_path(r, c, FIELD_DEVICE_PATH, &d->path) < 0 ||
        json_get_enum(c, FIELD_DEVICE_ACCESS, access_names, COUNT_OF(access_names), &access, r->err) < 0 ||
        json_get_bool(c, FIELD_DEVICE_REQUIRED, &d->required, r->err) < 0 ||
        json_get_enum(c, FIELD_DEVICE_ON_REMOVE, remove_names, COUNT_OF(remove_names), &on_remove, r->err) <
            0)
        return -(int)r->err->kind;
    d->access = access_masks[access];
    d->on_remove = (enum device_remove)on_remove;
    if (strncmp(d->path, "/dev/", 5) != 0 || !d->path[5] || d->path[strlen(d->path) - 1] == '/')
        return json_fail(c, r->err, ERR_INVALID, "path: \"%.60s\" is not below /dev", d->path);
    if (d->on_remove == DEVICE_STOP && !d->required)
        return json_fail(c, r->err, ERR_INVALID, "on_remove: \"stop\" is for a device that is required");
    return json_done(c, r->err);
}

int manifest_devices(struct manifest_reader *r, const struct json_cur *app, struct want *w)
{
    struct json_cur a;

    void *room = NULL;
    int rc = manifest_array(r, app, FIELD_APP_DEVICES, &a, sizeof(*w->devices), &room);
    struct want_device *list = room;
    for (unsigned i = 0; rc > 0 && i < json_len(&a); i++) {
        struct json_cur c = json_at(&a, i);
        if (read_device(r, &c, &list[i]) < 0)
            return -(int)r->err->kind;
        for (unsigned k = 0; k < i; k++)
            if (list[k].path && list[i].path && strcmp(list[k].path, list[i].path) == 0)
                return json_fail(&c, r->err, ERR_INVALID, "path: duplicate \"%.60s\"", list[i].path);
    }
    if (rc > 0) {
        w->devices = list;
        w->n_devices = json_len(&a);
    }
    return rc;
}
