/* cgroup_device.c - which devices a group may create and open: v1 by the controller's list, v2 by a program.
 * A group's rules on v2 are kept in an attribute of its directory, so that another process can add one. See
 * cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "platform/cgroup/cgroup_int.h"
#include "platform/mem.h"

#define NOTE       "trusted.limpet.devices"
#define LINE_BYTES 64

static bool covers(const struct cgroup_device *r, const struct cgroup_device *d)
{
    return (r->type == 'a' || r->type == d->type) && (r->major < 0 || r->major == d->major) &&
           (r->minor < 0 || r->minor == d->minor);
}

static bool same_device(const struct cgroup_device *a, const struct cgroup_device *b)
{
    return a->type == b->type && a->major == b->major && a->minor == b->minor;
}

bool cgroup_devices_decide(const struct cgroup_device *rules, unsigned n, const struct cgroup_device *asked)
{
    unsigned open = asked->access;

    while (n > 0) {
        const struct cgroup_device *r = &rules[--n];
        if (!covers(r, asked))
            continue;
        if (!r->allow && (open & r->access))
            return false;
        if (r->allow)
            open &= ~r->access;
        if (open == 0)
            return r->allow;
    }
    return false;
}

static bool is_all(const struct cgroup_device *r)
{
    return (r->type == 'a' || r->type == '*') && r->major < 0 && r->minor < 0 && r->access == CGROUP_DEV_ALL;
}

static char *number_text(int64_t v, char dst[24])
{
    (void)snprintf(dst, 24, v < 0 ? "*" : "%" PRId64, v);
    return dst;
}

/* "c 1:3 rwm", in the kernel's format. */
static char *rule_text(const struct cgroup_device *r, unsigned access, char dst[LINE_BYTES])
{
    char a[24], b[24];

    (void)snprintf(dst, LINE_BYTES, "%c %s:%s %s%s%s", r->type, number_text(r->major, a),
                   number_text(r->minor, b), access & CGROUP_DEV_READ ? "r" : "",
                   access & CGROUP_DEV_WRITE ? "w" : "", access & CGROUP_DEV_MKNOD ? "m" : "");
    return dst;
}

static bool rule_parse(const char *line, struct cgroup_device *ret)
{
    char type, major[16], minor[16], access[8];

    if (sscanf(line, "%c %15[0-9*]:%15[0-9*] %7[rwm]", &type, major, minor, access) != 4)
        return false;
    *ret = (struct cgroup_device){.allow = true,
                                  .type = type,
                                  .major = major[0] == '*' ? -1 : strtoll(major, NULL, 10),
                                  .minor = minor[0] == '*' ? -1 : strtoll(minor, NULL, 10)};
    ret->access |= strchr(access, 'r') ? CGROUP_DEV_READ : 0;
    ret->access |= strchr(access, 'w') ? CGROUP_DEV_WRITE : 0;
    ret->access |= strchr(access, 'm') ? CGROUP_DEV_MKNOD : 0;
    return true;
}

/* ---- v1: a default and its exceptions ---- */

struct exceptions {
    bool all; /* the default: all is allowed, except the exceptions */
    unsigned n;
    struct cgroup_device list[CGROUP_DEVICES_MAX];
};

/* Add or remove accesses for exactly this device, as the kernel does. */
static void except(struct exceptions *x, const struct cgroup_device *r, bool add)
{
    for (unsigned i = 0; i < x->n; i++) {
        if (!same_device(&x->list[i], r))
            continue;
        x->list[i].access = add ? x->list[i].access | r->access : x->list[i].access & ~r->access;
        if (x->list[i].access == 0)
            x->list[i] = x->list[--x->n];
        return;
    }
    if (add && x->n < CGROUP_DEVICES_MAX)
        x->list[x->n++] = *r;
}

