/* cni.c - see cni.h. */
#include "runtime/net/cni.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "platform/fs.h"
#include "platform/json.h"
#include "platform/sys.h"
#include "runtime/box/tool.h"

#define LISTS      "/etc/cni/net.d"
#define RECORDS    "/run/limpet-cni"
#define PATHS      "/opt/cni/bin:/usr/lib/cni"
#define FILE_BYTES (256 * 1024)

/* Data for one call. record: {"id","pid","start","list":{..},"ports":[..],"result":{..}} */
struct call {
    const char *command, *id;
    char netns[40];             /* "": it is gone */
    struct json_cur list;       /* the network's configuration */
    const char *name, *version; /* from list */
    struct json_cur ports;      /* portMappings, an array */
    char *result;               /* of the previous plugin, or of ADD; malloc'd, NULL: none */
};

static int read_json(int dir, const char *file, struct json_cur *ret, struct err *err)
{
    AUTO_MEM uint8_t *text = NULL;
    size_t len = 0;
    int rc = fs_read(dir, file, FILE_BYTES, &text, &len, err);

    rc = rc < 0 ? rc : json_parse(buf_of(text, len), &json_limits_config, ret, err);
    return rc < 0 ? err_wrap(err, "%s", file) : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The list of that name: the first in order of file names. */
static int find_list(const char *name, struct json_cur *ret, struct err *err)
{
    char files[64][128];
    struct err broken = ERR_INIT;
    AUTO_FD int fd = open(LISTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned n = fd < 0 ? 0 : fs_list(fd, ".conflist", &files[0][0], sizeof(files[0]), COUNT_OF(files));

    qsort(files, n, sizeof(files[0]), by_name);
    for (unsigned i = 0; i < n; i++) {
        struct json_cur doc;
        const char *its = "";
        if (read_json(fd, files[i], &doc, &broken) < 0)
            continue;
        if (json_get_str(&doc, "name", JSON_REQUIRED, 255, &its, &broken) > 0 && strcmp(its, name) == 0) {
            *ret = doc;
            return 0;
        }
        (void)json_free(doc.node);
    }
    return err_set(err, ERR_NOTFOUND, "network \"%s\": no list of that name in " LISTS "%s%.100s", name,
                   broken.kind ? "; " : "", broken.kind ? broken.msg : "");
}

static int find_plugin(const char *type, char dst[300], struct err *err)
{
    static const char *const places[] = {"/opt/cni/bin", "/usr/lib/cni"};

    for (size_t i = 0; i < COUNT_OF(places) && !strchr(type, '/') && type[0] != '.'; i++)
        if (str_fmt(dst, 300, "%s/%s", places[i], type) && access(dst, X_OK) == 0)
            return 0;
    return err_set(err, ERR_NOTFOUND, "CNI plugin %.60s is not in " PATHS, type);
}

/* Standard input for one plugin (CNI 1.0, section 2: its object, with the list's name and version, the
 * capabilities that it requests, the previous result). */
static char *plugin_input(const struct call *c, const struct json_cur *plugin)
{
    struct cJSON *o = json_obj(), *run = json_obj();
    struct json_cur caps, before;
    bool wants = false;
    char *text;

    for (unsigned i = 0; i < json_len(plugin); i++) {
        struct json_cur m = json_member(plugin, i);
        if (strcmp(m.key, "capabilities") != 0)
            json_put_copy(o, m.key, &m);
    }
    json_put_str(o, "cniVersion", c->version);
    json_put_str(o, "name", c->name);
    if (json_get_object(plugin, "capabilities", JSON_OPTIONAL, &caps, NULL) == 1)
        err_ignore(json_get_bool(&caps, "portMappings", JSON_OPTIONAL, &wants, NULL));
    if (wants && json_len(&c->ports) > 0) {
        json_put_copy(run, "portMappings", &c->ports);
        (void)json_put(o, "runtimeConfig", run);
    } else {
        (void)json_free(run);
    }
    if (c->result && json_parse(buf_str(c->result), &json_limits_config, &before, NULL) == 0) {
        json_put_copy(o, "prevResult", &before);
        (void)json_free(before.node);
    }
    text = json_print(o, false);
    (void)json_free(o);
    return text;
}

/* A plugin's error: {"code":7,"msg":"...","details":"..."} (section 5). */
static int complain(const char *type, const char *command, const char *out, struct err *err)
{
    struct json_cur doc = {.node = NULL};
    const char *msg = "", *details = "";

    if (json_parse(buf_str(out), &json_limits_config, &doc, NULL) == 0) {
        err_ignore(json_get_str(&doc, "msg", JSON_OPTIONAL, 4096, &msg, NULL));
        err_ignore(json_get_str(&doc, "details", JSON_OPTIONAL, 4096, &details, NULL));
    }
    (void)err_set(err, ERR_IO, "CNI plugin %s: %s: %.120s%s%.80s", type, command,
                  msg[0] ? msg : "failed without a word", details[0] ? "; " : "", details);
    (void)json_free(doc.node);
    return -ERR_IO;
}

static const char plugin_path[] = "CNI_PATH=" PATHS;

static int run_plugin(struct call *c, const struct json_cur *plugin, struct err *err)
{
    char path[300], command[32], id[LIM_ID_BYTES + 20], netns[60];
    const char *type = "";
    const char *args[] = {path, NULL};
    const char *env[] = {
        command, id, netns, "CNI_IFNAME=eth0", plugin_path, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    AUTO_MEM char *input = NULL;
    AUTO_TOOL_RESULT did = {0};
    int rc;

    if ((rc = json_get_str(plugin, "type", JSON_REQUIRED, 100, &type, err)) < 0 ||
        (rc = find_plugin(type, path, err)) < 0)
        return rc;
    (void)snprintf(command, sizeof(command), "CNI_COMMAND=%s", c->command);
    (void)snprintf(id, sizeof(id), "CNI_CONTAINERID=%s", c->id);
    (void)snprintf(netns, sizeof(netns), "CNI_NETNS=%s", c->netns);
    input = plugin_input(c, plugin);
    struct tool t = {.path = path, .args = args, .env = env, .input = buf_str(input), .timeout_s = CNI_S};
    if (tool_run(&t, &did, err) < 0)
        return err_wrap(err, "CNI plugin %s", type);
    if (!tool_is_well(&did))
        return complain(type, c->command, did.out, err);
    if (strcmp(c->command, "ADD") == 0) {
        free(c->result);
        c->result = steal_ptr(&did.out);
    }
    return 0;
}

/* Call every plugin of the list; DEL goes from last to first and does not stop at a failure. */
static int run_list(struct call *c, struct err *err)
{
    bool back = strcmp(c->command, "DEL") == 0;
    struct json_cur plugins;
    int rc = json_get_array(&c->list, "plugins", JSON_REQUIRED, 32, &plugins, err);
    unsigned n = rc > 0 ? json_len(&plugins) : 0;

    rc = rc < 0 ? rc : 0;
    for (unsigned i = 0; i < n && (rc == 0 || back); i++) {
        struct json_cur p = json_at(&plugins, back ? n - 1 - i : i);
        int one = run_plugin(c, &p, rc == 0 ? err : NULL);
        if (!(back && one == -ERR_NOTFOUND)) /* a missing one can be called neither now nor later */
            rc = rc == 0 ? one : rc;
    }
    return rc;
}

/* ---- the record ---- */

static int open_records(int *ret, struct err *err)
{
    return fs_open_dir(AT_FDCWD, RECORDS, true, 0700, ret, err);
}

static int save(int dir, const struct call *c, pid_t pid, struct err *err)
{
    struct cJSON *o = json_obj();
    struct json_cur result;
    AUTO_MEM char *text = NULL;

    json_put_u64(o, "pid", (uint64_t)pid);
    json_put_u64(o, "start", sys_proc_start(pid));
    json_put_copy(o, "list", &c->list);
    json_put_copy(o, "ports", &c->ports);
    if (c->result && json_parse(buf_str(c->result), &json_limits_config, &result, NULL) == 0) {
        json_put_copy(o, "result", &result);
        (void)json_free(result.node);
    }
    text = json_print(o, false);
    (void)json_free(o);
    return fs_write_atomic(dir, c->id, buf_str(text), 0600, err);
}

static int read_list(struct call *c, struct err *err)
{
    int rc = json_get_str(&c->list, "name", JSON_REQUIRED, 255, &c->name, err);

    if (rc >= 0)
        rc = json_get_str(&c->list, "cniVersion", JSON_REQUIRED, 16, &c->version, err);
    return rc < 0 ? rc : 0;
}

/* *ret_pid 0: its process is gone. */
static int load(int dir, const char *id, struct json_cur *doc, struct call *c, pid_t *ret_pid,
                struct err *err)
{
    struct json_cur result;
    uint64_t pid = 0, start = 0;
    char link[64];
    int rc = read_json(dir, id, doc, err);

    if (rc < 0)
        return rc;
    if ((rc = json_get_u64(doc, "pid", JSON_REQUIRED, 1, INT32_MAX, &pid, err)) < 0 ||
        (rc = json_get_u64(doc, "start", JSON_REQUIRED, 0, UINT64_MAX >> 11, &start, err)) < 0 ||
        (rc = json_get_object(doc, "list", JSON_REQUIRED, &c->list, err)) < 0 ||
        (rc = json_get_array(doc, "ports", JSON_REQUIRED, 16 * LIM_PORT_RANGE, &c->ports, err)) < 0 ||
        (rc = read_list(c, err)) < 0)
        return rc;
    if (json_get_object(doc, "result", JSON_OPTIONAL, &result, NULL) == 1)
        c->result = json_print(result.node, false);
    (void)snprintf(c->netns, sizeof(c->netns), "/proc/%d/ns/net", (int)pid);
    *ret_pid =
        sys_proc_start((pid_t)pid) == start && readlink(c->netns, link, sizeof(link)) > 0 ? (pid_t)pid : 0;
    if (*ret_pid == 0) /* gone, or a zombie, which has none */
        c->netns[0] = '\0';
    return 0;
}

/* ---- verbs ---- */

static struct cJSON *ports_array(const struct spec *s)
{
    struct cJSON *list = json_arr();

    for (unsigned i = 0; i < s->n_ports; i++)
        for (unsigned k = 0; k <= spec_port_last(&s->ports[i]) - s->ports[i].host; k++) {
            struct cJSON *o = json_obj();
            json_put_u64(o, "hostPort", s->ports[i].host + k);
            json_put_u64(o, "containerPort", s->ports[i].container + k);
            json_put_str(o, "protocol", s->ports[i].udp ? "udp" : "tcp");
            if (s->ports[i].host_ip)
                json_put_str(o, "hostIP", s->ports[i].host_ip);
            (void)json_push(list, o);
        }
    return list;
}

/* The addresses of a result: "ips":[{"address":"10.1.0.5/24"}] (section 5, "Success"). */
static int read_result(const struct call *c, struct net_box *ret, struct err *err)
{
    struct json_cur doc = {.node = NULL}, ips;
    const char *text;
    int rc = json_parse(buf_str(c->result ? c->result : ""), &json_limits_config, &doc, err);

    rc = rc < 0 ? rc : json_get_array(&doc, "ips", JSON_OPTIONAL, 64, &ips, err);
    for (unsigned i = 0; rc > 0 && i < json_len(&ips); i++) {
        struct json_cur one = json_at(&ips, i);
        char *dst = NULL;
        size_t size, len;
        if (json_get_str(&one, "address", JSON_REQUIRED, 60, &text, err) < 0) {
            rc = -(int)err->kind;
            break;
        }
        len = strcspn(text, "/");
        dst = strchr(text, ':') ? ret->address6 : ret->address;
        size = strchr(text, ':') ? sizeof(ret->address6) : sizeof(ret->address);
        if (!dst[0] && len < size)
            (void)snprintf(dst, size, "%.*s", (int)len, text);
    }
    (void)json_free(doc.node);
    return rc < 0 ? err_wrap(err, "result of network \"%s\"", c->name) : 0;
}

static int add_all(struct call *c, int dir, pid_t pid, struct net_box *ret, struct err *err)
{
    int rc = save(dir, c, pid, err);

    if (rc == 0)
        rc = run_list(c, err);
    if (rc == 0)
        rc = read_result(c, ret, err);
    if (rc == 0)
        rc = save(dir, c, pid, err);
    if (rc < 0) {
        c->command = "DEL";
        if (run_list(c, NULL) == 0)
            (void)unlinkat(dir, c->id, 0);
    }
    return rc;
}

int cni_look(const char *name, struct err *err)
{
    struct json_cur list, plugins;
    char path[300];
    const char *type = "";
    int rc = find_list(name, &list, err);

    if (rc < 0)
        return rc;
    rc = json_get_array(&list, "plugins", JSON_REQUIRED, 32, &plugins, err);
    for (unsigned i = 0; rc >= 0 && i < json_len(&plugins); i++) {
        struct json_cur p = json_at(&plugins, i);
        rc = json_get_str(&p, "type", JSON_REQUIRED, 100, &type, err);
        rc = rc < 0 ? rc : find_plugin(type, path, err);
    }
    (void)json_free(list.node);
    return rc < 0 ? err_wrap(err, "network \"%s\"", name) : 0;
}

int cni_add(pid_t pid, const struct spec *s, struct net_box *ret, struct err *err)
{
    AUTO_FD int dir = -1;
    struct call c = {.command = "ADD", .id = s->id};
    struct json_cur ports = {.node = ports_array(s)};
    struct net_box box = {.nat = {.state = CGROUP_ENFORCED, .value = s->n_ports}};
    int rc = find_list(s->net_name, &c.list, err);

    c.ports = ports;
    (void)snprintf(c.netns, sizeof(c.netns), "/proc/%d/ns/net", (int)pid);
    if (rc == 0 && (rc = read_list(&c, err)) == 0 && (rc = open_records(&dir, err)) == 0)
        rc = add_all(&c, dir, pid, &box, err);
    (void)snprintf(box.nat.why, sizeof(box.nat.why), "CNI network %.60s", s->net_name);
    (void)json_free(c.list.node);
    (void)json_free(ports.node);
    free(c.result);
    if (rc == 0)
        *ret = box;
    return rc;
}

/* A list may disable checks, and CHECK is newer than the oldest lists (section 1). */
static bool wants_check(const struct call *c)
{
    bool off = false;

    err_ignore(json_get_bool(&c->list, "disableCheck", JSON_OPTIONAL, &off, NULL));
    return !off && strncmp(c->version, "0.1.", 4) != 0 && strncmp(c->version, "0.2.", 4) != 0 &&
           strncmp(c->version, "0.3.", 4) != 0;
}

/* DEL or CHECK using the record. */
static int later(const char *command, const char *id, struct err *err)
{
    AUTO_FD int dir = -1;
    struct json_cur doc = {.node = NULL};
    struct call c = {.command = command, .id = id};
    bool del = strcmp(command, "DEL") == 0;
    pid_t pid = 0;
    int rc = open_records(&dir, err);

    if (rc == 0 && faccessat(dir, id, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return del ? 0 : err_set(err, ERR_NOTFOUND, "%s has no CNI network", id);
    if (rc == 0 && (rc = load(dir, id, &doc, &c, &pid, err)) == 0) {
        rc = del || wants_check(&c) ? run_list(&c, err) : 0;
        if (rc == 0 && del)
            (void)unlinkat(dir, id, 0);
    }
    (void)json_free(doc.node);
    free(c.result);
    return rc;
}

int cni_del(const char *id, struct err *err)
{
    return later("DEL", id, err);
}

int cni_check(const char *id, struct err *err)
{
    return later("CHECK", id, err);
}

char *cni_dns(const char *id)
{
    AUTO_FD int dir = -1;
    struct json_cur doc = {.node = NULL}, result;
    char *text = NULL;

    if (open_records(&dir, NULL) == 0 && read_json(dir, id, &doc, NULL) == 0 &&
        json_get_object(&doc, "result", JSON_REQUIRED, &result, NULL) > 0)
        text = cni_dns_text(&result);
    (void)json_free(doc.node);
    return text;
}

void cni_sweep(void)
{
    DIR *d = opendir(RECORDS);

    for (struct dirent *e; d && (e = readdir(d));) {
        AUTO_FD int dir = -1;
        struct json_cur doc = {.node = NULL};
        struct call c = {.id = e->d_name};
        pid_t pid = 1;
        if (e->d_name[0] == '.' || open_records(&dir, NULL) < 0)
            continue;
        (void)load(dir, e->d_name, &doc, &c, &pid, NULL);
        (void)json_free(doc.node);
        free(c.result);
        if (pid == 0)
            err_ignore(cni_del(e->d_name, NULL));
    }
    if (d)
        (void)closedir(d);
}
