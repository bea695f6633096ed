/* spec and ops: defaults, the gate, config.json, and the list of steps as text. Pure: no root needed. */
#include "runtime/spec.h"

#include <linux/filter.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "check.h"
#include "runtime/box.h"
#include "runtime/ops.h"

static struct err err;
static struct spec_oci oci;
static const char *const args[] = {"/bin/app", NULL};

static struct spec good(void)
{
    struct spec s;

    spec_defaults(&s);
    s.id = "web";
    s.rootfs_path = "/image";
    s.process.args = args;
    return s;
}

TEST(defaults_are_least_privilege_and_pass)
{
    struct spec s = good();

    CHECK_OK(spec_check(&s, &err), err);
    CHECK(s.process.caps.bounding == 0 && s.process.no_new_privs && s.process.seccomp_default &&
          s.ns[SPEC_NS_USER].own && s.rootfs_read_only);
    CHECK(s.net == SPEC_NET_NONE && s.ns[SPEC_NS_PID].own && s.ns[SPEC_NS_IPC].own && s.ns[SPEC_NS_UTS].own &&
          s.ns[SPEC_NS_MOUNT].own && s.ns[SPEC_NS_CGROUP].own);
}

TEST(bad_specs_are_refused_with_the_field)
{
    struct spec s = good();

#define REFUSED(change, part)                              \
    do {                                                   \
        s = good();                                        \
        change;                                            \
        CHECK_ERR(spec_check(&s, &err), ERR_INVALID, err); \
        CHECK_MSG(err, part);                              \
    } while (0)
    static const char *const no_args[] = {NULL}, *const relative[] = {"proc", NULL};
    REFUSED(s.id = "../x", "id");
    REFUSED(s.id = "", "id");
    REFUSED(s.process.args = no_args, "args");
    REFUSED(s.process.cwd = "relative", "cwd");
    REFUSED(s.process.cwd = "/a/../../b", "cwd");
    REFUSED(s.rootfs_path = "image", "rootfs");
    REFUSED(s.mounts[0].target = "proc", "mounts[0]");
    REFUSED(s.mounts[0].target = "/../proc", "mounts[0]");
    REFUSED(s.mounts[0].target = "/", "mounts[0]");
    REFUSED(s.mounts[0].kind = SPEC_MOUNT_BIND, "source");
    REFUSED(s.process.uid = UINT32_MAX, "user");
    REFUSED(s.process.uid = 65536, "user");
    REFUSED(s.uid_maps.list[0].count = 0, "uid_maps[0]");
    REFUSED(s.gid_maps.list[0].outer = UINT32_MAX - 5, "gid_maps[0]");
    REFUSED(s.limits.pids_max = 0, "pids");
    REFUSED(s.limits.memory_max_bytes = 1, "memory");
    REFUSED(s.limits.cpu_quota_us = 1, "quota");
    REFUSED(s.limits.cpu_period_us = 0, "period");
    REFUSED(s.process.oom_score_adj = 1001, "oom");
    REFUSED(s.n_ports = 1, "ports");
    REFUSED((spec_set_net(&s, SPEC_NET_BRIDGE), s.n_ports = 1), "ports[0]");
    REFUSED((s.process.n_rlimits = 1, s.process.rlimits[0] = (struct spec_rlimit){RLIMIT_NOFILE, 2, 1}),
            "rlimits[0]");
    REFUSED(s.masked = relative, "masked[0]");
}

