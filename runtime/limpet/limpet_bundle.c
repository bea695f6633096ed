/* limpet_bundle.c - config.json of a bundle, and what it requests beyond the container itself. See
 * limpet_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "platform/fs.h"
#include "runtime/box/hooks.h"
#include "runtime/limpet/limpet_int.h"
#include "runtime/seccomp/seccomp_cache.h"

void limpet_bundle_done(struct limpet_bundle *b)
{
    b->arena = arena_free(b->arena);
    free(b->text);
    free(b->filter);
    b->text = NULL;
    b->filter = NULL;
}

static int load_filter(struct limpet_bundle *b, struct err *err)
{
    struct spec_filter *f = &b->spec.process.seccomp;

    if (!b->oci.seccomp)
        return 0;
    if (!box_has_seccomp())
        return err_set(err, ERR_UNSUPPORTED, "linux.seccomp: kernel without CONFIG_SECCOMP_FILTER");
    if (seccomp_load(NULL, buf_str(b->oci.seccomp), &b->filter, &f->n, err) < 0)
        return -(int)err->kind;
    f->code = b->filter;
    return 0;
}

int limpet_bundle_read(const struct limpet *c, int dir_fd, const char *name, struct limpet_bundle *ret,
                       struct err *err)
{
    struct limpet_bundle b = {.arena = arena_new(LIM_CONFIG_BYTES * 8)};
    int rc = fs_read(dir_fd, name, LIM_CONFIG_BYTES, &b.text, &b.len, err);

    if (rc == 0)
        rc = spec_from_oci(buf_of(b.text, b.len), b.arena, &b.spec, &b.oci, err);
    if (rc == 0)
        rc = load_filter(&b, err);
    if (rc < 0) {
        limpet_bundle_done(&b);
        return rc;
    }
    for (unsigned i = 0; i < b.oci.n_notes; i++)
        limpet_warn(c, b.oci.notes[i]);
    *ret = b;
    return 0;
}

void limpet_late_hooks(const struct limpet *c, int dir_fd, const struct limpet_state *s,
                       enum spec_hook_kind kind)
{
    struct hooks_state hs = {.id = s->id.id,
                             .status = kind == SPEC_HOOK_POSTSTOP ? "stopped" : "running",
                             .bundle = s->bundle,
                             .annotations = s->annotations,
                             .pid = kind == SPEC_HOOK_POSTSTOP ? 0 : s->id.pid};
    struct limpet_bundle b;
    struct err err = ERR_INIT;

    if (faccessat(dir_fd, "hooks", F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return; /* nearly always: config.json need not be read again */
    if (limpet_bundle_read(c, dir_fd, "config.json", &b, &err) < 0) {
        limpet_warn(c, err.msg);
        return;
    }
    if (hooks_run(&b.spec.hooks[kind], kind == SPEC_HOOK_POSTSTOP ? "poststop" : "poststart", &hs, true,
                  &err) < 0)
        limpet_warn(c, err.msg);
    limpet_bundle_done(&b);
}

int limpet_connect(const char *path, const char *what, int *ret_fd, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!str_copy(a.sun_path, sizeof(a.sun_path), path))
        return err_set(err, ERR_INVALID, "%s %s: longer than %zu bytes", what, path, sizeof(a.sun_path) - 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
        return err_errno(err, errno, "%s %s", what, path);
    *ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return *ret_fd >= 0 ? 0 : err_errno(err, errno, "%s", what);
}
