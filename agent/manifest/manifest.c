#include <stdio.h>

#include "agent/manifest/manifest_fields.h"
#include "agent/manifest/manifest_int.h"

static int check_names(struct manifest_reader *r, const struct json_cur *apps, const struct desired *d)
{
    for (unsigned i = 0; i < d->n; i++)
        for (unsigned k = 0; k < i; k++) {
            struct json_cur c = json_at(apps, i);
            if (strcmp(d->apps[i].name, d->apps[k].name) == 0)
                return json_fail(&c, r->err, ERR_INVALID, "duplicate name \"%s\"", d->apps[i].name);
        }
    return 0;
}

/* The app, if any, that published the same host port earlier. */
static const struct want *find_port(const struct desired *d, unsigned app, unsigned port)
{
    for (unsigned k = 0; k <= app; k++)
        for (unsigned q = 0; q < (k < app ? d->apps[k].n_ports : port); q++)
            if (spec_ports_meet(&d->apps[app].ports[port], &d->apps[k].ports[q]))
                return &d->apps[k];
    return NULL;
}

/* No host port is published twice. */
static int check_ports(struct manifest_reader *r, const struct json_cur *apps, const struct desired *d)
{
    for (unsigned i = 0; i < d->n; i++)
        for (unsigned p = 0; p < d->apps[i].n_ports; p++) {
            const struct want *other = find_port(d, i, p);
            struct json_cur app = json_at(apps, i), net, ports, port;
            if (!other)
                continue;
            err_ignore(json_get_object(&app, FIELD_APP_NETWORK, &net, NULL));
            err_ignore(json_get(&net, "ports", JSON_OPTIONAL, &ports, NULL));
            port = json_at(&ports, p);
            return json_fail(&port, r->err, ERR_INVALID, "host port %u is already published by %s",
                             d->apps[i].ports[p].host, other->name);
        }
    return 0;
}

/* An app whose network another app uses must be in the same manifest and have a network of its own. */
static int check_joins(struct manifest_reader *r, const struct json_cur *apps, const struct desired *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        const struct want *w = &d->apps[i], *other;
        struct json_cur app = json_at(apps, i), c;
        if (w->net != NET_APP)
            continue;
        err_ignore(json_get_object(&app, FIELD_APP_NETWORK, &c, NULL));
        other = manifest_find(d, w->net_name);
        if (!other || other == w)
            return json_fail(&c, r->err, ERR_INVALID, "mode: \"app:%s\" is not another app of this manifest",
                             w->net_name);
        if (other->net == NET_APP || other->net == NET_HOST)
            return json_fail(&c, r->err, ERR_INVALID,
                             "mode: \"app:%s\" has no network of its own; name what it uses", w->net_name);
    }
    return 0;
}

static int read_apps(struct manifest_reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur a;
    void *room;
    int rc = manifest_array(r, root, FIELD_APPS, &a, sizeof(d->apps[0]), &room);

    if (rc <= 0)
        return rc < 0 ? rc : json_fail(root, r->err, ERR_INVALID, "apps: missing");
    d->n = json_len(&a);
    d->apps = room;
    for (unsigned i = 0; i < d->n; i++) {
        struct json_cur c = json_at(&a, i);
        if (manifest_app(r, &c, &d->apps[i]) < 0)
            return -(int)r->err->kind;
    }
    return check_names(r, &a, d) < 0 || check_ports(r, &a, d) < 0 || check_joins(r, &a, d) < 0
               ? -(int)r->err->kind
               : 0;
}

static int read_target(struct manifest_reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o;

    if (json_get_object(root, FIELD_TARGET, &o, r->err) < 0 ||
        manifest_name(r, &o, FIELD_TARGET_DEVICE, &d->device) < 0 ||
        manifest_name(r, &o, FIELD_TARGET_GROUP, &d->group) < 0 || json_done(&o, r->err) < 0)
        return -(int)r->err->kind;
    return !d->device != !d->group
               ? 0
               : json_fail(&o, r->err, ERR_INVALID, "exactly one of device, group is expected");
}

static int read_rollout(struct manifest_reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o;
    int rc = json_get_object(root, FIELD_ROLLOUT, &o, r->err);

    if (rc <= 0)
        return rc;
    if (!d->group)
        return json_fail(&o, r->err, ERR_INVALID, "only the document of a group has one");
    d->has_rollout = true;
    if (manifest_text(r, &o, FIELD_ROLLOUT_SALT, &d->salt) < 0 ||
        json_get_u64(&o, FIELD_ROLLOUT_SLOTS, &d->slots, r->err) < 0 ||
        json_get_u64(&o, FIELD_ROLLOUT_SPREAD_MS, &d->spread_ms, r->err) < 0 ||
        json_get_u64(&o, FIELD_ROLLOUT_NOT_BEFORE, &d->not_before_s, r->err) < 0)
        return -(int)r->err->kind;
    return json_done(&o, r->err);
}

static int read_download(struct manifest_reader *r, const struct json_cur *update, struct want_download *d)
{
    struct json_cur o;
    const char *window = NULL;
    int rc = json_get_object(update, FIELD_UPDATE_DOWNLOAD, &o, r->err);

    if (rc <= 0)
        return rc;
    if (json_get_u64(&o, FIELD_DOWNLOAD_MAX_BYTES, &d->max_bytes, r->err) < 0 ||
        json_get_u64(&o, FIELD_DOWNLOAD_RATE_BYTES_S, &d->rate_bytes_s, r->err) < 0 ||
        json_get_str(&o, FIELD_DOWNLOAD_WINDOW, 16, &window, r->err) < 0 ||
        json_get_bool(&o, FIELD_DOWNLOAD_FULL_FALLBACK, &d->full_fallback, r->err) < 0)
        return -(int)r->err->kind;
    if (window && !manifest_window_read(window, d))
        return json_fail(&o, r->err, ERR_INVALID,
                         "window: write two times of the day in UTC, \"01:30-05:00\"");
    return json_done(&o, r->err);
}

