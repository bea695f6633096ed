/* cli_exec.c - one more program in a container. See cli.h. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "platform/fs.h"
#include "runtime/cli.h"

/* "UID[:GID]", numbers only: names would have to be read from the image. */
static int parse_user(const char *text, uint32_t *uid, uint32_t *gid, struct err *err)
{
    char first[16];
    const char *colon = strchr(text, ':');
    uint64_t u, g = 0;

    if (!str_fmt(first, sizeof first, "%.*s", (int)(colon ? (size_t)(colon - text) : strlen(text)), text) ||
        !str_u64(first, 0, UINT32_MAX - 1, &u) || (colon && !str_u64(colon + 1, 0, UINT32_MAX - 1, &g)))
        return err_set(err, ERR_INVALID, "--user %s: not UID[:GID] in numbers", text);
    *uid = (uint32_t)u;
    *gid = (uint32_t)g;
    return 0;
}

/* --process FILE: the process object of config.json. It is read as a bundle with nothing else in it. */
static int load_process(const struct cli *c, struct arena *arena, struct spec *ret, struct err *err)
{
    AUTO_MEM uint8_t *text = NULL;
    AUTO_MEM char *doc = NULL;
    size_t len;
    int r = fs_read(AT_FDCWD, c->process, LIM_OCI_JSON_BYTES, &text, &len, err);

    if (r < 0)
        return r;
    doc = mem_need(len + 128);
    (void)snprintf(doc, len + 128,
                   "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"/\"},\"linux\":{},\"process\":%s}",
                   (const char *)text);
    return spec_from_oci(buf_str(doc), arena, ret, err);
}

static int fill(struct cli *c, struct arena *arena, struct box_exec *x, struct err *err)
{
    struct spec spec;
    int r;

    if (c->process) {
        if ((r = load_process(c, arena, &spec, err)) < 0)
            return r;
        x->args = spec.args;
        x->env = spec.env;
        x->cwd = spec.cwd;
        x->uid = spec.uid;
        x->gid = spec.gid;
        if (spec.caps)
            cli_warn(c, "exec: process.capabilities: exec runs without any");
        return 0;
    }
    if (c->n_args < 1)
        return err_set(err, ERR_INVALID, "exec needs a program");
    x->args = (const char *const *)c->args;
    x->env = c->n_env ? c->env : NULL;
    x->cwd = c->cwd;
    return c->user ? parse_user(c->user, &x->uid, &x->gid, err) : 0;
}

int cli_exec(struct cli *c, struct err *err)
{
    AUTO_FREE(arena) struct arena *arena = arena_new(LIM_OCI_JSON_BYTES * 4);
    struct box_exec x = {.stdin_fd = 0, .stdout_fd = 1, .stderr_fd = 2};
    struct cli_state s;
    int pidfd = -1, r;
    pid_t pid;

    if ((r = cli_load(c, &s, err)) < 0 || (r = fill(c, arena, &x, err)) < 0)
        return r;
    x.seccomp_default = s.seccomp;
    if ((r = box_exec_start(&c->host, &s.id, &x, &pid, &pidfd, err)) < 0 ||
        (r = cli_write_pid(c, pid, err)) < 0)
        return r;
    return c->detach ? 0 : cli_wait(NULL, pid, pidfd);
}
