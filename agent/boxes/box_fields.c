#include "agent/boxes/box_fields.h"
#include "platform/limits.h"

static const char *const field_names[] = {"memory",  "swap",    "cpu",       "pids",    "userns",
                                          "seccomp", "network", "read_only", "devices", "oom_score_adj"};

static struct cgroup_field *field_at(struct box_report *r, unsigned i)
{
    struct cgroup_field *const all[] = {
        &r->cgroup.memory, &r->cgroup.swap, &r->cgroup.cpu,       &r->cgroup.pids, &r->userns,
        &r->seccomp,       &r->network,     &r->read_only_rootfs, &r->devices,     &r->oom};

    _Static_assert(COUNT_OF(all) == COUNT_OF(field_names), "a name for each field");
    return all[i];
}

void box_fields_put(struct cJSON *o, const char *name, const struct cgroup_field *f)
{
    if (f->state == CGROUP_NOT_ASKED)
        return;
    struct cJSON *e = json_put(o, name, json_obj());
    json_put_str(e, "state", cgroup_state_name(f->state));
    if (f->value && f->value != CGROUP_UNSET)
        json_put_u64(e, "value", f->value);
    if (f->why[0])
        json_put_str(e, "why", f->why);
}

struct cJSON *box_fields_build(const struct box_report *r)
{
    struct box_report copy = *r;
    struct cJSON *o = json_obj();

    for (unsigned i = 0; i < COUNT_OF(field_names); i++)
        box_fields_put(o, field_names[i], field_at(&copy, i));
    return o;
}

void box_fields_read(const struct json_cur *o, struct box_report *ret)
{
    for (unsigned i = 0; i < COUNT_OF(field_names); i++) {
        struct json_cur e;
        const char *text;
        struct cgroup_field *f = field_at(ret, i);
        *f = (struct cgroup_field){.value = CGROUP_UNSET};
        if (json_get_object(o, field_names[i], JSON_OPTIONAL, &e, NULL) <= 0)
            continue;
        err_ignore(json_get_u64(&e, "value", JSON_OPTIONAL, 0, LIM_INTEGER, &f->value, NULL));
        if (json_get_str(&e, "why", JSON_OPTIONAL, sizeof(f->why) - 1, &text, NULL) > 0)
            (void)str_copy(f->why, sizeof(f->why), text);
        if (json_get_str(&e, "state", JSON_OPTIONAL, 32, &text, NULL) > 0)
            for (int s = CGROUP_NOT_ASKED; s <= CGROUP_UNSUPPORTED; s++)
                if (strcmp(cgroup_state_name((enum cgroup_state)s), text) == 0)
                    f->state = (enum cgroup_state)s;
    }
}