/* What the rules amount to; false if v1 cannot express it: an exception from a rule for many devices. */
static bool flatten(const struct cgroup_device *rules, unsigned n, struct exceptions *ret)
{
    bool exact = true;

    *ret = (struct exceptions){.all = false};
    for (unsigned i = 0; i < n; i++) {
        if (is_all(&rules[i])) {
            ret->all = rules[i].allow;
            ret->n = 0;
            continue;
        }
        except(ret, &rules[i], rules[i].allow != ret->all);
        for (unsigned k = 0; rules[i].allow == ret->all && k < ret->n; k++)
            if (covers(&ret->list[k], &rules[i]) && (ret->list[k].access & rules[i].access))
                exact = false;
    }
    return exact;
}

/* The group's current list. */
static void read_list(int fd, struct exceptions *ret)
{
    AUTO_MEM char *text = mem_need(16384);
    char *save = NULL;
    struct cgroup_device d;

    *ret = (struct exceptions){.all = false};
    if (cgroup_get_text(fd, "devices.list", text, 16384) <= 0)
        return;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (rule_parse(line, &d)) {
            if (is_all(&d))
                ret->all = true;
            else
                except(ret, &d, true);
        }
}

/* Accesses of a device that an exception list contains. */
static unsigned held(const struct exceptions *x, const struct cgroup_device *d)
{
    for (unsigned i = 0; i < x->n; i++)
        if (same_device(&x->list[i], d))
            return x->list[i].access;
    return 0;
}

/* Write the exceptions of a that b lacks, one rule per write. Keeps the first failure. */
static int put_missing(int dir_fd, const char *file, const struct exceptions *a, const struct exceptions *b)
{
    AUTO_FD int fd = -1;
    char line[LINE_BYTES];
    int first = 0;

    for (unsigned i = 0; i < a->n; i++) {
        unsigned access = a->list[i].access & ~held(b, &a->list[i]);
        if (!access)
            continue;
        if (fd < 0 && (fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC)) < 0)
            return -errno;
        (void)rule_text(&a->list[i], access, line);
        if (write(fd, line, strlen(line)) < 0 && first == 0)
            first = -errno;
    }
    return first;
}

/* Only the differences: a device allowed before and after is never denied in between, nor the other way
 * round. */
static int set_v1(int fd, const struct cgroup_device *rules, unsigned n, bool *ret_exact)
{
    AUTO_MEM struct exceptions *have = mem_need(sizeof(*have));
    AUTO_MEM struct exceptions *want = mem_need(sizeof(*want));
    const char *more = "devices.allow", *less = "devices.deny";
    int rc = 0, r2;

    *ret_exact = flatten(rules, n, want);
    read_list(fd, have);
    if (have->all != want->all || want->all) { /* a change of the default drops the exceptions */
        rc = cgroup_put(fd, want->all ? more : less, "a");
        have->n = 0;
    }
    if (rc < 0)
        return rc;
    rc = put_missing(fd, want->all ? more : less, have, want);
    r2 = put_missing(fd, want->all ? less : more, want, have);
    return rc < 0 ? rc : r2;
}

/* ---- v2 ---- */

/* The rules as text: "+c 1:3 rwm\n-b 8:0 w\n". */
static void note_write(int fd, const struct cgroup_device *rules, unsigned n)
{
    AUTO_MEM char *text = mem_need((size_t)n * (LINE_BYTES + 2) + 1);
    size_t at = 0;

    for (unsigned i = 0; i < n; i++) {
        text[at++] = rules[i].allow ? '+' : '-';
        (void)rule_text(&rules[i], rules[i].access, text + at);
        at += strlen(text + at);
        text[at++] = '\n';
    }
    (void)fsetxattr(fd, NOTE, text, at, 0);
}

/* Returns the number of rules, or -errno. */
static int note_read(int fd, struct cgroup_device *rules)
{
    AUTO_MEM char *text = mem_need(CGROUP_DEVICES_MAX * (LINE_BYTES + 2) + 1);
    ssize_t len = fgetxattr(fd, NOTE, text, CGROUP_DEVICES_MAX * (LINE_BYTES + 2));
    char *save = NULL;
    int n = 0;

    if (len < 0)
        return -errno;
    text[len] = '\0';
    for (char *line = strtok_r(text, "\n", &save); line && n < CGROUP_DEVICES_MAX;
         line = strtok_r(NULL, "\n", &save))
        if (rule_parse(line + 1, &rules[n]))
            rules[n++].allow = line[0] == '+';
    return n;
}

