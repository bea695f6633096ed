/* spec_mounts.c - the mounts of config.json (runtime-spec config.md, "Mounts"). Pure. */
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "runtime/spec/spec_parse.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

/* One option word: flags to set, flags to clear. With `all` a leading r means recursive. */
static const struct word {
    const char *name;
    unsigned long set, clear;
    uint64_t all_set, all_clear;
} words[] = {
    {"ro", MS_RDONLY, 0, MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MS_RDONLY, 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MS_NOSUID, 0, MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MS_NOSUID, 0, MOUNT_ATTR_NOSUID},
    {"nodev", MS_NODEV, 0, MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MS_NODEV, 0, MOUNT_ATTR_NODEV},
    {"noexec", MS_NOEXEC, 0, MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC, 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MS_NOATIME, 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", 0, MS_NOATIME, 0, MOUNT_ATTR__ATIME},
    {"nodiratime", MS_NODIRATIME, 0, MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME, 0, MOUNT_ATTR_NODIRATIME},
    {"relatime", MS_RELATIME, 0, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", 0, MS_RELATIME, 0, MOUNT_ATTR__ATIME},
    {"strictatime", MS_STRICTATIME, 0, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", 0, MS_STRICTATIME, 0, MOUNT_ATTR__ATIME},
    {"nosymfollow", MS_NOSYMFOLLOW, 0, MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MS_NOSYMFOLLOW, 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"sync", MS_SYNCHRONOUS, 0, 0, 0},
    {"async", 0, MS_SYNCHRONOUS, 0, 0},
    {"dirsync", MS_DIRSYNC, 0, 0, 0},
    {"mand", MS_MANDLOCK, 0, 0, 0},
    {"nomand", 0, MS_MANDLOCK, 0, 0},
    {"lazytime", MS_LAZYTIME, 0, 0, 0},
    {"nolazytime", 0, MS_LAZYTIME, 0, 0},
    {"iversion", MS_I_VERSION, 0, 0, 0},
    {"noiversion", 0, MS_I_VERSION, 0, 0},
    {"silent", MS_SILENT, 0, 0, 0},
    {"loud", 0, MS_SILENT, 0, 0},
    {"defaults", 0, 0, 0, 0},
    {"acl", MS_POSIXACL, 0, 0, 0},
    {"noacl", 0, MS_POSIXACL, 0, 0},
};

unsigned long spec_propagation(const char *word)
{
    static const struct {
        const char *name;
        unsigned long flags;
    } kinds[] = {
        {"private", MS_PRIVATE}, {"slave", MS_SLAVE}, {"shared", MS_SHARED}, {"unbindable", MS_UNBINDABLE}};

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strcmp(word, kinds[i].name) == 0)
            return kinds[i].flags;
        if (word[0] == 'r' && strcmp(word + 1, kinds[i].name) == 0)
            return kinds[i].flags | MS_REC;
    }
    return 0;
}

static bool take_flag(struct spec_mount *m, const char *o)
{
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const struct word *w = &words[i];
        if (strcmp(o, w->name) == 0) {
            m->flags = (m->flags & ~w->clear) | w->set;
            m->clear = (m->clear & ~w->set) | w->clear;
            return true;
        }
        if (o[0] == 'r' && strcmp(o + 1, w->name) == 0 && (w->all_set | w->all_clear)) {
            m->all_set = (m->all_set & ~w->all_clear) | w->all_set;
            m->all_clear = (m->all_clear & ~w->all_set) | w->all_clear;
            return true;
        }
    }
    return false;
}

static bool parse_size(const char *text, uint64_t *ret)
{
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    unsigned shift = *end == 'k' || *end == 'K'   ? 10
                     : *end == 'm' || *end == 'M' ? 20
                     : *end == 'g' || *end == 'G' ? 30
                                                  : 0;

    if (end == text || text[0] == '-' || (shift ? end[1] : end[0]) != '\0' || v > UINT64_MAX >> 31)
        return false;
    *ret = v << shift;
    return true;
}

/* tmpfs: the two options shown in the list of steps. */
static bool take_tmpfs(struct spec_mount *m, const char *o)
{
    if (strncmp(o, "size=", 5) == 0)
        return parse_size(o + 5, &m->size_bytes);
    if (strncmp(o, "mode=", 5) != 0)
        return false;
    m->mode = (unsigned)strtoul(o + 5, NULL, 8) & 07777;
    return m->mode != 0;
}

static bool take_special(struct spec_mount *m, const char *o)
{
    unsigned long p = spec_propagation(o);

    if (p)
        m->propagation = p;
    else if (strcmp(o, "bind") == 0 || strcmp(o, "rbind") == 0) {
        m->kind = SPEC_MOUNT_BIND;
        m->recursive = o[0] == 'r';
    } else if (strcmp(o, "tmpcopyup") == 0)
        m->copy_up = true;
    else if (strcmp(o, "idmap") == 0 || strcmp(o, "ridmap") == 0) {
        m->idmap = true;
        m->idmap_all = o[0] == 'r';
    } else
        return false;
    return true;
}

static int take_options(struct spec_ctx *x, const struct json_cur *c, const char *const *options,
                        struct spec_mount *m)
{
    size_t size = 1, at = 0;
    char *data;

