/* spec and ops: defaults, the gate, config.json, and the list of steps as text. Pure: no root needed. */
#include "runtime/spec/spec.h"

#include <linux/filter.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "check.h"
#include "runtime/box/box.h"
#include "runtime/box/ops.h"

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
                                        "seal /dev read-only\n",
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
    CHECK(s.resources && cgroup_list_find(s.resources, "memory.limit")->v2[0].want == 1 << 20);
    CHECK(cgroup_list_find(s.resources, "memory.swap")->v2[0].want == 0);
    CHECK(cgroup_list_find(s.resources, "pids.limit")->v1[0].want == 5);
    CHECK_STR(cgroup_list_find(s.resources, "cpu.period")->v2[0].text, "5000 10000");
    CHECK(cgroup_list_find(s.resources, "cpu.shares")->v2[0].want == 39);
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
        {HEAD PROC ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"netDevices\":{\"a\":{}}}}",
         "linux.netDevices: needs", ERR_INVALID},
        {HEAD PROC LINUX ",\"netDevices\":{\"a/b\":{}}}}", "linux.netDevices.a/b", ERR_INVALID},
        {HEAD PROC LINUX ",\"netDevices\":{\"a%d\":{}}}}", "linux.netDevices.a%d", ERR_INVALID},
        {HEAD PROC LINUX ",\"netDevices\":{\"a\":{\"name\":\"sixteen-bytes-xx\"}}}}",
         "linux.netDevices.a: name", ERR_INVALID},
        {HEAD PROC LINUX ",\"netDevices\":{\"a\":{},\"b\":{\"name\":\"a\"}}}}", "linux.netDevices.b: name",
         ERR_INVALID},
        {HEAD PROC LINUX ",\"sysctl\":{\"a\":\"b\"}}}", "linux.sysctl.a", ERR_INVALID},
        {HEAD PROC LINUX ",\"devices\":[{}]}}", "linux.devices[0].type", ERR_INVALID},
        {HEAD PROC LINUX ",\"resources\":{\"cpu\":{\"cpus\":\"0;\"}}}}", "linux.resources.cpu: cpus",
         ERR_INVALID},
        {HEAD PROC LINUX ",\"resources\":{\"unified\":{\"a\":\"b\"}}}}", "unified", ERR_INVALID},
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

#define RES LINUX ",\"resources\":"