TEST(the_steps_are_in_a_safe_order)
{
    struct spec s = good();
    char *text = box_describe(&s);
    static const char *const order[] = {"namespaces user pid net ipc uts cgroup mnt\n",
                                        "join cgroup\n",
                                        "wait for the parent\n",
                                        "mount rootfs\n",
                                        "mount proc /proc rw,nosuid,nodev,noexec\n",
                                        "mount tmpfs /dev ",
                                        "make devices\n",
                                        "mount sysfs /sys ro,nosuid,nodev,noexec\n",
                                        "read-only /proc/sys\n",
                                        "mask /proc/kcore\n",
                                        "seal rootfs read-only\n",
                                        "pivot root\n",
                                        "connect stdio\n",
                                        "close descriptors\n",
                                        "drop bounding set\n",
                                        "set user 0:0 groups none caps 0\n",
                                        "chdir /\n",
                                        "find program\n",
                                        "no new privileges\n",
                                        "seccomp filter\n",
                                        "exec /bin/app\n"};
    const char *at = text;

    for (size_t i = 0; i < COUNT_OF(order); i++) {
        const char *found = strstr(at, order[i]);
        CHECK(found != NULL);
        if (!found)
            printf("     \"%s\" is missing or out of order\n", order[i]);
        at = found ? found : at;
    }
    free(text);
}

TEST(without_no_new_privs_the_filter_comes_before_the_drop)
{
    struct spec s = good();
    char *text;

    s.process.no_new_privs = false;
    text = box_describe(&s);
    CHECK(strstr(text, "seccomp filter (privileged)") &&
          strstr(text, "seccomp filter (privileged)") < strstr(text, "drop bounding"));
    free(text);
}

#define HEAD  "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
#define PROC  "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\"}"
#define LINUX ",\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\"},{\"type\":\"network\"}]"

static int parse(const char *text, struct spec *ret)
{
    static struct arena *arena;

    arena = arena_free(arena);
    arena = arena_new(1 << 20);
    return spec_from_oci(buf_str(text), arena, ret, &oci, &err);
}

TEST(config_json_becomes_a_spec)
{
    struct spec s;

    CHECK_OK(
        parse(HEAD
              "\"process\":{\"args\":[\"sh\",\"-c\",\"x\"],\"env\":[\"A=1\"],\"cwd\":\"/"
              "w\",\"noNewPrivileges\":true,"
              "\"oomScoreAdj\":-5,\"user\":{\"uid\":7,\"gid\":8,\"additionalGids\":[9,10]},"
              "\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_CHOWN\"],\"effective\":[\"CAP_KILL\"]},"
              "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":20},"
              "{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":18446744073709551615}]},\"unknown\":{\"x\":1.5},"
              "\"mounts\":[{\"destination\":\"/"
              "t\",\"type\":\"tmpfs\",\"options\":[\"nosuid\",\"size=64k\",\"mode=755\",\"ro\"]},"
              "{\"destination\":\"/v\",\"source\":\"/srv\",\"options\":[\"rbind\",\"nodev\"]}]" LINUX
              ",\"resources\":{\"memory\":{\"limit\":1048576,\"swap\":1048576},\"cpu\":{\"shares\":1024,"
              "\"quota\":5000,"
              "\"period\":10000},\"pids\":{\"limit\":5}},\"cgroupsPath\":\"/a/b\",\"maskedPaths\":[\"/proc/"
              "kcore\"],"
              "\"uidMappings\":[],\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\"}}}",
              &s),
        err);
    CHECK(s.process.uid == 7 && s.process.gid == 8 && s.process.n_groups == 2 && s.process.groups[1] == 10 &&
          s.process.no_new_privs && s.process.oom_score_adj == -5);
    CHECK(s.process.rlimits[1].soft == 0 && s.process.rlimits[1].hard == RLIM_INFINITY);
    CHECK(s.process.caps.effective == 1u << 5 && s.process.caps.bounding == (1u << 5 | 1) &&
          s.process.n_rlimits == 2 && s.process.rlimits[0].resource == RLIMIT_NOFILE);
    CHECK(s.n_mounts == 2 && s.mounts[0].size_bytes == 65536 && s.mounts[0].mode == 0755 &&
          s.mounts[0].flags == (MS_NOSUID | MS_RDONLY));
    CHECK(s.mounts[1].kind == SPEC_MOUNT_BIND && s.mounts[1].recursive && s.mounts[1].flags == MS_NODEV);
    CHECK(s.limits.memory_max_bytes == 1 << 20 && s.limits.swap_max_bytes == 0 && s.limits.pids_max == 5);
    CHECK(s.limits.cpu_quota_us == 5000 && s.limits.cpu_period_us == 10000 && s.limits.cpu_weight == 39);
    CHECK(s.net == SPEC_NET_NONE && !s.ns[SPEC_NS_IPC].own && !s.ns[SPEC_NS_USER].own && oci.seccomp);
    CHECK_STR(s.cgroup_path, "/a/b");
    CHECK_STR(s.masked[0], "/proc/kcore");
    CHECK_STR(s.process.args[2], "x");
}

