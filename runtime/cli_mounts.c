/* cli_mounts.c - mounts come into a running container, and go. See cli.h. */
#include <string.h>

#include "runtime/cli.h"
#include "runtime/live.h"

static int change(const struct box_id *b, const struct spec *s, bool add, struct err *err)
{
    int r = 0;

    if (s->n_mounts == 0)
        return err_set(err, ERR_INVALID, "mounts: the list is empty");
    for (unsigned i = 0; r == 0 && i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[add ? i : s->n_mounts - 1 - i]; /* the last is on top */
        if (add && m->kind == SPEC_MOUNT_BIND && m->source[0] != '/')
            return err_set(err, ERR_INVALID, "mounts[%u].source: %s is not absolute", i, m->source);
        r = add ? live_mount_add(b, m, err) : live_mount_remove(b, m->target, err);
    }
    return r;
}

static int read_list(const char *file, struct arena *arena, struct spec *s, struct err *err)
{
    AUTO_MEM uint8_t *text = NULL;
    size_t len = 0;
    int r = cli_read(file, LIM_CONFIG_BYTES, &text, &len, err);

    return r < 0 ? r : spec_mounts_from_oci(buf_of(text, len), arena, s, err);
}

int cli_mounts(struct cli *c, struct err *err)
{
    bool add = c->n_args == 3 && strcmp(c->args[0], "add") == 0;
    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_CONFIG_BYTES * 2);
    AUTO_MEM struct spec *s = mem_need_zero(sizeof *s);
    struct cli_state state;
    int r;

    if (c->n_args != 3 || (!add && strcmp(c->args[0], "remove") != 0))
        return err_set(err, ERR_INVALID, "mounts: write \"mounts add ID FILE\" or \"mounts remove ID FILE\"");
    c->id = c->args[1];
    if ((r = read_list(c->args[2], arena, s, err)) < 0 || (r = cli_load(c, &state, err)) < 0)
        return r;
    r = box_is_alive(&state.id) ? change(&state.id, s, add, err)
                                : err_set(err, ERR_CONFLICT, "container `%s` does not run", c->id);
    cli_state_done(&state);
    return r;
}