/* Every field: its value for v1 and for v2. */
static const struct {
    const char *json, *field, *v1, *v1_text, *v2, *v2_text; /* NULL file: none there */
} resource_rows[] = {
    {"{\"memory\":{\"limit\":4096}}", "memory.limit", "memory.limit_in_bytes", "4096", "memory.max", "4096"},
    {"{\"memory\":{\"limit\":-1}}", "memory.limit", "memory.limit_in_bytes", "-1", "memory.max", "max"},
    {"{\"memory\":{\"limit\":2147483648}}", "memory.limit", "memory.limit_in_bytes", "2147483648",
     "memory.max", "2147483648"},
    {"{\"memory\":{\"limit\":4294967296}}", "memory.limit", "memory.limit_in_bytes", "4294967296",
     "memory.max", "4294967296"},
    {"{\"memory\":{\"limit\":4096,\"swap\":12288}}", "memory.swap", "memory.memsw.limit_in_bytes", "12288",
     "memory.swap.max", "8192"},
    {"{\"memory\":{\"limit\":4096,\"swap\":-1}}", "memory.swap", "memory.memsw.limit_in_bytes", "-1",
     "memory.swap.max", "max"},
    {"{\"memory\":{\"reservation\":0}}", "memory.reservation", "memory.soft_limit_in_bytes", "0",
     "memory.low", "0"},
    {"{\"memory\":{\"swappiness\":60}}", "memory.swappiness", "memory.swappiness", "60", NULL, NULL},
    {"{\"memory\":{\"disableOOMKiller\":true}}", "memory.disableOOMKiller", "memory.oom_control", "1", NULL,
     NULL},
    {"{\"cpu\":{\"shares\":1024}}", "cpu.shares", "cpu.shares", "1024", "cpu.weight", "39"},
    {"{\"cpu\":{\"shares\":2}}", "cpu.shares", "cpu.shares", "2", "cpu.weight", "1"},
    {"{\"cpu\":{\"shares\":262144}}", "cpu.shares", "cpu.shares", "262144", "cpu.weight", "10000"},
    {"{\"cpu\":{\"quota\":-1}}", "cpu.quota", "cpu.cfs_quota_us", "-1", "cpu.max", "max"},
    {"{\"cpu\":{\"period\":50000}}", "cpu.period", "cpu.cfs_period_us", "50000", "cpu.max", "max 50000"},
    {"{\"cpu\":{\"burst\":7}}", "cpu.burst", "cpu.cfs_burst_us", "7", "cpu.max.burst", "7"},
    {"{\"cpu\":{\"realtimeRuntime\":9}}", "cpu.realtimeRuntime", "cpu.rt_runtime_us", "9", NULL, NULL},
    {"{\"cpu\":{\"cpus\":\"0-1,3\"}}", "cpu.cpus", "cpuset.cpus", "0-1,3", "cpuset.cpus", "0-1,3"},
    {"{\"cpu\":{\"idle\":1}}", "cpu.idle", "cpu.idle", "1", "cpu.idle", "1"},
    {"{\"pids\":{\"limit\":-1}}", "pids.limit", "pids.max", "max", "pids.max", "max"},
    {"{\"blockIO\":{\"weight\":10}}", "blockIO.weight", "blkio.weight", "10", "io.bfq.weight", "10"},
    {"{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":1,\"weight\":1000}]}}",
     "blockIO.weightDevice[0]", "blkio.weight_device", "8:1 1000", "io.bfq.weight", "8:1 1000"},
    {"{\"blockIO\":{\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":5}]}}",
     "blockIO.throttleWriteIOPSDevice[0]", "blkio.throttle.write_iops_device", "8:0 5", "io.max",
     "8:0 wiops=5"},
    {"{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":0}]}}",
     "blockIO.throttleReadBpsDevice[0]", "blkio.throttle.read_bps_device", "8:0 0", "io.max", "8:0 rbps=max"},
    {"{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4096}]}", "hugepageLimits[0]",
     "hugetlb.2MB.limit_in_bytes", "4096", "hugetlb.2MB.max", "4096"},
    {"{\"network\":{\"classID\":1048577}}", "network.classID", "net_cls.classid", "1048577", NULL, NULL},
    {"{\"network\":{\"priorities\":[{\"name\":\"eth0\",\"priority\":5}]}}", "network.priorities[0]",
     "net_prio.ifpriomap", "eth0 5", NULL, NULL},
    {"{\"rdma\":{\"mlx5_0\":{\"hcaHandles\":3,\"hcaObjects\":10}}}", "rdma.mlx5_0", "rdma.max",
     "mlx5_0 hca_handle=3 hca_object=10", "rdma.max", "mlx5_0 hca_handle=3 hca_object=10"},
    {"{\"unified\":{\"memory.high\":\"77\"}}", "unified.memory.high", NULL, NULL, "memory.high", "77"},
};

static void check_file(const struct cgroup_place *is, const char *file, const char *text)
{
    CHECK(!is->file == !file);
    if (!file || !is->file)
        return;
    CHECK_STR(is->file, file);
    CHECK_STR(is->text, text);
}

TEST(resources_become_settings)
{
    for (size_t i = 0; i < COUNT_OF(resource_rows); i++) {
        char text[1024];
        struct spec s;
        const struct cgroup_setting *set;
        (void)snprintf(text, sizeof text, "%s%s}}", HEAD PROC RES, resource_rows[i].json);
        CHECK_OK(parse(text, &s), err);
        set = s.resources ? cgroup_list_find(s.resources, resource_rows[i].field) : NULL;
        CHECK(set);
        if (!set) {
            printf("     no setting for %s\n", resource_rows[i].json);
            continue;
        }
        check_file(&set->v1[0], resource_rows[i].v1, resource_rows[i].v1_text);
        check_file(&set->v2[0], resource_rows[i].v2, resource_rows[i].v2_text);
    }
}

