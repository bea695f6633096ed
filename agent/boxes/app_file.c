#include "agent/boxes/app_file.h"

#include <stdio.h>

#include "agent/boxes/box_fields.h"
#include "agent/core.h"
#include "platform/fs.h"
#include "platform/limits.h"
#include "platform/log.h"

static void put_devices(struct cJSON *o, const struct app *a)
{
    struct cJSON *list = json_put(o, "devices", json_arr());

    for (unsigned k = 0; a->devices && k < LIM_DEVICES; k++) {
        struct cJSON *e = json_push(list, json_obj());
        const struct app_device *d = &a->devices[k];
        json_put_str(e, "type", d->dev.type == 'b' ? "b" : d->dev.type ? "c" : "");
        json_put_u64(e, "major", d->dev.major);
        json_put_u64(e, "minor", d->dev.minor);
        json_put_bool(e, "ruled", d->rule.state == CGROUP_ENFORCED);
    }
}

void app_file_save(struct app *a)
{
    char name[LIM_NAME_BYTES + 8], hex[SHA256_TEXT];
    struct err err = ERR_INIT;
    const struct seen *s = &a->seen;
    struct cJSON *o = json_obj();

    json_put_bool(o, "box", s->box != BOX_NONE);
    json_put_bool(o, "stopping", s->box == BOX_STOPPING);
    json_put_bool(o, "by_us", a->stop_by_us);
    json_put_u64(o, "kill_at_ms", s->kill_at_ms);
    json_put_i64(o, "pid", a->box.pid);
    json_put_u64(o, "start_ticks", a->box.start_ticks);
    json_put_str(o, "cgroup", a->box.cgroup_path);
    json_put_u64(o, "net", a->box.net);
    json_put_str(o, "ip", a->box.host_ip);
    json_put_str(o, "ip6", a->box.host_ip6);
    json_put_str(o, "network", a->network);
    json_put_str(o, "hash", digest_text(&s->hash, hex));
    json_put_str(o, "release", digest_text(&a->release, hex));
    json_put_str(o, "manifest", digest_text(&a->manifest, hex));
    json_put_str(o, "version", a->version);
    json_put_u64(o, "counter", a->counter);
    json_put_u64(o, "restarts", a->restarts);
    json_put_u64(o, "started_ms", s->started_ms);
    json_put_u64(o, "in_row", s->deaths.in_row);
    json_put_u64(o, "deaths", s->deaths.total);
    json_put_u64(o, "oom", s->deaths.oom);
    json_put_u64(o, "peak", a->peak_bytes);
    json_put_u64(o, "last_exit_s", a->last_exit_s);
    json_put_i64(o, "last_code", s->deaths.last.code);
    json_put_i64(o, "last_signal", s->deaths.last.signal);
    json_put_bool(o, "last_oom", s->deaths.last.oom);
    json_put_bool(o, "last_known", s->deaths.last.known);
    json_put_bool(o, "last_by_us", s->deaths.last.by_us);
    json_put_u64(o, "last_at_ms", s->deaths.last.at_ms);
    (void)json_put(o, "enforce", box_fields_build(&a->report));
    put_devices(o, a);
    char AUTO_MEM *text = json_print(o, false);
    (void)json_free(o);
    (void)str_fmt(name, sizeof(name), "%s.json", s->name);
    if (fs_write_atomic(a->core->app_fd, name, buf_str(text), 0600, &err) < 0)
        log_error("%s", err.msg);
}

static int get_digest(const struct json_cur *o, const char *key, struct digest *ret)
{
    const char *text;

    return json_get_str(o, key, JSON_REQUIRED, 80, &text, NULL) > 0 ? digest_parse(text, ret, NULL) : -1;
}

static bool get_copy(const struct json_cur *o, const char *key, char *dst, size_t size)
{
    const char *text;

    return json_get_str(o, key, JSON_REQUIRED, size - 1, &text, NULL) > 0 && str_copy(dst, size, text);
}

