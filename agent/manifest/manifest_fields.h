/* manifest_fields.h - the one table of a manifest's fields: key, whether it is required, bounds, words. The
 * agent's parser (manifest*.c) and fleetctl's schema (fleet/doc/schema_rules.c: check, `explain`, the JSON
 * schema) take them from here. A field expands to the arguments that its type's reader takes after the
 * object:
 *   FIELD_... of a number  KEY, NEED, MIN, MAX      of an array or a map  KEY, NEED, MIN, MAX elements
 *             of a text, a word, a bool, an object  KEY, NEED
 * Words are in the order of their enum (manifest.h). Only macros. */
#ifndef AGENT_MANIFEST_FIELDS_H
#define AGENT_MANIFEST_FIELDS_H
#include "platform/json.h"
#include "platform/limits.h"

#define FIELD_DAY_MS   86400000ULL
#define FIELD_TERABYTE (1ULL << 40)

#define FIELD_SCHEMA    "schema", JSON_REQUIRED
#define FIELD_FLEET     "fleet", JSON_REQUIRED
#define FIELD_TARGET    "target", JSON_REQUIRED
#define FIELD_REV       "rev", JSON_REQUIRED, 1, LIM_INTEGER
#define FIELD_ISSUED    "issued", JSON_REQUIRED, 1, LIM_INTEGER
#define FIELD_EXPIRES   "expires", JSON_REQUIRED, 1, LIM_INTEGER
#define FIELD_ID        "id", JSON_OPTIONAL
#define FIELD_BY        "by", JSON_OPTIONAL
#define FIELD_WITHDRAWN "withdrawn", JSON_OPTIONAL
#define FIELD_APPS      "apps", JSON_OPTIONAL, 0, LIM_APPS /* required, unless withdrawn */
#define FIELD_UPDATE    "update", JSON_OPTIONAL
#define FIELD_OS        "os", JSON_OPTIONAL
#define FIELD_AGENT     "agent", JSON_OPTIONAL
#define FIELD_ROLLOUT   "rollout", JSON_OPTIONAL
#define WORDS_SCHEMA    "limpet.desired/1"

#define FIELD_TARGET_DEVICE "device", JSON_OPTIONAL /* one of the two */
#define FIELD_TARGET_GROUP  "group", JSON_OPTIONAL

#define FIELD_ROLLOUT_SALT       "salt", JSON_REQUIRED
#define FIELD_ROLLOUT_SLOTS      "slots", JSON_REQUIRED, 0, 10000
#define FIELD_ROLLOUT_SPREAD_MS  "spread_ms", JSON_OPTIONAL, 0, 30 * FIELD_DAY_MS
#define FIELD_ROLLOUT_NOT_BEFORE "not_before", JSON_OPTIONAL, 0, LIM_INTEGER

#define FIELD_UPDATE_PROBATION_MS "probation_ms", JSON_OPTIONAL, 0, FIELD_DAY_MS
#define FIELD_UPDATE_DOWNLOAD     "download", JSON_OPTIONAL

#define FIELD_DOWNLOAD_MAX_BYTES     "max_bytes", JSON_OPTIONAL, 1, LIM_INTEGER
#define FIELD_DOWNLOAD_RATE_BYTES_S  "rate_bytes_s", JSON_OPTIONAL, 1024, LIM_INTEGER
#define FIELD_DOWNLOAD_WINDOW        "window", JSON_OPTIONAL
#define FIELD_DOWNLOAD_FULL_FALLBACK "full_fallback", JSON_OPTIONAL

/* of an app, the system and the agent */
#define FIELD_RELEASE         "release", JSON_REQUIRED
#define FIELD_SOURCES         "sources", JSON_REQUIRED, 1, LIM_SOURCES
#define FIELD_RELEASE_NAME    "name", JSON_REQUIRED
#define FIELD_RELEASE_COUNTER "counter", JSON_REQUIRED, 1, LIM_INTEGER
#define FIELD_RELEASE_DIGEST  "digest", JSON_REQUIRED
#define FIELD_RELEASE_SIZE    "size", JSON_REQUIRED, 1, LIM_ENVELOPE_BYTES

#define FIELD_OS_VERSION      "version", JSON_REQUIRED
#define FIELD_OS_BUNDLE       "bundle", JSON_REQUIRED
#define FIELD_BUNDLE_DIGEST   "digest", JSON_REQUIRED
#define FIELD_BUNDLE_SIZE     "size", JSON_REQUIRED, 1, LIM_IMAGE_BYTES
#define FIELD_AGENT_CONFIRM_S "confirm_s", JSON_OPTIONAL, 5, 3600