static int set_v2(int fd, const struct cgroup_device *rules, unsigned n)
{
    int rc = cgroup_bpf_set(fd, rules, n);

    if (rc == 0)
        note_write(fd, rules, n);
    return rc;
}

/* ---- both ---- */

static void field(struct cgroup_field *f, enum cgroup_state state, const char *why)
{
    f->state = state;
    f->value = state == CGROUP_ENFORCED ? 1 : 0;
    (void)snprintf(f->why, sizeof(f->why), "%s", why);
}

void cgroup_devices_set(struct cgroup *c, const struct cgroup_device *rules, unsigned n,
                        struct cgroup_field *ret)
{
    const struct cgroup_slot *v1 = cgroup_slot_of(c, CGROUP_DEVICES), *v2 = cgroup_v2_slot(c);
    bool exact = true;
    int rc;

    if (!v1 && !v2) {
        field(ret, CGROUP_DEGRADED,
              c->refused[CGROUP_DEVICES][0] ? c->refused[CGROUP_DEVICES]
                                            : "no devices controller (CONFIG_CGROUP_DEVICE)");
        return;
    }
    rc = v1 ? set_v1(v1->fd, rules, n, &exact) : set_v2(v2->fd, rules, n);
    if (rc == 0 && exact)
        field(ret, CGROUP_ENFORCED, "");
    else if (rc == 0)
        field(ret, CGROUP_DEGRADED, "cgroup v1 cannot except one device of many");
    else if (v1)
        field(ret, CGROUP_DEGRADED, rc == -EPERM ? "the group above us allows less" : strerror(-rc));
    else
        field(ret, CGROUP_DEGRADED,
              rc == -EINVAL || rc == -ENOSYS ? "kernel without CONFIG_CGROUP_BPF" : strerror(-rc));
}

static int add_rule(struct cgroup *c, const struct cgroup_device *rule, struct err *err)
{
    const struct cgroup_slot *v1 = cgroup_slot_of(c, CGROUP_DEVICES), *v2 = cgroup_v2_slot(c);
    struct cgroup_device rules[CGROUP_DEVICES_MAX] = {{.allow = false}};
    char line[LINE_BYTES];
    int rc, n, kept = 0;

    (void)rule_text(rule, rule->access, line);
    if (v1) {
        rc = cgroup_put(v1->fd, rule->allow ? "devices.allow" : "devices.deny", line);
        return rc < 0 ? err_errno(err, -rc, "%s: device %s", c->path, line) : 0;
    }
    n = v2 ? note_read(v2->fd, rules) : -ENODATA;
    if (n < 0)
        return err_set(err, ERR_UNSUPPORTED, "%.100s: device %s: no list is in force here", c->path, line);
    for (int i = 0; i < n;
         i++) /* a rule that the new one fully covers is dropped: repeated hotplug adds nothing */
        if (!same_device(&rules[i], rule) || (rules[i].access & ~rule->access))
            rules[kept++] = rules[i];
    if (kept == CGROUP_DEVICES_MAX)
        return err_set(err, ERR_NOSPACE, "%.100s: more than %d device rules", c->path, CGROUP_DEVICES_MAX);
    rules[kept++] = *rule;
    rc = set_v2(v2->fd, rules, (unsigned)kept);
    return rc < 0 ? err_errno(err, -rc, "%s: device %s", c->path, line) : 0;
}

int cgroup_device_allow(struct cgroup *c, char type, int64_t major, int64_t minor, unsigned access,
                        struct err *err)
{
    return add_rule(c, &(struct cgroup_device){true, type, major, minor, access}, err);
}

int cgroup_device_deny(struct cgroup *c, char type, int64_t major, int64_t minor, unsigned access,
                       struct err *err)
{
    return add_rule(c, &(struct cgroup_device){false, type, major, minor, access}, err);
}