    for (const char *const *o = options; o && *o; o++)
        size += strlen(*o) + 1;
    data = arena_get(x->arena, size);
    if (!data)
        return err_set(x->err, ERR_NOMEM, "mounts: too large");
    for (; options && *options; options++) {
        const char *o = *options;
        if (take_flag(m, o) || take_special(m, o) || (m->kind == SPEC_MOUNT_TMPFS && take_tmpfs(m, o)))
            continue;
        if (m->kind == SPEC_MOUNT_BIND)
            return json_fail(c, x->err, ERR_INVALID, "option \"%.64s\" is none of a bind mount", o);
        if (at > 0)
            data[at++] = ',';
        memcpy(data + at, o, strlen(o) + 1);
        at += strlen(o);
    }
    m->data = at > 0 ? data : NULL;
    return 0;
}

static void take_type(struct spec_mount *m, const char *type)
{
    static const struct {
        const char *name;
        enum spec_mount_kind kind;
    } types[] = {
        {"bind", SPEC_MOUNT_BIND},     {"none", SPEC_MOUNT_BIND},     {"tmpfs", SPEC_MOUNT_TMPFS},
        {"proc", SPEC_MOUNT_PROC},     {"sysfs", SPEC_MOUNT_SYSFS},   {"devpts", SPEC_MOUNT_DEVPTS},
        {"mqueue", SPEC_MOUNT_MQUEUE}, {"cgroup", SPEC_MOUNT_CGROUP}, {"cgroup2", SPEC_MOUNT_CGROUP}};

    m->kind = SPEC_MOUNT_FS;
    m->type = type;
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (strcmp(type, types[i].name) == 0)
            m->kind = types[i].kind;
}

static int read_mount_maps(struct spec_ctx *x, const struct json_cur *c, const char *key,
                           const struct spec_id_maps **ret)
{
    struct spec_id_maps maps = {0}, *copy;
    int rc = spec_read_id_maps(x, c, key, &maps);

    if (rc != 1 || maps.n == 0)
        return rc;
    copy = arena_get(x->arena, sizeof(*copy));
    if (!copy)
        return err_set(x->err, ERR_NOMEM, "mounts: too large");
    *copy = maps;
    *ret = copy;
    return 1;
}

/* "/a" unchanged; "a" was allowed until 1.0: below the root. */
static const char *absolute(struct spec_ctx *x, const char *target)
{
    char *p;

    if (target[0] == '/')
        return spec_keep(x, target);
    p = arena_get(x->arena, strlen(target) + 2);
    if (p)
        (void)snprintf(p, strlen(target) + 2, "/%s", target);
    return p;
}

static int read_mount(struct spec_ctx *x, const struct json_cur *c, struct spec_mount *m)
{
    const char *const *options = NULL;
    const char *type = "bind", *target = NULL;
    int rc;

    *m = (struct spec_mount){.source_fd = -1, .make_target = true};
    if ((rc = json_get_str(c, "destination", JSON_REQUIRED, LIM_PATH_BYTES, &target, x->err)) < 0 ||
        (rc = spec_get_text(x, c, "type", 64, &type)) < 0 ||
        (rc = spec_get_text(x, c, "source", LIM_PATH_BYTES, &m->source)) < 0 ||
        (rc = spec_get_strings(x, c, "options", LIM_CONFIG_LIST, &options)) < 0)
        return rc;
    take_type(m, type);
    for (const char *const *o = options; o && *o; o++) /* overrides any type, wherever it occurs */
        if (strcmp(*o, "bind") == 0 || strcmp(*o, "rbind") == 0)
            m->kind = SPEC_MOUNT_BIND;
    if ((rc = take_options(x, c, options, m)) < 0 ||
        (rc = read_mount_maps(x, c, "uidMappings", &m->uid_maps)) < 0 ||
        (rc = read_mount_maps(x, c, "gidMappings", &m->gid_maps)) < 0)
        return rc;
    if (!m->uid_maps != !m->gid_maps)
        return json_fail(c, x->err, ERR_INVALID, "uidMappings and gidMappings go together");
    if (m->uid_maps)
        m->idmap = true;
    if (m->kind == SPEC_MOUNT_BIND && !m->source)
        return json_fail(c, x->err, ERR_INVALID, "a bind mount needs a source");
    m->target = absolute(x, target);
    return m->target ? 0 : err_set(x->err, ERR_NOMEM, "mounts: too large");
}

int spec_read_mounts(struct spec_ctx *x, const struct json_cur *root)
{
    struct json_cur arr;
    int rc = json_get_array(root, "mounts", JSON_OPTIONAL, COUNT_OF(x->s->mounts), &arr, x->err);

    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        int one = read_mount(x, &c, &x->s->mounts[i]);
        if (one < 0)
            return one;
        x->s->n_mounts = i + 1;
    }
    return rc < 0 ? rc : 0;
}

const char *spec_mount_option(unsigned i)
{
    static const char *const others[] = {"bind",   "rbind",  "private",  "rprivate",   "slave",
                                         "rslave", "shared", "rshared",  "unbindable", "runbindable",
                                         "idmap",  "ridmap", "tmpcopyup"};

    if (i < COUNT_OF(words))
        return words[i].name;
    return i - COUNT_OF(words) < COUNT_OF(others) ? others[i - COUNT_OF(words)] : NULL;
}