#define FIELD_APP_NAME             "name", JSON_REQUIRED
#define FIELD_APP_ARGS             "args", JSON_OPTIONAL, 0, LIM_ARGS
#define FIELD_APP_ENV              "env", JSON_OPTIONAL, 0, LIM_ENVS
#define FIELD_APP_CWD              "cwd", JSON_OPTIONAL
#define FIELD_APP_USER             "user", JSON_OPTIONAL
#define FIELD_APP_MEMORY           "memory", JSON_OPTIONAL
#define FIELD_APP_CPU              "cpu", JSON_OPTIONAL
#define FIELD_APP_PIDS             "pids", JSON_OPTIONAL
#define FIELD_APP_USERNS           "userns", JSON_OPTIONAL
#define FIELD_APP_SECCOMP          "seccomp", JSON_OPTIONAL
#define FIELD_APP_CAPABILITIES     "capabilities", JSON_OPTIONAL, 0, 32
#define FIELD_APP_READ_ONLY        "read_only", JSON_OPTIONAL
#define FIELD_APP_IMAGE_PRIVILEGES "image_privileges", JSON_OPTIONAL
#define FIELD_APP_NETWORK          "network", JSON_OPTIONAL
#define FIELD_APP_MOUNTS           "mounts", JSON_OPTIONAL, 0, LIM_MOUNTS
#define FIELD_APP_INIT             "init", JSON_OPTIONAL
#define FIELD_APP_DEVICES          "devices", JSON_OPTIONAL, 0, LIM_DEVICES
#define FIELD_APP_RESTART          "restart", JSON_OPTIONAL
#define FIELD_APP_HEALTH           "health", JSON_OPTIONAL
#define FIELD_APP_STOP             "stop", JSON_OPTIONAL
#define FIELD_APP_LOG              "log", JSON_OPTIONAL
#define FIELD_APP_RETRY            "retry", JSON_OPTIONAL, 0, LIM_INTEGER
#define WORDS_ENFORCE              "best-effort", "required" /* enum policy_enforce */
#define WORDS_SWITCH               WORDS_ENFORCE, "off"
#define WORDS_PRIVILEGES           "strip", "refuse"

#define FIELD_MEMORY_MAX_BYTES  "max_bytes", JSON_REQUIRED, 65536, FIELD_TERABYTE
#define FIELD_MEMORY_SWAP_BYTES "swap_bytes", JSON_OPTIONAL, 0, FIELD_TERABYTE
#define FIELD_CPU_PERCENT       "percent", JSON_REQUIRED, 1, 25600
#define FIELD_PIDS_MAX          "max", JSON_REQUIRED, 1, 1 << 22
#define FIELD_LIMIT_ENFORCE     "enforce", JSON_OPTIONAL /* for all three */

#define FIELD_NETWORK_MODE  "mode", JSON_REQUIRED
#define FIELD_NETWORK_NAME  "name", JSON_OPTIONAL
#define FIELD_NETWORK_PORTS "ports", JSON_OPTIONAL, 0, LIM_PORTS
#define WORDS_NETWORK       "none", "host", "bridge", "cni" /* enum net_mode; also "app:NAME" */

#define FIELD_PORT_HOST      "host", JSON_REQUIRED, 1, 65535
#define FIELD_PORT_LAST      "last", JSON_OPTIONAL, 1, 65535
#define FIELD_PORT_CONTAINER "container", JSON_REQUIRED, 1, 65535
#define FIELD_PORT_PROTOCOL  "protocol", JSON_OPTIONAL
#define FIELD_PORT_ADDRESS   "address", JSON_OPTIONAL
#define WORDS_PROTOCOL       "tcp", "udp"

#define FIELD_MOUNT_TYPE       "type", JSON_REQUIRED
#define FIELD_MOUNT_NAME       "name", JSON_OPTIONAL /* required for a volume */
#define FIELD_MOUNT_TARGET     "target", JSON_REQUIRED
#define FIELD_MOUNT_SIZE_BYTES "size_bytes", JSON_OPTIONAL, 4096, FIELD_TERABYTE
#define FIELD_MOUNT_READ_ONLY  "read_only", JSON_OPTIONAL
#define WORDS_MOUNT            "tmpfs", "volume"