static int read_os(struct manifest_reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o, b, release;
    int rc = json_get_object(root, FIELD_OS, &o, r->err);

    if (rc <= 0 || (r->saved && json_get(&o, "release", JSON_OPTIONAL, &release, r->err) == 0))
        return rc;
    d->has_os = true;
    d->os.want = (struct want){.name = "os"};
    if (manifest_name(r, &o, FIELD_OS_VERSION, &d->os.version) < 0 ||
        json_get_object(&o, FIELD_OS_BUNDLE, &b, r->err) < 0 ||
        manifest_digest(r, &b, FIELD_BUNDLE_DIGEST, &d->os.bundle) < 0 ||
        json_get_u64(&b, FIELD_BUNDLE_SIZE, &d->os.bundle_bytes, r->err) < 0 || json_done(&b, r->err) < 0 ||
        manifest_release(r, &o, &d->os.want) < 0)
        return -(int)r->err->kind;
    return json_done(&o, r->err);
}

static int read_agent(struct manifest_reader *r, const struct json_cur *root, struct desired *d)
{
    struct json_cur o;
    int rc = json_get_object(root, FIELD_AGENT, &o, r->err);

    if (rc <= 0)
        return rc;
    d->has_agent = true;
    d->agent = (struct want){.name = "agent"};
    d->agent_confirm_s = 60;
    if (manifest_release(r, &o, &d->agent) < 0 ||
        json_get_u64(&o, FIELD_AGENT_CONFIRM_S, &d->agent_confirm_s, r->err) < 0)
        return -(int)r->err->kind;
    return json_done(&o, r->err);
}

static int read_head(struct manifest_reader *r, const struct json_cur *root, struct desired *d)
{
    if (manifest_name(r, root, FIELD_FLEET, &d->fleet) < 0 || read_target(r, root, d) < 0 ||
        json_get_u64(root, FIELD_REV, &d->rev, r->err) < 0 ||
        json_get_u64(root, FIELD_ISSUED, &d->issued_s, r->err) < 0 ||
        json_get_u64(root, FIELD_EXPIRES, &d->expires_s, r->err) < 0 ||
        manifest_text(r, root, FIELD_ID, &d->id) < 0 || manifest_text(r, root, FIELD_BY, &d->by) < 0)
        return -(int)r->err->kind;
    return 0;
}

static int read_desired(struct manifest_reader *r, const struct json_cur *root, struct desired *d)
{
    const char *schema;
    struct json_cur u;

    if (json_get_str(root, FIELD_SCHEMA, 64, &schema, r->err) < 0)
        return -(int)ERR_INVALID;
    if (strcmp(schema, WORDS_SCHEMA) != 0)
        return err_set(r->err, ERR_UNSUPPORTED,
                       "schema: \"%s\" is not " WORDS_SCHEMA ", the only one supported here", schema);
    d->probation_ms = 60000;
    d->download.full_fallback = true;
    if (read_head(r, root, d) < 0 || json_get_bool(root, FIELD_WITHDRAWN, &d->withdrawn, r->err) < 0)
        return -(int)r->err->kind;
    if (d->withdrawn)
        return json_done(root, r->err);
    if (read_apps(r, root, d) < 0 || read_os(r, root, d) < 0 || read_agent(r, root, d) < 0 ||
        read_rollout(r, root, d) < 0)
        return -(int)r->err->kind;
    int rc = json_get_object(root, FIELD_UPDATE, &u, r->err);
    if (rc > 0 && (json_get_u64(&u, FIELD_UPDATE_PROBATION_MS, &d->probation_ms, r->err) < 0 ||
                   read_download(r, &u, &d->download) < 0 || json_done(&u, r->err) < 0))
        return -(int)ERR_INVALID;
    return rc < 0 ? rc : json_done(root, r->err);
}

static int parse(struct buf json, struct arena *arena, bool saved, struct desired *ret, struct err *err)
{
    struct manifest_reader r = {arena, err, saved};
    struct json_cur root;
    struct desired d = {.n = 0};
    int rc = json_parse(json, &json_limits_signed, &root, err);

    if (rc == 0) {
        rc = read_desired(&r, &root, &d);
        (void)json_free(root.node);
    }
    if (rc >= 0)
        *ret = d;
    return rc < 0 ? rc : 0;
}

int manifest_parse(struct buf json, struct arena *arena, struct desired *ret, struct err *err)
{
    return parse(json, arena, false, ret, err);
}

int manifest_parse_saved(struct buf json, struct arena *arena, struct desired *ret, struct err *err)
{
    return parse(json, arena, true, ret, err);
}

bool manifest_head(struct buf json, struct arena *arena, struct desired *ret)
{
    struct err err = ERR_INIT;
    struct manifest_reader r = {arena, &err, false};
    struct json_cur root;
    struct desired d = {.n = 0};
    const char *schema = "";

    if (json_parse(json, &json_limits_signed, &root, &err) < 0)
        return false;
    bool ok = json_get_str(&root, FIELD_SCHEMA, 64, &schema, &err) >= 0 &&
              strncmp(schema, "limpet.desired/", 15) == 0 && read_head(&r, &root, &d) == 0;
    (void)json_free(root.node);
    if (ok)
        *ret = d;
    return ok;
}
