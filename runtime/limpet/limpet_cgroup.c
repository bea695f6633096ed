/* limpet_cgroup.c - pause, resume, update: changes to the control groups of a running container. See
 * limpet_int.h. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/fs.h"
#include "runtime/limpet/limpet_int.h"
#include "runtime/spec/spec_parse.h"

void limpet_cgroup_path(const struct limpet *c, char dst[CGROUP_PATH_BYTES])
{
    /* a path that does not depend on the caller's group; without permission at the top, one below our own. No
     * common parent: it would be created and removed with every single container */
    (void)snprintf(dst, CGROUP_PATH_BYTES, "%slimpet-%s", geteuid() == 0 ? "/" : "", c->id);
}

/* The container, which must be running; and its group. */
int limpet_open_running(const struct limpet *c, struct limpet_state *ret, struct cgroup **ret_group,
                        struct err *err)
{
    int rc = limpet_load(c, ret, err);

    if (rc < 0)
        return rc;
    limpet_state_done(ret); /* not needed to find the group */
    if (!box_is_alive(&ret->id))
        return err_set(err, ERR_CONFLICT, "container `%s` is not running", c->id);
    if (!ret->id.cgroup_path[0])
        return err_set(err, ERR_UNSUPPORTED, "container `%s` has no control group", c->id);
    rc = cgroup_open(&c->host, ret->id.cgroup_path, ret_group, err);
    return rc == -ERR_NOTFOUND
               ? err_set(err, ERR_UNSUPPORTED, "container `%s` has no control group on this machine", c->id)
               : rc;
}

static int freeze(const struct limpet *c, bool frozen, struct err *err)
{
    struct cgroup *g = NULL;
    struct limpet_state s;
    int rc = limpet_open_running(c, &s, &g, err);

    if (rc < 0)
        return rc;
    if (cgroup_is_frozen(&c->host, s.id.cgroup_path) == frozen)
        rc = err_set(err, ERR_CONFLICT,
                     frozen ? "container `%s` is paused already" : "container `%s` is not paused", c->id);
    else
        rc = cgroup_freeze(g, frozen, err);
    (void)cgroup_free(g);
    return rc;
}

int limpet_pause(struct limpet *c, struct err *err)
{
    return freeze(c, true, err);
}

int limpet_resume(struct limpet *c, struct err *err)
{
    return freeze(c, false, err);
}

/* ---- update ---- */

enum value { BYTES, COUNT, TEXT_ };
/* Options of update: each stands for a member of linux.resources, so that one parser checks both. */
static const struct {
    const char *object, *member;
    enum value kind;
} members[LIMPET_LIMIT_COUNT_] = {
    [LIMPET_MEMORY] = {"memory", "limit", BYTES},
    [LIMPET_MEMORY_SWAP] = {"memory", "swap", BYTES},
    [LIMPET_MEMORY_RESERVATION] = {"memory", "reservation", BYTES},
    [LIMPET_KERNEL_MEMORY] = {"memory", "kernel", BYTES},
    [LIMPET_KERNEL_MEMORY_TCP] = {"memory", "kernelTCP", BYTES},
    [LIMPET_CPU_SHARES] = {"cpu", "shares", COUNT},
    [LIMPET_CPU_QUOTA] = {"cpu", "quota", COUNT},
    [LIMPET_CPU_PERIOD] = {"cpu", "period", COUNT},
    [LIMPET_CPU_BURST] = {"cpu", "burst", COUNT},
    [LIMPET_CPU_RT_PERIOD] = {"cpu", "realtimePeriod", COUNT},
    [LIMPET_CPU_RT_RUNTIME] = {"cpu", "realtimeRuntime", COUNT},
    [LIMPET_CPU_IDLE] = {"cpu", "idle", COUNT},
    [LIMPET_CPUSET_CPUS] = {"cpu", "cpus", TEXT_},
    [LIMPET_CPUSET_MEMS] = {"cpu", "mems", TEXT_},
    [LIMPET_PIDS_LIMIT] = {"pids", "limit", COUNT},
    [LIMPET_BLKIO_WEIGHT] = {"blockIO", "weight", COUNT},
};

bool limpet_limits_given(const struct limpet *c)
{
    for (int i = 0; i < LIMPET_LIMIT_COUNT_; i++)
        if (c->limit[i])
            return true;
    return c->resources;
}

/* "-1", "64000", and for bytes "64m". */
static int parse_value(enum value kind, const char *text, int64_t *ret, struct err *err)
{
    static const char units[] = "bkmgt";
    bool minus = text[0] == '-';
    size_t digits = strspn(text + minus, "0123456789");
    const char *unit = text + minus + digits;
    char low = (char)(*unit | 0x20);
    const char *at = *unit && kind == BYTES ? strchr(units, low) : NULL;
    uint64_t v;
    char number[24];

    if (!str_fmt(number, sizeof(number), "%.*s", (int)digits, text + minus) ||
        !str_u64(number, 0, LIM_INTEGER, &v) || (*unit && (!at || unit[1])) ||
        (at && v > LIM_INTEGER >> (10 * (at - units))))
        return err_set(err, ERR_INVALID, "\"%.40s\" is not a number%s", text,
                       kind == BYTES ? " of bytes like 64m" : "");
    *ret = (int64_t)(at ? v << (10 * (at - units)) : v);
    if (minus)
        *ret = -*ret;
    return 0;
}