static uint64_t get_number(const struct json_cur *o, const char *key)
{
    uint64_t v = 0;

    err_ignore(json_get_u64(o, key, JSON_OPTIONAL, 0, LIM_INTEGER, &v, NULL));
    return v;
}

static bool get_flag(const struct json_cur *o, const char *key)
{
    bool v = false;

    err_ignore(json_get_bool(o, key, JSON_OPTIONAL, &v, NULL));
    return v;
}

static void get_devices(const struct json_cur *o, struct app *a)
{
    struct json_cur list;

    if (json_get_array(o, "devices", JSON_OPTIONAL, LIM_DEVICES, &list, NULL) <= 0 || json_len(&list) == 0)
        return;
    a->devices = mem_need_zero(LIM_DEVICES * sizeof(*a->devices));
    for (unsigned k = 0; k < json_len(&list); k++) {
        struct json_cur e = json_at(&list, k);
        struct app_device *d = &a->devices[k];
        const char *type = "";
        uint64_t major = 0, minor = 0;
        bool ruled = false;
        err_ignore(json_get_str(&e, "type", JSON_OPTIONAL, 1, &type, NULL));
        err_ignore(json_get_u64(&e, "major", JSON_OPTIONAL, 0, UINT32_MAX, &major, NULL));
        err_ignore(json_get_u64(&e, "minor", JSON_OPTIONAL, 0, UINT32_MAX, &minor, NULL));
        err_ignore(json_get_bool(&e, "ruled", JSON_OPTIONAL, &ruled, NULL));
        d->dev = (struct hot_dev){type[0], (uint32_t)major, (uint32_t)minor};
        d->rule.state = ruled ? CGROUP_ENFORCED : CGROUP_DEGRADED;
    }
}

bool app_file_read(struct app *a, const struct json_cur *o)
{
    struct json_cur enforce;
    struct ending *last = &a->seen.deaths.last;

    if (get_digest(o, "hash", &a->seen.hash) < 0 || get_digest(o, "release", &a->release) < 0 ||
        get_digest(o, "manifest", &a->manifest) < 0 ||
        !get_copy(o, "cgroup", a->box.cgroup_path, sizeof(a->box.cgroup_path)) ||
        !get_copy(o, "ip", a->box.host_ip, sizeof(a->box.host_ip)) ||
        !get_copy(o, "version", a->version, sizeof(a->version)))
        return false;
    (void)get_copy(o, "ip6", a->box.host_ip6, sizeof(a->box.host_ip6));
    (void)get_copy(o, "network", a->network, sizeof(a->network));
    (void)str_copy(a->box.id, sizeof(a->box.id), a->seen.name);
    a->seen.box = !get_flag(o, "box") ? BOX_NONE : get_flag(o, "stopping") ? BOX_STOPPING : BOX_RUNNING;
    a->stop_by_us = get_flag(o, "by_us");
    a->seen.kill_at_ms = get_number(o, "kill_at_ms");
    a->box.pid = (pid_t)get_number(o, "pid");
    a->box.start_ticks = get_number(o, "start_ticks");
    a->box.net = (enum spec_net)get_number(o, "net");
    a->counter = get_number(o, "counter");
    a->restarts = get_number(o, "restarts");
    a->seen.started_ms = get_number(o, "started_ms");
    a->seen.deaths.in_row = (unsigned)get_number(o, "in_row");
    a->seen.deaths.total = (unsigned)get_number(o, "deaths");
    a->seen.deaths.oom = (unsigned)get_number(o, "oom");
    a->peak_bytes = get_number(o, "peak");
    a->last_exit_s = get_number(o, "last_exit_s");
    *last = (struct ending){(int)get_number(o, "last_code"), (int)get_number(o, "last_signal"),
                            get_flag(o, "last_oom"),         get_flag(o, "last_by_us"),
                            get_flag(o, "last_known"),       get_number(o, "last_at_ms")};
    if (json_get_object(o, "enforce", JSON_OPTIONAL, &enforce, NULL) > 0)
        box_fields_read(&enforce, &a->report);
    get_devices(o, a);
    return true;
}