#define FIELD_DEVICE_MATCH     "match", JSON_REQUIRED
#define FIELD_DEVICE_PATH      "path", JSON_REQUIRED
#define FIELD_DEVICE_ACCESS    "access", JSON_OPTIONAL
#define FIELD_DEVICE_REQUIRED  "required", JSON_OPTIONAL
#define FIELD_DEVICE_ON_REMOVE "on_remove", JSON_OPTIONAL
#define WORDS_ACCESS           "rw", "r", "w"
#define WORDS_REMOVE           "keep", "restart", "stop" /* enum device_remove */

#define WORDS_MATCH           "by-id", "by-path", "usb", "major" /* enum device_match: keys, exactly one */
#define FIELD_MATCH_MAJOR     "major", JSON_OPTIONAL, 1, 4095
#define FIELD_MATCH_MINOR     "minor", JSON_OPTIONAL, 0, (1 << 20) - 1
#define FIELD_MATCH_SUBSYSTEM "subsystem", JSON_OPTIONAL

#define FIELD_RESTART_POLICY       "policy", JSON_REQUIRED
#define FIELD_RESTART_DELAY_MS     "delay_ms", JSON_OPTIONAL, 10, 3600000
#define FIELD_RESTART_MAX_DELAY_MS "max_delay_ms", JSON_OPTIONAL, 10, FIELD_DAY_MS
#define FIELD_RESTART_STABLE_MS    "stable_ms", JSON_OPTIONAL, 0, FIELD_DAY_MS
#define FIELD_RESTART_MAX_TRIES    "max_tries", JSON_OPTIONAL, 0, 1000000
#define WORDS_RESTART              "no", "on-failure", "always" /* enum restart_policy */

#define FIELD_HEALTH_EXEC           "exec", JSON_OPTIONAL, 1, LIM_ARGS /* exactly one of exec, http, tcp */
#define FIELD_HEALTH_HTTP           "http", JSON_OPTIONAL
#define FIELD_HEALTH_TCP            "tcp", JSON_OPTIONAL
#define FIELD_HEALTH_INTERVAL_MS    "interval_ms", JSON_OPTIONAL, 100, FIELD_DAY_MS
#define FIELD_HEALTH_TIMEOUT_MS     "timeout_ms", JSON_OPTIONAL, 50, 600000
#define FIELD_HEALTH_START_GRACE_MS "start_grace_ms", JSON_OPTIONAL, 0, FIELD_DAY_MS
#define FIELD_HEALTH_RETRIES        "retries", JSON_OPTIONAL, 1, 1000
#define FIELD_HEALTH_ACTION         "action", JSON_OPTIONAL
#define FIELD_PROBE_PORT            "port", JSON_REQUIRED, 1, 65535
#define FIELD_PROBE_PATH            "path", JSON_OPTIONAL /* http */
#define WORDS_ACTION                "none", "restart"

#define FIELD_STOP_SIGNAL   "signal", JSON_OPTIONAL
#define FIELD_STOP_GRACE_MS "grace_ms", JSON_OPTIONAL, 0, 600000
#define FIELD_LOG_MAX_BYTES "max_bytes", JSON_REQUIRED, 4096, LIM_LOG_RING_MAX_BYTES

/* A row for each signal, and for each capability that a manifest may ask for; the others would give the app
 * access to the host, and are refused in any manifest. */
// clang-format off
#define WORDS_SIGNAL(ROW) ROW(TERM) ROW(INT) ROW(QUIT) ROW(HUP) ROW(USR1) ROW(USR2) ROW(KILL) ROW(WINCH)
#define WORDS_CAPABILITY(ROW)                                                                              \
    ROW(CHOWN) ROW(DAC_OVERRIDE) ROW(FOWNER) ROW(FSETID) ROW(KILL) ROW(SETGID) ROW(SETUID) ROW(SETPCAP)    \
    ROW(LINUX_IMMUTABLE) ROW(NET_BIND_SERVICE) ROW(NET_BROADCAST) ROW(NET_ADMIN) ROW(NET_RAW)              \
    ROW(IPC_LOCK) ROW(IPC_OWNER) ROW(SYS_CHROOT) ROW(SYS_NICE) ROW(SYS_RESOURCE) ROW(SYS_TTY_CONFIG)       \
    ROW(LEASE) ROW(AUDIT_WRITE) ROW(SETFCAP)
#define WORDS_CAPABILITY_REFUSED(ROW)                                                                      \
    ROW(DAC_READ_SEARCH) ROW(SYS_MODULE) ROW(SYS_RAWIO) ROW(SYS_PTRACE) ROW(SYS_PACCT) ROW(SYS_ADMIN)      \
    ROW(SYS_BOOT) ROW(SYS_TIME) ROW(MKNOD) ROW(AUDIT_CONTROL)
// clang-format on
#endif
