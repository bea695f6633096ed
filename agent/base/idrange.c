/* idrange.c - a range of host ids for each app, not shared with any other: saved before the app first runs,
 * kept as long as the app is known or has volumes. A new app gets the slot given by its name's hash, or the
 * next free one, so that apps from before there was a list keep their ids. */
#include <fcntl.h>
#include <stdio.h>

#include "agent/core.h"
#include "ota/doc/field.h"
#include "platform/fnv.h"
#include "platform/fs.h"
#include "platform/log.h"

#define IDS_FILE  "ids"
#define IDS_BYTES (LIM_ID_RANGES * (LIM_NAME_BYTES + 16) + 64)
#define PLACES    8192U
#define FIRST     0x100000U
#define SIZE      0x10000U

static unsigned place_of_name(const char *app)
{
    uint32_t h = FNV32_INIT;

    for (; *app; app++)
        h = fnv32_add(h, (uint8_t)*app);
    return h % PLACES;
}

static struct id_range *find(struct id_ranges *r, const char *app)
{
    for (unsigned i = 0; i < r->n; i++)
        if (strcmp(r->list[i].app, app) == 0)
            return &r->list[i];
    return NULL;
}

static bool is_taken(const struct id_ranges *r, unsigned place)
{
    for (unsigned i = 0; i < r->n; i++)
        if (r->list[i].place == place)
            return true;
    return false;
}

int idrange_add(struct id_ranges *r, const char *app, unsigned *ret_place)
{
    const struct id_range *old = find(r, app);
    unsigned place = old ? old->place : place_of_name(app);

    if (!old && r->n == COUNT_OF(r->list))
        return -(int)ERR_NOSPACE;
    while (!old && is_taken(r, place))
        place = (place + 1) % PLACES; /* there are more slots than the list can hold */
    if (!old) {
        struct id_range *e = &r->list[r->n++];
        *e = (struct id_range){.place = place};
        (void)str_copy(e->app, sizeof(e->app), app);
    }
    *ret_place = place;
    return old ? 0 : 1;
}

static int parse(struct buf text, struct id_ranges *ret, struct err *err)
{
    static const struct json_limits lim = {IDS_BYTES, 3, 4 * LIM_ID_RANGES, false};
    struct id_ranges AUTO_MEM *r = mem_need_zero(sizeof(*r));
    struct json_cur root, ranges;
    uint64_t version = 0, place = 0;

    if (json_parse(text, &lim, &root, err) < 0)
        return -(int)err->kind;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    if (json_get_u64(&root, "v", JSON_REQUIRED, 1, 1, &version, err) < 0 ||
        json_get_object(&root, "ranges", JSON_REQUIRED, &ranges, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < json_len(&ranges); i++) {
        struct json_cur e = json_member(&ranges, i);
        if (!str_is_name(e.key) || r->n == COUNT_OF(r->list) ||
            json_get_u64(&ranges, e.key, JSON_REQUIRED, 0, PLACES - 1, &place, err) < 0 ||
            is_taken(r, (unsigned)place))
            return err_set(err, ERR_INVALID, "%.60s: no place of its own", e.key);
        r->list[r->n].place = (unsigned)place;
        (void)str_copy(r->list[r->n++].app, LIM_NAME_BYTES, e.key);
    }
    *ret = *r;
    return 0;
}

void idrange_open(struct core *c)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len;
    struct err err = ERR_INIT;
    int rc = fs_read(c->state_fd, IDS_FILE, IDS_BYTES, &text, &len, &err);

    if (rc == 0)
        rc = parse(buf_of(text, len), &c->ids, &err);
    if (rc < 0 && err.kind != ERR_NOTFOUND)
        log_error("the list of id ranges is made again: %s", err.msg);
}

static int save(struct core *c, struct err *err)
{
    AUTO_JSON struct cJSON *o = json_obj();

    json_put_u64(o, "v", 1);
    struct cJSON *ranges = json_put(o, "ranges", json_obj());
    for (unsigned i = 0; i < c->ids.n; i++)
        json_put_u64(ranges, c->ids.list[i].app, c->ids.list[i].place);
    char AUTO_MEM *text = json_print(o, false);
    return fs_write_durable(c->state_fd, IDS_FILE, buf_str(text), 0600, err);
}

static bool is_known(struct core *c, const char *app)
{
    const struct desired *sets[] = {&c->sets.candidate.d, &c->sets.good.d, &c->sets.previous.d};
    const struct app *a = app_find(c, app);
    bool known =
        (a && a->seen.box != BOX_NONE) || faccessat(c->volumes_fd, app, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

    for (unsigned i = 0; !known && i < COUNT_OF(sets); i++)
        known = manifest_find(sets[i], app) != NULL;
    return known;
}

/* Ranges of apps that are gone, with their volumes, may be reused. */
static void forget(struct core *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->ids.n; i++)
        if (is_known(c, c->ids.list[i].app))
            c->ids.list[n++] = c->ids.list[i];
    c->ids.n = n;
}

int idrange_of(struct core *c, const char *app, uint32_t *ret_first, struct err *err)
{
    unsigned place = 0;

    if (!find(&c->ids, app))
        forget(c);
    int rc = idrange_add(&c->ids, app, &place);
    if (rc < 0)
        return err_set(
            err, ERR_NOSPACE,
            "%s: no range of ids: %u apps have volumes here; remove those that are not needed from "
            "%.100s/volumes",
            app, LIM_ID_RANGES, c->config.state_dir);
    if (rc > 0 && save(c, err) < 0) {
        c->ids.n--; /* not saved: after a power cut another app might get it */
        return err_wrap(err, "%s: its range of ids", app);
    }
    *ret_first = FIRST + place * SIZE;
    return 0;
}
