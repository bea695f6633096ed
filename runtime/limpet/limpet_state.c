/* limpet_state.c - the record of a container below --root. See limpet_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "platform/fs.h"
#include "runtime/limpet/limpet_int.h"

static bool is_id(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-");

    return n > 0 && n < LIM_ID_BYTES && id[n] == '\0' && id[0] != '.' && id[0] != '-';
}

int limpet_dir(const struct limpet *c, bool make, int *ret_fd, struct err *err)
{
    AUTO_FD int root = -1;
    int rc;

    if (!is_id(c->id))
        return err_set(err, ERR_INVALID, "container id: not 1 to %d of [A-Za-z0-9+_.-]", LIM_ID_BYTES - 1);
    if ((rc = fs_open_dir(AT_FDCWD, c->root, make, 0711, &root, err)) <
        0) /* the agent's link must traverse it */
        return rc == -ERR_NOTFOUND ? err_set(err, ERR_NOTFOUND, "container `%s` does not exist", c->id) : rc;
    if (make && mkdirat(root, c->id, 0700) != 0)
        return errno == EEXIST ? err_set(err, ERR_EXISTS, "container `%s` already exists", c->id)
                               : err_errno(err, errno, "make %s/%s", c->root, c->id);
    *ret_fd = openat(root, c->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd < 0)
        return err_set(err, ERR_NOTFOUND, "container `%s` does not exist", c->id);
    return 0;
}

int limpet_save(int dir_fd, const struct limpet_state *s, struct err *err)
{
    struct cJSON *o = json_obj();
    AUTO_MEM char *text = NULL;

    json_put_str(o, "id", s->id.id);
    json_put_u64(o, "pid", (uint64_t)s->id.pid);
    json_put_u64(o, "start", s->id.start_ticks);
    json_put_str(o, "cgroup", s->id.cgroup_path);
    json_put_u64(o, "net", s->id.net);
    json_put_str(o, "ip", s->id.host_ip);
    json_put_str(o, "bundle", s->bundle);
    json_put_str(o, "freezer", s->freezer);
    json_put_str(o, "rootfs", s->rootfs);
    json_put_str(o, "created", s->created);
    json_put_u64(o, "owner", s->owner);
    if (s->annotations)
        json_put_str(o, "annotations", s->annotations);
    text = json_print(o, false);
    (void)json_free(o);
    return fs_write_atomic(dir_fd, "state.json", buf_str(text), 0600, err);
}

static int parse_state(const struct json_cur *o, struct limpet_state *ret, struct err *err)
{
    const char *annotations = NULL;
    struct limpet_state s = {0};
    uint64_t pid, net, owner;

    if (json_get_copy(o, "id", s.id.id, sizeof(s.id.id), err) < 0 ||
        json_get_u64(o, "pid", JSON_REQUIRED, 0, INT32_MAX, &pid, err) < 0 ||
        json_get_u64(o, "start", JSON_REQUIRED, 0, UINT64_MAX, &s.id.start_ticks, err) < 0 ||
        json_get_copy(o, "cgroup", s.id.cgroup_path, sizeof(s.id.cgroup_path), err) < 0 ||
        json_get_u64(o, "net", JSON_REQUIRED, 0, SPEC_NET_COUNT_ - 1, &net, err) < 0 ||
        json_get_copy(o, "ip", s.id.host_ip, sizeof(s.id.host_ip), err) < 0 ||
        json_get_copy(o, "bundle", s.bundle, sizeof(s.bundle), err) < 0 ||
        json_get_copy(o, "freezer", s.freezer, sizeof(s.freezer), err) < 0 ||
        json_get_copy(o, "rootfs", s.rootfs, sizeof(s.rootfs), err) < 0 ||
        json_get_copy(o, "created", s.created, sizeof(s.created), err) < 0 ||
        json_get_u64(o, "owner", JSON_REQUIRED, 0, UINT32_MAX, &owner, err) < 0 ||
        json_get_str(o, "annotations", JSON_OPTIONAL, LIM_CONFIG_BYTES, &annotations, err) < 0)
        return -(int)err->kind;
    s.id.pid = (pid_t)pid;
    s.id.net = (enum spec_net)net;
    s.owner = (uint32_t)owner;
    s.annotations = annotations ? mem_need_str(annotations) : NULL;
    *ret = s;
    return 0;
}