TEST(what_it_cannot_do_is_refused_by_its_path)
{
    static const struct {
        const char *text, *path;
        enum err_kind kind;
    } bad[] = {
        {"{}", "ociVersion", ERR_INVALID},
        {"{\"ociVersion\":\"2.0\"}", "ociVersion", ERR_UNSUPPORTED},
        {HEAD PROC LINUX ",\"sysctl\":{\"a\":\"b\"}}}", "linux.sysctl.a", ERR_INVALID},
        {HEAD PROC LINUX ",\"devices\":[{}]}}", "linux.devices[0].type", ERR_INVALID},
        {HEAD PROC LINUX ",\"resources\":{\"cpu\":{\"cpus\":\"0\"}}}}", "linux.resources.cpu.cpus",
         ERR_UNSUPPORTED},
        {HEAD PROC LINUX ",\"resources\":{\"unified\":{\"a\":\"b\"}}}}", "unified", ERR_UNSUPPORTED},
        {HEAD PROC ",\"hooks\":{\"prestart\":[{}]}" LINUX "}}", "hooks.prestart[0].path", ERR_INVALID},
        {HEAD PROC ",\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"p\"}]}}", "linux.namespaces[0]",
         ERR_INVALID},
        {HEAD PROC ",\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]}}",
         "linux.namespaces[1]", ERR_INVALID},
        {HEAD PROC ",\"linux\":{\"namespaces\":[{\"type\":\"clock\"}]}}", "linux.namespaces[0].type",
         ERR_INVALID},
        {HEAD PROC
         ",\"mounts\":[{\"destination\":\"/a\",\"source\":\"/b\",\"options\":[\"rbind\",\"size=1\"]}]" LINUX
         "}}",
         "size=1", ERR_INVALID},
        {HEAD PROC ",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\"}]" LINUX "}}", "mounts[0]",
         ERR_INVALID},
        {HEAD PROC LINUX ",\"rootfsPropagation\":\"sideways\"}}", "linux.rootfsPropagation", ERR_INVALID},
        {HEAD PROC LINUX ",\"timeOffsets\":{\"boottime\":{\"secs\":1}}}}", "linux.timeOffsets", ERR_INVALID},
        {HEAD PROC LINUX ",\"personality\":{\"domain\":\"X\"}}}", "linux.personality.domain", ERR_INVALID},
        {HEAD PROC ",\"hostname\":\"x\"" LINUX "}}", "hostname", ERR_INVALID},
        {HEAD "\"process\":{\"args\":\"sh\",\"cwd\":\"/\"}" LINUX "}}", "process.args", ERR_INVALID},
        {HEAD "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"user\":{\"uid\":-1}}" LINUX "}}",
         "process.user.uid", ERR_INVALID},
        {HEAD
         "\"process\":{\"args\":[\"sh\"],\"cwd\":\"/\",\"capabilities\":{\"bounding\":[\"CAP_X\"]}}" LINUX
         "}}",
         "CAP_X", ERR_INVALID},
        {HEAD PROC LINUX ",\"resources\":{\"memory\":{\"limit\":2,\"swap\":1}}}}", "linux.resources.memory",
         ERR_INVALID},
    };
    struct spec s;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_ERR(parse(bad[i].text, &s), bad[i].kind, err);
        CHECK_MSG(err, bad[i].path);
    }
}
TEST_MAIN
