/* limpet_mounts.c - add mounts to a running container, and remove them. See limpet_int.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/fs.h"
#include "runtime/box/live.h"
#include "runtime/limpet/limpet_int.h"

#define RECORD "mounts"

/* The record of added mounts, one per line: "ID TARGET". IDs are the kernel's: a path inside is under the
 * container's control. */
struct record {
    int dir_fd;
    uint8_t *text; /* NUL-terminated */
    size_t len;
};

static int record_open(const struct limpet *c, struct record *ret, struct err *err)
{
    int rc = limpet_dir(c, false, &ret->dir_fd, err);

    if (rc < 0)
        return rc;
    rc = fs_read(ret->dir_fd, RECORD, LIM_CONFIG_BYTES, &ret->text, &ret->len, err);
    if (rc != -ERR_NOTFOUND)
        return rc;
    ret->text = mem_need_zero(1);
    return 0;
}

static void record_done(struct record *rec)
{
    if (rec->dir_fd >= 0)
        (void)close(rec->dir_fd);
    free(rec->text);
}

/* Rewrite it without the line at drop (NULL: keep all), and with a new one (NULL: none). */
static int record_save(const struct record *rec, const char *drop, const char *more, struct err *err)
{
    const char *text = (const char *)rec->text;
    size_t keep = drop ? (size_t)(drop - text) : rec->len, size = rec->len + (more ? strlen(more) : 0) + 1;
    const char *rest = drop ? strchr(drop, '\n') : NULL;
    AUTO_MEM char *all = mem_need(size);

    (void)snprintf(all, size, "%.*s%s%s", (int)keep, text, rest ? rest + 1 : "", more ? more : "");
    return fs_write_atomic(rec->dir_fd, RECORD, buf_str(all), 0600, err);
}

/* The last line with this target, which is on top. NULL: none. */
static const char *record_find(const struct record *rec, const char *target, uint64_t *ret_mount)
{
    const char *found = NULL, *line = (const char *)rec->text, *end;

    for (; (end = strchr(line, '\n')); line = end + 1) {
        const char *name = memchr(line, ' ', (size_t)(end - line));
        size_t len = name ? (size_t)(end - name) - 1 : 0;
        if (name && len == strlen(target) && memcmp(name + 1, target, len) == 0) {
            found = line;
            *ret_mount = strtoull(line, NULL, 10);
        }
    }
    return found;
}

static int add(const struct box_id *b, const struct spec_mount *m, const struct record *rec, struct err *err)
{
    char line[LIM_PATH_BYTES + 32];
    uint64_t mount = 0;
    int rc = strchr(m->target, '\n') ? err_set(err, ERR_INVALID, "mounts: a target with a line's end")
                                     : live_mount_add(b, m, &mount, err);

    if (rc < 0)
        return rc;
    (void)snprintf(line, sizeof(line), "%" PRIu64 " %s\n", mount, m->target);
    if ((rc = record_save(rec, NULL, line, err)) < 0)
        err_ignore(live_mount_remove(b, m->target, mount, NULL));
    return rc;
}

static int take_away(const struct box_id *b, const struct spec_mount *m, const struct record *rec,
                     struct err *err)
{
    uint64_t mount = 0;
    const char *line = record_find(rec, m->target, &mount);
    int rc = line ? live_mount_remove(b, m->target, mount, err) : -ERR_NOTFOUND;

    if (!line)
        return err_set(err, ERR_NOTFOUND, "%s: nothing is mounted on %s that `mounts add` brought", b->id,
                       m->target);
    if (rc < 0 && rc != -ERR_NOTFOUND)
        return rc;
    if (rc < 0) { /* it is gone already */
        (void)record_save(rec, line, NULL, NULL);
        return rc;
    }
    return record_save(rec, line, NULL, err);
}

static int change(const struct limpet *c, const struct box_id *b, const struct spec *s, bool more,
                  struct err *err)
{
    int rc = 0;

    if (s->n_mounts == 0)
        return err_set(err, ERR_INVALID, "mounts: the list is empty");
    for (unsigned i = 0; rc == 0 && i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[more ? i : s->n_mounts - 1 - i]; /* the last one is on top */
        struct record rec = {.dir_fd = -1};
        if (more && m->kind == SPEC_MOUNT_BIND && m->source[0] != '/')
            return err_set(err, ERR_INVALID, "mounts[%u].source: %s is not absolute", i, m->source);
        rc = record_open(c, &rec, err);
        if (rc == 0)
            rc = more ? add(b, m, &rec, err) : take_away(b, m, &rec, err);
        record_done(&rec);
    }
    return rc;
}

static int read_list(const char *file, struct arena *arena, struct spec *s, struct err *err)
{
    AUTO_MEM uint8_t *text = NULL;
    size_t len = 0;
    int rc = limpet_read(file, LIM_CONFIG_BYTES, &text, &len, err);

    return rc < 0 ? rc : spec_mounts_from_oci(buf_of(text, len), arena, s, err);
}

int limpet_mounts(struct limpet *c, struct err *err)
{
    bool more = c->n_args == 3 && strcmp(c->args[0], "add") == 0;
    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_CONFIG_BYTES * 2);
    AUTO_MEM struct spec *s = mem_need_zero(sizeof(*s));
    struct limpet_state state;
    int rc;

    if (c->n_args != 3 || (!more && strcmp(c->args[0], "remove") != 0))
        return err_set(err, ERR_INVALID, "mounts: write \"mounts add ID FILE\" or \"mounts remove ID FILE\"");
    c->id = c->args[1];
    if ((rc = read_list(c->args[2], arena, s, err)) < 0 || (rc = limpet_load(c, &state, err)) < 0)
        return rc;
    rc = box_is_alive(&state.id) ? change(c, &state.id, s, more, err)
                                 : err_set(err, ERR_CONFLICT, "container `%s` does not run", c->id);
    limpet_state_done(&state);
    return rc;
}