int limpet_load(const struct limpet *c, struct limpet_state *ret, struct err *err)
{
    AUTO_FD int dir = -1;
    AUTO_MEM uint8_t *text = NULL;
    struct json_cur doc = {.node = NULL};
    size_t len = 0;
    int rc = limpet_dir(c, false, &dir, err);

    if (rc < 0)
        return rc;
    rc = fs_read(dir, "state.json", LIM_CONFIG_BYTES, &text, &len, err);
    if (rc == -ERR_NOTFOUND) {
        *ret = (struct limpet_state){
            0}; /* killed during create: only the directory exists, and perhaps a group */
        (void)str_copy(ret->id.id, sizeof(ret->id.id), c->id);
        limpet_cgroup_path(c, ret->id.cgroup_path);
        return 0;
    }
    if (rc == 0)
        rc = json_parse(buf_of(text, len), &json_limits_config, &doc, err);
    if (rc < 0)
        return err_wrap(err, "state of %s", c->id);
    rc = parse_state(&doc, ret, err);
    (void)json_free(doc.node);
    return rc < 0 ? err_wrap(err, "state of %s", c->id) : 0;
}

void limpet_state_done(struct limpet_state *s)
{
    free(s->annotations);
    s->annotations = NULL;
}

const char *limpet_status(int dir_fd, const struct limpet_state *s)
{
    if (!box_is_alive(&s->id))
        return "stopped";
    if (s->freezer[0] && cgroup_file_is_frozen(s->freezer))
        return "paused";
    return faccessat(dir_fd, "start", F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? "created" : "running";
}

static void wait_dead(const struct box_id *b)
{
    struct timespec t = {0, 1000000};

    for (int ms = 0; ms < 5000 && box_is_alive(b); ms++)
        (void)nanosleep(&t, NULL);
}

/* Remove the record: its files are known; others (partly written ones) are looked for only if it is not
 * empty. */
static int remove_record(const struct limpet *c, const struct limpet_state *s, struct err *err)
{
    static const char *const names[] = {"state.json", "config.json", "hooks", "start", "mounts"};
    AUTO_FD int root = -1;
    AUTO_FD int dir = -1;
    int rc = fs_open_dir(AT_FDCWD, c->root, false, 0700, &root, err);

    if (rc < 0)
        return rc;
    dir = openat(root, c->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0)
        limpet_late_hooks(c, dir, s, SPEC_HOOK_POSTSTOP);
    for (size_t i = 0; dir >= 0 && i < COUNT_OF(names); i++)
        (void)unlinkat(dir, names[i], 0);
    return unlinkat(root, c->id, AT_REMOVEDIR) == 0 ? 0 : fs_remove_tree(root, c->id, err);
}

int limpet_forget(struct limpet *c, const struct limpet_state *s, bool force, struct err *err)
{
    int rc;

    if (box_is_alive(&s->id)) {
        if (!force)
            return err_set(err, ERR_CONFLICT, "container `%s` still runs", c->id);
        if ((rc = box_kill(&c->host, &s->id, err)) < 0)
            return rc;
        wait_dead(&s->id);
    }
    rc = box_cleanup(&c->host, &s->id, err);
    return rc < 0 ? rc : remove_record(c, s, err);
}

int limpet_read(const char *file, size_t most, uint8_t **ret, size_t *ret_len, struct err *err)
{
    AUTO_MEM uint8_t *text = NULL;
    ssize_t n;

    if (strcmp(file, "-") != 0)
        return fs_read(AT_FDCWD, file, most, ret, ret_len, err);
    text = mem_need(most + 1);
    if ((n = fs_read_full(0, text, most + 1, err)) < 0)
        return err_wrap(err, "standard input");
    if ((size_t)n > most)
        return err_set(err, ERR_INVALID, "standard input: longer than %zu bytes", most);
    *ret = steal_ptr(&text);
    *ret_len = (size_t)n;
    return 0;
}