TEST(wrong_resources_are_refused_by_their_path)
{
    static const struct {
        const char *json, *path;
    } rows[] = {
        {"{\"memory\":{\"limit\":0}}", "linux.resources.memory: limit"},
        {"{\"memory\":{\"limit\":-2}}", "linux.resources.memory.limit"},
        {"{\"memory\":{\"limit\":1.5}}", "linux.resources.memory.limit"},
        {"{\"memory\":{\"limit\":\"1\"}}", "linux.resources.memory.limit"},
        {"{\"memory\":{\"limit\":9223372036854775808}}", "linux.resources.memory.limit"},
        {"{\"memory\":{\"swap\":4096}}", "linux.resources.memory"},
        {"{\"memory\":{\"swappiness\":201}}", "linux.resources.memory.swappiness"},
        {"{\"cpu\":{\"shares\":0}}", "linux.resources.cpu.shares"},
        {"{\"cpu\":{\"shares\":4294967296}}", "linux.resources.cpu.shares"},
        {"{\"cpu\":{\"quota\":999}}", "linux.resources.cpu: quota"},
        {"{\"cpu\":{\"period\":0}}", "linux.resources.cpu.period"},
        {"{\"cpu\":{\"cpus\":\"0\\n1\"}}", "cpus"},
        {"{\"cpu\":{\"idle\":2}}", "linux.resources.cpu.idle"},
        {"{\"pids\":{\"limit\":-2}}", "linux.resources.pids.limit"},
        {"{\"pids\":{\"limit\":4294967296}}", "linux.resources.pids: limit"},
        {"{\"blockIO\":{\"weight\":9}}", "linux.resources.blockIO.weight"},
        {"{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":1}]}}",
         "linux.resources.blockIO.throttleReadBpsDevice[0].minor"},
        {"{\"hugepageLimits\":[{\"pageSize\":\"../x\",\"limit\":1}]}", "linux.resources.hugepageLimits[0]"},
        {"{\"network\":{\"classID\":4294967296}}", "linux.resources.network.classID"},
        {"{\"unified\":{\"memory.max/../x\":\"1\"}}", "linux.resources.unified"},
        {"{\"unified\":{\"cgroup.procs\":\"1\"}}", "linux.resources.unified"},
        {"{\"unified\":{\"memory.max\":1}}", "linux.resources.unified"},
        {"{\"devices\":[{\"access\":\"r\"}]}", "linux.resources.devices[0].allow"},
        {"{\"devices\":[{\"allow\":true,\"access\":\"rx\"}]}", "linux.resources.devices[0]"},
        {"{\"devices\":[{\"allow\":true,\"type\":\"p\"}]}", "linux.resources.devices[0]"},
        {"{\"devices\":[{\"allow\":true,\"type\":\"c\",\"major\":-2}]}", "linux.resources.devices[0].major"},
        {"{\"memory\":[]}", "linux.resources.memory"},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[1024];
        struct spec s;
        (void)snprintf(text, sizeof text, "%s%s}}", HEAD PROC RES, rows[i].json);
        CHECK_ERR(parse(text, &s), ERR_INVALID, err);
        CHECK_MSG(err, rows[i].path);
    }
}
static bool is_odd(const void *who, const char *name)
{
    return strcmp(name, who) == 0 || strcmp(name, "eth0") == 0 || strcmp(name, "eth1") == 0;
}

TEST(network_devices_get_free_names)
{
    struct spec s;
    char name[16];

    CHECK_OK(parse(HEAD PROC LINUX ",\"netDevices\":{\"en1\":{\"name\":\"eth%d\"},\"can0\":{}}}}", &s), err);
    CHECK(s.n_net_devices == 2);
    CHECK_STR(s.net_devices[0].host, "en1");
    CHECK_STR(s.net_devices[0].name, "eth%d");
    CHECK_STR(s.net_devices[1].name, "can0");
    CHECK(spec_net_device_name("eth%d", is_odd, "eth3", name, sizeof name));
    CHECK_STR(name, "eth2");
    CHECK(spec_net_device_name("a%dz", is_odd, "", name, sizeof name));
    CHECK_STR(name, "a0z");
    CHECK(spec_net_device_name("lo1", is_odd, "lo", name, sizeof name));
    CHECK(!spec_net_device_name("lo", is_odd, "lo", name, sizeof name));
    CHECK(!spec_net_device_name("fourteen-byte%d", is_odd, "", name, 12));
}

TEST_MAIN
