/* limpet_spec.c - a sample config.json, and the features of this runtime. See limpet_int.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "platform/fs.h"
#include "runtime/limpet/limpet_int.h"

/* The differences for a plain user: a user namespace with its own id, the host's network, /sys unchanged. */
static const struct part {
    const char *gid, *network, *user, *sys, *sys_option;
} parts[2] = {
    {", \"gid=5\"", "{\"type\": \"network\"}, ", "", "\"type\": \"sysfs\", \"source\": \"sysfs\"", ""},
    {"", "", ", {\"type\": \"user\"}", "\"type\": \"none\", \"source\": \"/sys\"", "\"rbind\", "},
};

static const char spec_text[] =
    "{\n"
    "  \"ociVersion\": \"" SPEC_OCI_VERSION "\",\n"
    "  \"process\": {\n"
    "    \"terminal\": true,\n"
    "    \"user\": {\"uid\": 0, \"gid\": 0},\n"
    "    \"args\": [\"sh\"],\n"
    "    \"env\": [\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"],\n"
    "    \"cwd\": \"/\",\n"
    "    \"capabilities\": {\n"
    "      \"bounding\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],\n"
    "      \"effective\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"],\n"
    "      \"permitted\": [\"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\"]\n"
    "    },\n"
    "    \"rlimits\": [{\"type\": \"RLIMIT_NOFILE\", \"hard\": 1024, \"soft\": 1024}],\n"
    "    \"noNewPrivileges\": true\n"
    "  },\n"
    "  \"root\": {\"path\": \"rootfs\", \"readonly\": true},\n"
    "  \"hostname\": \"limpet\",\n"
    "  \"mounts\": [\n"
    "    {\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\", \"options\": [\"nosuid\", "
    "\"noexec\", \"nodev\"]},\n"
    "    {\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": [\"nosuid\", "
    "\"mode=755\", \"size=64k\"]},\n"
    "    {\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"
    "     \"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", \"mode=0620\"%s]},\n"
    "    {\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"
    "     \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=16m\"]},\n"
    "    {\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\", \"options\": "
    "[\"nosuid\", \"noexec\", \"nodev\"]},\n"
    "    {\"destination\": \"/sys\", %s, \"options\": [%s\"nosuid\", \"noexec\", \"nodev\", \"ro\"]},\n"
    "    {\"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\",\n"
    "     \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\"]}\n"
    "  ],\n"
    "  \"linux\": {\n"
    "    \"namespaces\": [{\"type\": \"pid\"}, %s{\"type\": \"ipc\"}, {\"type\": "
    "\"uts\"}, {\"type\": \"cgroup\"}, {\"type\": \"mount\"}%s],\n"
    "%s"
    "    \"maskedPaths\": [\"/proc/acpi\", \"/proc/kcore\", \"/proc/keys\", \"/proc/latency_stats\", "
    "\"/proc/timer_list\",\n"
    "      \"/proc/timer_stats\", \"/proc/sched_debug\", \"/proc/scsi\", \"/sys/firmware\"],\n"
    "    \"readonlyPaths\": [\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", "
    "\"/proc/sysrq-trigger\"]\n"
    "  }\n"
    "}\n";

static const char maps_text[] = "    \"uidMappings\": [{\"containerID\": 0, \"hostID\": %u, \"size\": 1}],\n"
                                "    \"gidMappings\": [{\"containerID\": 0, \"hostID\": %u, \"size\": 1}],\n";

int limpet_spec(struct limpet *c, struct err *err)
{
    const struct part *p = &parts[c->rootless];
    AUTO_FD int dir = openat(AT_FDCWD, c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int fd = dir < 0 ? -1 : openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    char text[sizeof(spec_text) + 512], maps[sizeof(maps_text) + 32] = "";

    if (fd < 0)
        return err_errno(err, errno, "make %s/config.json", c->bundle);
    if (c->rootless)
        (void)snprintf(maps, sizeof(maps), maps_text, (unsigned)geteuid(), (unsigned)getegid());
    (void)snprintf(text, sizeof(text), spec_text, p->gid, p->sys, p->sys_option, p->network, p->user, maps);
    return fs_write_full(fd, buf_str(text), err);
}

static void put_strings(struct cJSON *to, const char *key, const char *const *list, size_t n)
{
    struct cJSON *arr = json_put(to, key, json_arr());

    for (size_t i = 0; i < n; i++)
        json_push_str(arr, list[i]);
}

static void put_enabled(struct cJSON *to, const char *key, bool on)
{
    json_put_bool(json_put(to, key, json_obj()), "enabled", on);
}

static void put_seccomp(struct cJSON *lin, bool on)
{
    static const char *const actions[] = {"SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",
                                          "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
                                          "SCMP_ACT_NOTIFY",       "SCMP_ACT_TRACE",       "SCMP_ACT_TRAP"};
    static const char *const ops[] = {"SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
                                      "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"};
    static const char *const flags[] = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                        "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                                        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
    struct cJSON *o = json_put(lin, "seccomp", json_obj());

    json_put_bool(o, "enabled", on);
    put_strings(o, "actions", actions, COUNT_OF(actions));
    put_strings(o, "operators", ops, COUNT_OF(ops));
    put_strings(o, "knownFlags", flags, COUNT_OF(flags));
    put_strings(o, "supportedFlags", flags, COUNT_OF(flags));
}

static void put_linux(struct cJSON *o, const struct box_caps *caps)
{
    static const char *const spaces[] = {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"};
    struct cJSON *lin = json_put(o, "linux", json_obj()), *cg, *names;

    put_strings(lin, "namespaces", spaces, COUNT_OF(spaces));
    names = json_put(lin, "capabilities", json_arr());
    for (unsigned i = 0; spec_cap_name(i); i++)
        json_push_str(names, spec_cap_name(i));
    put_seccomp(lin, caps->seccomp);
    put_enabled(lin, "apparmor", true);
    put_enabled(lin, "selinux", true);
    put_enabled(lin, "intelRdt", false);
    put_enabled(lin, "memoryPolicy", true);
    put_enabled(lin, "netDevices", true);
    put_enabled(json_put(lin, "mountExtensions", json_obj()), "idmap", caps->idmap);
    put_enabled(lin, "userns", caps->userns);
    cg = json_put(lin, "cgroup", json_obj());
    json_put_bool(cg, "v1", true);
    json_put_bool(cg, "v2", true);
    json_put_bool(cg, "systemd", false);
    json_put_bool(cg, "systemdUser", false);
    json_put_bool(cg, "rdma", true);
    json_put_str(cg, "mode", caps->cgroup_mode);
    json_put_bool(cg, "memory", caps->cgroup_memory);
    json_put_bool(cg, "swap", caps->cgroup_swap);
    json_put_bool(cg, "cpu", caps->cgroup_cpu);
    json_put_bool(cg, "pids", caps->cgroup_pids);
}

int limpet_features(struct limpet *c, struct err *err)
{
    static const char *const hooks[] = {"prestart",       "createRuntime", "createContainer",
                                        "startContainer", "poststart",     "poststop"};
    struct box_caps caps;
    struct cJSON *o, *options;
    int rc = box_probe(&c->host, NULL, &caps, err);

    if (rc < 0)
        return rc;
    o = json_obj();
    json_put_str(o, "ociVersionMin", "1.0.0");
    json_put_str(o, "ociVersionMax", SPEC_OCI_VERSION);
    put_strings(o, "hooks", hooks, COUNT_OF(hooks));
    options = json_put(o, "mountOptions", json_arr());
    for (unsigned i = 0; spec_mount_option(i); i++)
        json_push_str(options, spec_mount_option(i));
    put_linux(o, &caps);
    json_put_str(json_put(o, "annotations", json_obj()), "limpet.version", LIMPET_VERSION);
    return limpet_print(o);
}