/* The single options as a document in the format of --resources. */
static int options_document(const struct limpet *c, struct json_cur *ret, struct err *err)
{
    struct cJSON *root = json_obj(), *objects[LIMPET_LIMIT_COUNT_] = {NULL};
    const char *names[LIMPET_LIMIT_COUNT_];
    AUTO_MEM char *text = NULL;
    int n = 0, rc = 0;

    for (int i = 0; rc == 0 && i < LIMPET_LIMIT_COUNT_; i++) {
        int64_t v = 0;
        int k = 0;
        if (!c->limit[i])
            continue;
        while (k < n && strcmp(names[k], members[i].object) != 0)
            k++;
        if (k == n) {
            names[n] = members[i].object;
            objects[n++] = json_put(root, members[i].object, json_obj());
        }
        if (members[i].kind == TEXT_)
            json_put_str(objects[k], members[i].member, c->limit[i]);
        else if ((rc = parse_value(members[i].kind, c->limit[i], &v, err)) == 0)
            json_put_i64(objects[k], members[i].member, v);
    }
    text = json_print(root, false);
    (void)json_free(root);
    return rc < 0 ? rc : json_parse(buf_str(text), &json_limits_oci, ret, err);
}

static int read_resources(const struct limpet *c, struct json_cur *ret, struct err *err)
{
    AUTO_MEM uint8_t *text = NULL;
    size_t len = 0;
    int rc = limpet_read(c->resources, LIM_OCI_JSON_BYTES, &text, &len, err);

    return rc < 0 ? rc : json_parse(buf_of(text, len), &json_limits_oci, ret, err);
}

/* The file first: single options override it. */
static int make_list(const struct limpet *c, struct cgroup_list *list, struct err *err)
{
    struct json_cur doc = {.node = NULL}, options = {.node = NULL};
    int rc = c->resources ? read_resources(c, &doc, err) : 0;

    cgroup_list_init(list);
    if (rc == 0 && c->resources)
        rc = spec_resources(&doc, list, err);
    if (rc == 0 && (rc = options_document(c, &options, err)) == 0)
        rc = spec_resources(&options, list, err);
    (void)json_free(doc.node);
    (void)json_free(options.node);
    return rc;
}

/* --memory-swap alone: it includes the current memory limit. */
static void keep_memory(struct limpet *c, const struct cgroup *g, char text[24])
{
    uint64_t now = CGROUP_UNSET;

    if (c->limit[LIMPET_MEMORY_SWAP] && !c->limit[LIMPET_MEMORY])
        now = cgroup_read_u64(g, CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max", NULL);
    if (now == CGROUP_UNSET)
        return;
    (void)snprintf(text, 24, "%" PRIu64, now);
    c->limit[LIMPET_MEMORY] = text;
}

/* v2 writes quota and period together: what is not given stays unchanged. */
static void keep_quota(const struct cgroup *g, struct cgroup_list *list)
{
    const struct cgroup_setting *p = cgroup_list_find(list, "cpu.period");
    char now[64];

    if (!p || cgroup_list_find(list, "cpu.quota") ||
        cgroup_read(g, CGROUP_CPU, NULL, "cpu.max", now, sizeof(now)) <= 0)
        return;
    now[strcspn(now, " \n")] = '\0';
    for (unsigned i = 0; i < list->n; i++)
        if (&list->list[i] == p)
            list->list[i].v2[0].text = cgroup_list_text(list, "%s%s", now, strchr(p->v2[0].text, ' '));
}

/* The default device rules always apply, whatever an update says about devices; if it says nothing they stay
 * unchanged. */
static void keep_devices(struct cgroup_list *list)
{
    if (list->has_devices)
        spec_default_devices(list);
}

/* For a plain user all are missing for the same reason: reported once, with a remedy. Missing device rules
 * alone do not matter: it cannot create nodes. */
static void warn_plain(const struct limpet *c, const struct cgroup_list *list)
{
    char text[500] = "", one[256], all[700];

    for (unsigned i = 0; i < list->n; i++) {
        size_t at = strlen(text);
        if (cgroup_list_warning(list, i, one, sizeof(one)))
            (void)str_fmt(text + at, sizeof(text) - at, "%s%s", at ? ", " : "", list->list[i].field);
    }
    if (!text[0])
        return;
    (void)str_fmt(
        all, sizeof(all),
        "%s: not enforced, this user may make no control group for them. One that is delegated would do: "
        "systemd-run --user --scope -p Delegate=yes limpet ...",
        text);
    limpet_warn(c, all);
}

void limpet_warn_limits(const struct limpet *c, const struct cgroup_list *list)
{
    char text[256];

    if (list && geteuid() != 0) {
        warn_plain(c, list);
        return;
    }
    for (unsigned i = 0; list && i <= list->n; i++)
        if (cgroup_list_warning(list, i, text, sizeof(text)))
            limpet_warn(c, text);
}

int limpet_update(struct limpet *c, struct err *err)
{
    AUTO_MEM struct cgroup_list *list = mem_need(sizeof(*list));
    struct cgroup *g = NULL;
    struct limpet_state s;
    char memory[24];
    int rc;

    if (!limpet_limits_given(c))
        return err_set(err, ERR_INVALID,
                       "update: nothing to change (--resources FILE, --memory, --pids-limit ...)");
    if ((rc = limpet_open_running(c, &s, &g, err)) < 0)
        return rc;
    keep_memory(c, g, memory);
    rc = make_list(c, list, err);
    if (rc == 0) {
        keep_quota(g, list);
        keep_devices(list);
        rc = cgroup_set_list(g, list, err);
    }
    if (rc == 0 && (rc = cgroup_list_judge(list, err)) == 0)
        limpet_warn_limits(c, list);
    (void)cgroup_free(g);
    return rc < 0 ? err_wrap(err, "update") : 0;
}
