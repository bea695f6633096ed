/* manifest.h - the desired-state document: what a signed manifest asks of this device. Closed schema: each
 * refusal names the field's path ("apps[1].memory.max_bytes: 0 is below 65536"). Pure: bytes in, struct
 * desired out, one arena.
 *
 * {"schema":"limpet.desired/1",
 *  "fleet":"demo", "target":{"device":"gw-17"} | {"group":"line-a"},
 *  "rev":42, "issued":S, "expires":S, "id":"r-7f3a" (optional, for operators), "by":"alice" (optional),
 *  "apps":[{
 *    "name":"web",
 *    "release":{"name":"web","counter":2,"digest":"sha256:<of the release envelope>","size":1564},
 *    "sources":["http://127.0.0.1:5055/demo/web","dir:/media/usb/limpet"],   where to find release, manifest,
 *     layers
 *    "args":["httpd","-f"], "env":{"SITE":"turin"}, "cwd":"/srv", "user":"1000:1000",   optional, else the
 *     image's
 *    "memory":{"max_bytes":25165824,"swap_bytes":0,"enforce":"required"},    enforce: required | best-effort
 *     (default)
 *    "cpu":{"percent":50,"enforce":..}, "pids":{"max":32,"enforce":..},
 *    "userns":"required|best-effort|off", "seccomp":"required|best-effort|off",
 *    "capabilities":["NET_BIND_SERVICE"], "read_only":true (default; false is refused until there is an upper
 *    layer),
 *    "image_privileges":"strip|refuse"   (set-id bits, extended attributes, device nodes of the image;
 *                                        default strip)
 *    "network":{"mode":"none|host|bridge|cni|app:NAME",   app:NAME: shares that app's (of this manifest)
 *               "name":"shop",    bridge: shared by all apps that name it (at most 12 bytes); cni: the
 *                                 list's name
 *               "ports":[{"host":8000,"last":8010 (optional: a range),"container":80,"protocol":"tcp",
 *                         "address":"127.0.0.1" or an IPv6 one}]},
 *    "mounts":[{"type":"tmpfs","target":"/data","size_bytes":1048576},
 *              {"type":"volume","name":"data","target":"/var/lib/x","read_only":false}],
 *    "init":true,                             limpet-init as pid 1: forwards signals, reaps (default false)
 *    "devices":[{"match":{"by-id":"usb-..."} | {"by-path":"..."} | {"usb":"0403:6001"} |
 *    {"major":188,"minor":0},
 *                with "subsystem":"tty" (optional, in match); of several matches the lowest number
 *                "path":"/dev/modem","access":"rw|r|w","required":false,"on_remove":"keep|restart|stop"}],
 *    "restart":{"policy":"always|on-failure|no","delay_ms":1000,"max_delay_ms":300000,"stable_ms":60000,
 *               "max_tries":0},
 *    "health":{"exec":["/bin/check"]} | {"http":{"port":80,"path":"/healthz"}} | {"tcp":{"port":80}} with
 *             "interval_ms":30000,"timeout_ms":5000,"start_grace_ms":10000,"retries":3,
 *             "action":"restart|none",
 *    "stop":{"signal":"TERM","grace_ms":10000},
 *    "log":{"max_bytes":65536},
 *    "retry":7     (optional) changing it retries an app that failed here
 *  }],
 *  "update":{"probation_ms":60000,
 *            "download":{"max_bytes":N (downloaded for this manifest), "rate_bytes_s":N,
 *                        "window":"01:30-05:00" (UTC), "full_fallback":true}},
 *  "os":{"version":"2.1","bundle":{"digest":"sha256:...","size":N},"release":{...},"sources":[...]}   for
 *     RAUC or SWUpdate
 *  "agent":{"release":{...},"sources":[...],"confirm_s":60}   the agent's own programs, an image like an
 *                                                             app's (agent/decide/self_update.h)
 *  "withdrawn":true   (optional) no opinion any more: the next topic counts (agent/decide/follow.h); without
 *                     apps or other parts
 *  "rollout":{"salt":"r-7f3a","slots":500,"spread_ms":7200000,"not_before":S}     group documents only
 * } */
#ifndef AGENT_MANIFEST_H
#define AGENT_MANIFEST_H
#include "platform/arena.h"
#include "platform/crypto.h"
#include "platform/json.h"
#include "runtime/spec/spec.h"

enum policy_enforce { ENFORCE_BEST_EFFORT, ENFORCE_REQUIRED, ENFORCE_OFF };
enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };
enum health_kind { HEALTH_NONE, HEALTH_EXEC, HEALTH_HTTP, HEALTH_TCP };
enum net_mode { NET_NONE, NET_HOST, NET_BRIDGE, NET_CNI, NET_APP };

