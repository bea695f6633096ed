#include "agent/decide/os_update.h"
#include "platform/limits.h"

#include <stdio.h>

static const char *const phase_names[OS_PHASE_COUNT_] = {
    [OS_NONE] = "none", [OS_INSTALLING] = "installing", [OS_INSTALLED] = "installed",
    [OS_GOOD] = "good", [OS_FAILED] = "failed",
};
static const char *const step_names[OS_STEP_COUNT_] = {
    [OS_NOTHING] = "nothing",     [OS_FETCH] = "fetch",   [OS_INSTALL] = "install",
    [OS_REBOOT] = "reboot",       [OS_LOOK] = "look",     [OS_CONFIRM] = "confirm",
    [OS_FELL_BACK] = "fell back", [OS_REVERT] = "revert", [OS_REFUSE] = "refuse",
};

const char *os_phase_name(enum os_phase p)
{
    return (unsigned)p < OS_PHASE_COUNT_ ? phase_names[p] : "?";
}

const char *os_step_name(enum os_step s)
{
    return (unsigned)s < OS_STEP_COUNT_ ? step_names[s] : "?";
}

bool os_is_about(const struct os_memory *m, const struct want_os *w)
{
    return m->phase != OS_NONE && digest_eq(&m->bundle, &w->bundle);
}

/* After the reboot: the installed bundle is on trial, whatever the manifest asks by now. */
static enum os_step decide_trial(const struct os_facts *f)
{
    if (!f->slot_known)
        return OS_LOOK;
    if (!f->slot_changed) /* an install cut off by a power loss starts over */
        return f->memory->phase == OS_INSTALLED ? OS_FELL_BACK : OS_NOTHING;
    if (f->healthy && f->healthy_ms >= f->probation_ms)
        return OS_CONFIRM;
    if (f->trial_over || f->memory->trial_starts > OS_TRIAL_STARTS)
        return OS_REVERT;
    return OS_NOTHING;
}

enum os_step os_decide(const struct os_facts *f)
{
    enum os_phase phase = f->memory->phase;
    bool under_way = phase == OS_INSTALLING || phase == OS_INSTALLED;

    if (under_way && f->rebooted) {
        enum os_step s = decide_trial(f);
        bool begins_again = s == OS_NOTHING && f->slot_known && !f->slot_changed;
        if (!begins_again)
            return s;
    }
    if (phase == OS_INSTALLED && !f->rebooted)
        return OS_REBOOT;
    if (!f->want || !f->converged)
        return OS_NOTHING;
    if (os_is_about(f->memory, f->want) && (phase == OS_GOOD || phase == OS_FAILED))
        return OS_NOTHING;
    if (!f->has_updater)
        return OS_REFUSE;
    if (!f->held)
        return OS_FETCH;
    return f->slot_known ? OS_INSTALL : OS_LOOK; /* the slot that it is installed from must be remembered */
}

char *os_memory_build(const struct os_memory *m)
{
    char hex[SHA256_TEXT];
    struct cJSON *o = json_obj();

    json_put_u64(o, "v", 1);
    json_put_str(o, "phase", os_phase_name(m->phase));
    json_put_str(o, "bundle", digest_text(&m->bundle, hex));
    json_put_str(o, "version", m->version);
    json_put_str(o, "release", m->release);
    json_put_u64(o, "counter", m->counter);
    json_put_str(o, "boot_id", m->boot_id);
    json_put_str(o, "slot", m->slot);
    json_put_bool(o, "was_online", m->was_online);
    json_put_u64(o, "trial_starts", m->trial_starts);
    json_put_str(o, "why", m->why);
    char *text = json_print(o, false);
    (void)json_free(o);
    return text;
}

static int read_memory(const struct json_cur *root, struct os_memory *m, struct err *err)
{
    uint64_t v;
    int phase = 0;
    const char *hex, *release = "";

    if (json_get_u64(root, "v", JSON_REQUIRED, 1, 1, &v, err) < 0 ||
        json_get_enum(root, "phase", JSON_REQUIRED, phase_names, OS_PHASE_COUNT_, &phase, err) < 0 ||
        json_get_str(root, "bundle", JSON_REQUIRED, 80, &hex, err) < 0 ||
        digest_parse(hex, &m->bundle, err) < 0 ||
        json_get_copy(root, "version", m->version, sizeof(m->version), err) < 0 ||
        json_get_str(root, "release", JSON_OPTIONAL, sizeof(m->release) - 1, &release, err) < 0 ||
        json_get_u64(root, "counter", JSON_OPTIONAL, 0, LIM_INTEGER, &m->counter, err) < 0 ||
        json_get_copy(root, "boot_id", m->boot_id, sizeof(m->boot_id), err) < 0 ||
        json_get_copy(root, "slot", m->slot, sizeof(m->slot), err) < 0 ||
        json_get_bool(root, "was_online", JSON_REQUIRED, &m->was_online, err) < 0 ||
        json_get_u64(root, "trial_starts", JSON_REQUIRED, 0, LIM_INTEGER, &m->trial_starts, err) < 0 ||
        json_get_copy(root, "why", m->why, sizeof(m->why), err) < 0)
        return -(int)ERR_INVALID;
    m->phase = (enum os_phase)phase;
    (void)str_copy(m->release, sizeof(m->release), release);
    return json_done(root, err);
}

int os_memory_parse(struct buf json, struct os_memory *ret, struct err *err)
{
    struct json_cur root;
    struct os_memory m = {.phase = OS_NONE};
    int rc = json_parse(json, &json_limits_signed, &root, err);

    if (rc < 0)
        return rc;
    rc = read_memory(&root, &m, err);
    (void)json_free(root.node);
    if (rc >= 0)
        *ret = m;
    return rc < 0 ? rc : 0;
}

int os_rauc_slot(struct buf json, char *dst, size_t size, struct err *err)
{
    struct json_cur root;
    const char *booted;
    int rc = json_parse(json, &json_limits_oci, &root, err);

    if (rc < 0)
        return rc;
    rc = json_get_str(&root, "booted", JSON_REQUIRED, size - 1, &booted, err);
    if (rc > 0)
        (void)str_copy(dst, size, booted);
    (void)json_free(root.node);
    return rc < 0 ? rc : 0;
}

bool os_cmdline_root(const char *cmdline, char *dst, size_t size)
{
    for (const char *p = cmdline; (p = strstr(p, "root=")) != NULL; p += 5)
        if (p == cmdline || p[-1] == ' ')
            return str_fmt(dst, size, "%.*s", (int)strcspn(p + 5, " \n"), p + 5);
    return false;
}

const char *os_updater_complaint(char *out)
{
    static const char *const says[] = {"LastError: ", "ERROR : "}; /* RAUC, SWUpdate */
    char *last, *line;
    size_t len = strlen(out);

    while (len > 0 && out[len - 1] == '\n')
        out[--len] = '\0';
    last = strrchr(out, '\n');
    for (size_t i = 0; i < COUNT_OF(says); i++)
        if ((line = strstr(out, says[i])) != NULL) {
            line[strcspn(line, "\n")] = '\0';
            return line;
        }
    return last ? last + 1 : out;
}
