/* idmap.c - see idmap.h. */
#include "runtime/box/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "platform/fs.h"
#include "platform/sys.h"
#include "runtime/box/tool.h"

/* In the format of /proc/PID/uid_map. */
static void text_of(const struct spec_id_maps *m, char *dst, size_t size)
{
    size_t at = 0;

    dst[0] = '\0';
    for (unsigned i = 0; i < m->n && at < size; i++)
        at += (size_t)snprintf(dst + at, size - at, "%u %u %u\n", m->list[i].inner, m->list[i].outer,
                               m->list[i].count);
}

/* newuidmap PID INNER OUTER COUNT ...: the set-uid program that checks what a user may map. */
static int ask_program(const char *program, pid_t pid, const struct spec_id_maps *m, struct err *err)
{
    static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    char numbers[1 + SPEC_ID_MAPS * 3][12], path[64];
    const char *args[COUNT_OF(numbers) + 2] = {program};
    struct tool t = {.path = path, .args = args, .env = env};
    AUTO_TOOL_RESULT did = {0};
    unsigned n = 0;
    int rc;

    (void)snprintf(path, sizeof(path), "/usr/bin/%s", program);
    (void)snprintf(numbers[n++], sizeof(*numbers), "%d", (int)pid);
    for (unsigned i = 0; i < m->n; i++) {
        (void)snprintf(numbers[n++], sizeof(*numbers), "%u", m->list[i].inner);
        (void)snprintf(numbers[n++], sizeof(*numbers), "%u", m->list[i].outer);
        (void)snprintf(numbers[n++], sizeof(*numbers), "%u", m->list[i].count);
    }
    for (unsigned i = 0; i < n; i++)
        args[1 + i] = numbers[i];
    if ((rc = tool_run(&t, &did, err)) < 0 || tool_is_well(&did))
        return rc;
    return err_set(err, ERR_DENIED,
                   "these id mappings need root, or %s and ranges for this user in /etc/subuid and "
                   "/etc/subgid (%.*s)",
                   program, (int)strcspn(did.complaint, "\n"), did.complaint);
}

static int write_one(pid_t pid, const char *file, const char *program, const struct spec_id_maps *m,
                     struct err *err)
{
    char name[48], text[SPEC_ID_MAPS * 34];
    int rc;

    (void)snprintf(name, sizeof(name), "/proc/%d/%s", (int)pid, file);
    text_of(m, text, sizeof(text));
    rc = fs_write_text(AT_FDCWD, name, text, err);
    return rc < 0 && geteuid() != 0 ? ask_program(program, pid, m, err) : rc;
}

int idmap_write(pid_t pid, const struct spec_id_maps *uids, const struct spec_id_maps *gids, struct err *err)
{
    char name[48];
    int rc = write_one(pid, "uid_map", "newuidmap", uids, err);

    if (rc < 0)
        return rc;
    if (geteuid() != 0 && gids->n == 1 &&
        gids->list[0].count == 1) { /* otherwise dropping groups could gain access */
        (void)snprintf(name, sizeof(name), "/proc/%d/setgroups", (int)pid);
        if ((rc = fs_write_text(AT_FDCWD, name, "deny", err)) < 0)
            return rc;
    }
    return write_one(pid, "gid_map", "newgidmap", gids, err);
}

int idmap_open(const struct spec_id_maps *uids, const struct spec_id_maps *gids, int *ret_fd, struct err *err)
{
    char name[40];
    int fd = -1, rc;
    pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_NEWUSER | SIGCHLD), 0UL, 0UL, 0UL, 0UL);

    if (pid < 0)
        return err_errno(err, errno, "user namespace for id-mapped mounts");
    if (pid == 0)
        for (;;)
            (void)pause();
    rc = idmap_write(pid, uids, gids, err);
    (void)snprintf(name, sizeof(name), "/proc/%d/ns/user", (int)pid);
    if (rc == 0 && (fd = openat(AT_FDCWD, name, O_RDONLY | O_CLOEXEC)) < 0)
        rc = err_errno(err, errno, "%s", name);
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (rc == 0)
        *ret_fd = fd;
    return rc;
}

static int shift_mount(const struct spec_mount *m, unsigned index, int tree, int ns_fd, struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
    AUTO_FD int own = -1;
    int rc = m->uid_maps ? idmap_open(m->uid_maps, m->gid_maps, &own, err) : 0;

    if (rc < 0)
        return err_wrap(err, "mounts[%u] (%s)", index, m->target);
    attr.userns_fd = (uint64_t)(own >= 0 ? own : ns_fd);
    if (sys_mount_setattr(tree, "", AT_EMPTY_PATH | (m->idmap_all ? SYS_RECURSIVE : 0), &attr) != 0)
        return err_errno(err, errno,
                         "mounts[%u] (%s): id-mapped mount (needs Linux 5.12 and a file system that can)",
                         index, m->target);
    return 0;
}

int idmap_shift(const struct spec *s, const struct child_trees *t, int ns_fd, char *note, size_t note_size,
                struct err *err)
{
    struct sys_mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)ns_fd};

    if (s->rootfs_idmap && ns_fd >= 0 && sys_mount_setattr(t->root, "", AT_EMPTY_PATH, &attr) != 0)
        return 1;
    for (unsigned i = 0; i < s->n_mounts; i++) {
        const struct spec_mount *m = &s->mounts[i];
        int rc;
        if (m->idmap && t->mounts[i] < 0)
            return err_set(err, ERR_UNSUPPORTED, "mounts[%u] (%s): id-mapped mounts need root and Linux 5.12",
                           i, m->target);
        if (m->idmap && (rc = shift_mount(m, i, t->mounts[i], ns_fd, err)) < 0)
            return rc;
        if (!m->idmap && s->rootfs_idmap && ns_fd >= 0 && t->mounts[i] >= 0 &&
            sys_mount_setattr(t->mounts[i], "", AT_EMPTY_PATH, &attr) != 0 && note && !(m->flags & MS_RDONLY))
            (void)snprintf(note, note_size, "%.40s: its file system cannot shift ids: all is nobody's there",
                           m->target);
    }
    return 0;
}