struct want_mount {
    bool volume;      /* else tmpfs */
    const char *name; /* volume */
    const char *target;
    uint64_t size_bytes; /* tmpfs */
    bool read_only;
};
/* Identifies a host device by properties that do not change (agent/decide/device_match.h). */
enum device_match { DEVICE_BY_ID, DEVICE_BY_PATH, DEVICE_USB, DEVICE_MAJOR, DEVICE_MATCH_COUNT_ };
enum device_remove { DEVICE_KEEP, DEVICE_RESTART, DEVICE_STOP };
struct want_device {
    enum device_match match;
    const char *name;         /* by-id, by-path */
    const char *subsystem;    /* NULL: any */
    uint16_t vendor, product; /* usb */
    uint32_t major;
    int64_t minor;    /* -1: any */
    const char *path; /* path in the box, below /dev */
    unsigned access;  /* CGROUP_DEV_READ, CGROUP_DEV_WRITE */
    bool required;    /* the app starts only with it */
    enum device_remove on_remove;
};
struct want_restart {
    enum restart_policy policy;
    uint64_t delay_ms, max_delay_ms, stable_ms, max_tries; /* max_tries 0: forever */
};
struct want_health {
    enum health_kind kind;
    const char *const *exec; /* NULL-terminated */
    uint16_t port;
    const char *path;
    uint64_t interval_ms, timeout_ms, start_grace_ms, retries;
    bool restart; /* action */
};

/* One app as requested by the manifest. Strings and lists live in the document's arena. */
struct want {
    const char *name;
    const char *release_name;
    uint64_t counter;
    struct digest release; /* of the release envelope */
    uint64_t release_bytes;
    const char *sources[LIM_SOURCES + 1];
    unsigned n_sources;
    const char *const *args,
        *const *env; /* NULL-terminated, or NULL: the image's; env entries are added to the image's */
    const char *cwd, *user;
    uint64_t memory_max_bytes, swap_bytes, cpu_percent, pids_max; /* CGROUP_UNSET: none */
    enum policy_enforce memory_enforce, cpu_enforce, pids_enforce, userns, seccomp;
    uint64_t caps;
    bool read_only;
    bool refuse_privileges; /* of the image: set-id bits, extended attributes, devices; otherwise stripped */
    enum net_mode net;
    const char *net_name; /* BRIDGE: the shared network, NULL: none; CNI: the list; APP: the app */
    const struct spec_port *ports;
    const struct want_mount *mounts;
    const struct want_device *devices;
    unsigned n_ports, n_mounts, n_devices;
    bool init;
    struct want_restart restart;
    struct want_health health;
    int stop_signal;
    uint64_t stop_grace_ms;
    uint64_t log_bytes;
    struct digest hash;  /* of all fields that affect the box: with an equal hash no restart is needed */
    struct digest trial; /* of all settings, including retry: failures are remembered by it */
};

/* Limits on an update's download. */
struct want_download {
    uint64_t max_bytes, rate_bytes_s;        /* 0: no limit */
    unsigned window_from_min, window_to_min; /* minutes of the day, UTC; equal: always */
    bool full_fallback;                      /* allow a full download where a patch was expected */
};

/* The device's own system: a bundle for its updater (agent/decide/os_update.h). */
struct want_os {
    const char *version;
    struct digest bundle;
    uint64_t bundle_bytes;
    struct want want; /* named "os"; only release and sources are set */
};

struct desired {
    const char *fleet, *device, *group; /* device or group is NULL */
    uint64_t rev, issued_s, expires_s;
    const char *id, *by;
    bool withdrawn;
    unsigned n;
    struct want *apps; /* n of them, in the document's arena */
    uint64_t probation_ms;
    struct want_download download;
    bool has_os;
    struct want_os os;
    bool has_agent;
    struct want agent;        /* named "agent"; only release and sources are set */
    uint64_t agent_confirm_s; /* the new core is rolled back unless it is good by then */
    bool has_rollout;
    const char *salt;
    uint64_t slots, spread_ms, not_before_s;
};

/* Strings go to arena. Errors: INVALID with the field's path, UNSUPPORTED (unknown schema version). */
NODISCARD int manifest_parse(struct buf json, struct arena *arena, struct desired *ret, struct err *err);
/* The same for one accepted earlier: what an older agent did not require may be missing (an os without a
 * release is skipped: it installs nothing, the apps keep running). */
NODISCARD int manifest_parse_saved(struct buf json, struct arena *arena, struct desired *ret,
                                   struct err *err);
/* Only the head (fleet, target, rev, times, id, by), of any schema version, for the verdict on a manifest
 * that manifest_parse refuses. false: not even that is readable. */
bool manifest_head(struct buf json, struct arena *arena, struct desired *ret);

/* Group rollouts: first 8 bytes (big endian) of SHA-256(salt NUL device) mod 10000. The device acts if its
 * slot < slots. */
unsigned manifest_slot(const char *salt, const char *device);

/* When this device's turn in a group rollout comes: not_before (or issued) plus its share of spread_ms, by a
 * hash of salt and device. Seconds since 1970. */
uint64_t manifest_begins_s(const struct desired *d, const char *device);
/* Delay of this device's download for a group's document, so that a group does not hit its sources in the
 * same second: below MANIFEST_TURN_MS, by a hash of rev and device. 0 for a device's own document, and if
 * spread_ms spreads the devices already. Pure. */
#define MANIFEST_TURN_MS 30000
uint64_t manifest_turn_ms(const struct desired *d, const char *device);
/* "01:30-05:00", UTC, into the window's minutes; false: malformed. Pure. */
bool manifest_window_read(const char *text, struct want_download *d);
/* Seconds until downloads may begin; 0: now. Pure. */
uint64_t manifest_window_s(const struct want_download *d, uint64_t now_s);
/* The app of that name, or NULL. Pure. */
const struct want *manifest_find(const struct desired *d, const char *name);
#endif
