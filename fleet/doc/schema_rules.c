/* schema_rules.c - the fields of a desired state, for people: what manifest_fields.h says of each, a line of
 * help, and what JSON Schema needs beside it. schema.c checks, explains and prints by it. Nothing but
 * data. */
#include "agent/manifest/manifest_fields.h"
#include "fleet/doc/schema.h"
#include "platform/limits.h"

/* A rule of a field: NUMBER(FIELD_REV) and so on. */
#define NUMBER(...)                  NUMBER_(__VA_ARGS__)
#define NUMBER_(...)                 LIST__(RULE_NUMBER, __VA_ARGS__)
#define OF(t, ...)                   OF_(t, __VA_ARGS__)
#define OF_(t, k, n)                 .key = (k), .type = (t), .need = (n)
#define TEXT(...)                    OF(RULE_TEXT, __VA_ARGS__), .max = LIM_TEXT_BYTES
#define SHORT_TEXT(most, ...)        OF(RULE_TEXT, __VA_ARGS__), .max = (most)
#define WORD(list, ...)              OF(RULE_WORD, __VA_ARGS__), .words = (list)
#define OBJECT(rules, ...)           OF(RULE_OBJECT, __VA_ARGS__), .members = (rules)
#define OBJECTS(rules, ...)          LIST_(RULE_OBJECTS, __VA_ARGS__), .members = (rules)
#define TEXTS(of, ...)               LIST_(RULE_TEXTS, __VA_ARGS__), .item = (of)
#define MAP(...)                     LIST_(RULE_MAP, __VA_ARGS__)
#define LIST_(t, ...)                LIST__(t, __VA_ARGS__)
#define LIST__(t, k, n, least, most) .key = (k), .type = (t), .need = (n), .min = (least), .max = (most)
#define END         \
    {               \
        .key = NULL \
    }

#define ROW(name) #name,
static const char *const schema_words[] = {WORDS_SCHEMA, NULL};
static const char *const enforce_words[] = {WORDS_ENFORCE, NULL};
static const char *const switch_words[] = {WORDS_SWITCH, NULL};
static const char *const net_words[] = {WORDS_NETWORK, "app:NAME", NULL};
static const char *const protocol_words[] = {WORDS_PROTOCOL, NULL};
static const char *const mount_words[] = {WORDS_MOUNT, NULL};
static const char *const access_words[] = {WORDS_ACCESS, NULL};
static const char *const remove_words[] = {WORDS_REMOVE, NULL};
static const char *const restart_words[] = {WORDS_RESTART, NULL};
static const char *const action_words[] = {WORDS_ACTION, NULL};
static const char *const privileges_words[] = {WORDS_PRIVILEGES, NULL};
static const char *const signal_words[] = {WORDS_SIGNAL(ROW) NULL};
static const char *const cap_words[] = {WORDS_CAPABILITY(ROW) NULL};

#define SOURCES_HELP                                                                               \
    "where the image is: http(s)://, layout+http(s)://, coap(s)://, dir:/, usb: (apply: where it " \
    "was published)"
#define ENFORCE_HELP "required: refuse the app where the kernel cannot do it"

static const struct rule release_rules[] = {
    {OF(RULE_NAME, FIELD_RELEASE_NAME), .help = "name of the release"},
    {NUMBER(FIELD_RELEASE_COUNTER), .help = "its version counter"},
    {OF(RULE_DIGEST, FIELD_RELEASE_DIGEST), .help = "of the signed release envelope"},
    {NUMBER(FIELD_RELEASE_SIZE), .help = "bytes of the envelope"},
    END};
static const struct rule memory_rules[] = {
    {NUMBER(FIELD_MEMORY_MAX_BYTES), .help = "ceiling; the app is killed above it"},
    {NUMBER(FIELD_MEMORY_SWAP_BYTES), .help = "swap on top of it (0)"},
    {WORD(enforce_words, FIELD_LIMIT_ENFORCE), .help = ENFORCE_HELP},
    END};
static const struct rule cpu_rules[] = {{NUMBER(FIELD_CPU_PERCENT), .help = "of one core"},
                                        {WORD(enforce_words, FIELD_LIMIT_ENFORCE), .help = ENFORCE_HELP},
                                        END};
static const struct rule pids_rules[] = {{NUMBER(FIELD_PIDS_MAX), .help = "processes and threads"},
                                         {WORD(enforce_words, FIELD_LIMIT_ENFORCE), .help = ENFORCE_HELP},
                                         END};
static const struct rule port_rules[] = {
    {NUMBER(FIELD_PORT_HOST), .help = "port of the device"},
    {NUMBER(FIELD_PORT_LAST), .help = "last port of a range"},
    {NUMBER(FIELD_PORT_CONTAINER), .help = "port of the app"},
    {WORD(protocol_words, FIELD_PORT_PROTOCOL), .help = "tcp by default"},
    {OF(RULE_ADDRESS, FIELD_PORT_ADDRESS), .help = "only on this address of the device (all)"},
    END};
static const struct rule network_rules[] = {
    {WORD(net_words, FIELD_NETWORK_MODE),
     .help = "none (loopback only), host, bridge, CNI plugins, or another app's"},
    {OF(RULE_NAME, FIELD_NETWORK_NAME), .help = "shared bridge (12 bytes), or list of CNI plugins"},
    {OBJECTS(port_rules, FIELD_NETWORK_PORTS), .help = "published ports, with mode bridge or cni"},
    END};
static const struct rule mount_rules[] = {
    {WORD(mount_words, FIELD_MOUNT_TYPE), .help = "tmpfs, or a volume that outlives the app"},
    {OF(RULE_NAME, FIELD_MOUNT_NAME), .help = "of a volume (required)"},
    {OF(RULE_PATH, FIELD_MOUNT_TARGET), .help = "directory in the container"},
    {NUMBER(FIELD_MOUNT_SIZE_BYTES), .help = "of a tmpfs (1 MiB)"},
    {OF(RULE_BOOL, FIELD_MOUNT_READ_ONLY), .help = "false by default"},
    END};
static const struct rule match_rules[] = {
    {SHORT_TEXT(255, "by-id", JSON_OPTIONAL), .one_of = 1,
     .help = "link in /dev/*/by-id, or a USB serial number",
     .schema = "{\"pattern\":\"^[^/]+$\",\"minLength\":1,\"not\":{\"enum\":[\".\",\"..\"]}}"},
    {SHORT_TEXT(255, "by-path", JSON_OPTIONAL), .one_of = 1,
     .help = "link in /dev/*/by-path, or a path in sysfs",
     .schema = "{\"pattern\":\"^(/.*|[^/]+)$\",\"minLength\":1,\"not\":{\"enum\":[\".\",\"..\"]}}"},
    {SHORT_TEXT(9, "usb", JSON_OPTIONAL), .one_of = 1, .help = "vendor:product, like 0403:6001",
     .schema = "{\"pattern\":\"^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$\"}"},
    {NUMBER(FIELD_MATCH_MAJOR), .one_of = 1, .help = "number of the driver"},
    {NUMBER(FIELD_MATCH_MINOR), .help = "with major: any by default"},
    {TEXT(FIELD_MATCH_SUBSYSTEM), .help = "tty, block, usb (raw), ...: any by default"},
    END};
static const struct rule device_rules[] = {
    {OBJECT(match_rules, FIELD_DEVICE_MATCH), .help = "which device, by properties that do not change",
     .schema = "{\"dependentRequired\":{\"minor\":[\"major\"]}}"},
    {OF(RULE_PATH, FIELD_DEVICE_PATH), .help = "in the container, below /dev",
     .schema = "{\"pattern\":\"^/dev/.*[^/]$\"}"},
    {WORD(access_words, FIELD_DEVICE_ACCESS), .help = "rw by default"},
    {OF(RULE_BOOL, FIELD_DEVICE_REQUIRED), .help = "the app starts only with it (false)"},
    {WORD(remove_words, FIELD_DEVICE_ON_REMOVE),
     .help = "when it is removed: keep (default), restart, stop (with required)"},
    END};
static const struct rule restart_rules[] = {
    {WORD(restart_words, FIELD_RESTART_POLICY), .help = "always by default"},
    {NUMBER(FIELD_RESTART_DELAY_MS), .help = "first delay, doubled each time (1000)"},
    {NUMBER(FIELD_RESTART_MAX_DELAY_MS), .help = "longest delay (300000)"},
    {NUMBER(FIELD_RESTART_STABLE_MS), .help = "after running that long the delay is reset (60000)"},
    {NUMBER(FIELD_RESTART_MAX_TRIES), .help = "0: no limit"},
    END};
static const struct rule http_rules[] = {
    {NUMBER(FIELD_PROBE_PORT), .help = "port in the container"},
    {OF(RULE_PATH, FIELD_PROBE_PATH), .help = "must answer 200 to 399 (/)"},
    END};
static const struct rule tcp_rules[] = {
    {NUMBER(FIELD_PROBE_PORT), .help = "port in the container that must accept"}, END};
static const struct rule health_rules[] = {
    {TEXTS(RULE_TEXT, FIELD_HEALTH_EXEC), .one_of = 1,
     .help = "program in the container that must exit with 0"},
    {OBJECT(http_rules, FIELD_HEALTH_HTTP), .one_of = 1, .help = "HTTP request"},
    {OBJECT(tcp_rules, FIELD_HEALTH_TCP), .one_of = 1, .help = "TCP connection"},
    {NUMBER(FIELD_HEALTH_INTERVAL_MS), .help = "between two checks (30000)"},
    {NUMBER(FIELD_HEALTH_TIMEOUT_MS), .help = "of one check (5000)"},
    {NUMBER(FIELD_HEALTH_START_GRACE_MS), .help = "failures before that do not count (10000)"},
    {NUMBER(FIELD_HEALTH_RETRIES), .help = "failures in a row that make it unhealthy (3)"},
    {WORD(action_words, FIELD_HEALTH_ACTION), .help = "when unhealthy: restart (default) or none"},
    END};
static const struct rule stop_rules[] = {
    {WORD(signal_words, FIELD_STOP_SIGNAL), .help = "the image's, else TERM"},
    {NUMBER(FIELD_STOP_GRACE_MS), .help = "before it is killed (10000)"},
    END};
static const struct rule log_rules[] = {
    {NUMBER(FIELD_LOG_MAX_BYTES),
     .help = "kept of its output (65536): rounded down to a power of two, at least 16384"},
    END};
static const struct rule app_rules[] = {
    {OF(RULE_NAME, FIELD_APP_NAME), .help = "name of the app on the device"},
    {OBJECT(release_rules, FIELD_RELEASE),
     .help = "in a file for apply also \"web:1.4.2\", \"web:latest\" or \"web@2\""},
    {TEXTS(RULE_SOURCE, FIELD_SOURCES), .help = SOURCES_HELP},
    {TEXTS(RULE_TEXT, FIELD_APP_ARGS), .help = "command line (the image's)"},
    {MAP(FIELD_APP_ENV), .help = "variables on top of the image's"},
    {OF(RULE_PATH, FIELD_APP_CWD), .help = "working directory (the image's)"},
    {TEXT(FIELD_APP_USER), .help = "\"1000\" or \"1000:1000\" (the image's)"},
    {OBJECT(memory_rules, FIELD_APP_MEMORY),
     .help = "memory ceiling (by default a share of what all apps may have)"},
    {OBJECT(cpu_rules, FIELD_APP_CPU), .help = "share of the processor"},
    {OBJECT(pids_rules, FIELD_APP_PIDS),
     .help = "number of processes (by default 2048, or less on a small device)"},
    {WORD(switch_words, FIELD_APP_USERNS), .help = "own user ids (best-effort)"},
    {WORD(switch_words, FIELD_APP_SECCOMP), .help = "filter of system calls (best-effort)"},
    {TEXTS(RULE_WORD, FIELD_APP_CAPABILITIES), .words = cap_words,
     .help = "none by default; NET_BIND_SERVICE, not CAP_..."},
    {OF(RULE_TRUE, FIELD_APP_READ_ONLY), .help = "root file system: true (false is not possible yet)"},
    {WORD(privileges_words, FIELD_APP_IMAGE_PRIVILEGES),
     .help = "set-id bits, xattrs, devices of the image: strip (default), refuse"},
    {OBJECT(network_rules, FIELD_APP_NETWORK), .help = "none by default",
     .schema = "{\"allOf\":["
               "{\"if\":{\"required\":[\"ports\"]},\"then\":{\"properties\":{\"mode\":{\"enum\":[\"bridge\","
               "\"cni\"]}}}},"
               "{\"if\":{\"required\":[\"name\"]},\"then\":{\"properties\":{\"mode\":{\"enum\":[\"bridge\","
               "\"cni\"]}}}},"
               "{\"if\":{\"properties\":{\"mode\":{\"const\":\"cni\"}}},\"then\":{\"required\":[\"name\"]}},"
               "{\"if\":{\"properties\":{\"mode\":{\"const\":\"bridge\"}}},"
               "\"then\":{\"properties\":{\"name\":{\"maxLength\":12}}}}]}"},
    {OBJECTS(mount_rules, FIELD_APP_MOUNTS), .help = "writable places",
     .schema = "{\"if\":{\"properties\":{\"type\":{\"const\":\"volume\"}}},"
               "\"then\":{\"required\":[\"name\"],\"properties\":{\"size_bytes\":false}},"
               "\"else\":{\"properties\":{\"name\":false}}}"},
    {OF(RULE_BOOL, FIELD_APP_INIT), .help = "limpet-init as first process: signals, orphans (false)"},
    {OBJECTS(device_rules, FIELD_APP_DEVICES), .help = "devices of the host, also those that come and go",
     .schema = "{\"if\":{\"properties\":{\"on_remove\":{\"const\":\"stop\"}},\"required\":[\"on_remove\"]},"
               "\"then\":{\"properties\":{\"required\":{\"const\":true}},\"required\":[\"required\"]}}"},
    {OBJECT(restart_rules, FIELD_APP_RESTART), .help = "when it exits"},
    {OBJECT(health_rules, FIELD_APP_HEALTH), .help = "how to tell that it works"},
    {OBJECT(stop_rules, FIELD_APP_STOP), .help = "how to stop it"},
    {OBJECT(log_rules, FIELD_APP_LOG), .help = "its output"},
    {NUMBER(FIELD_APP_RETRY), .help = "when raised, settings that failed are tried again (apply --retry)"},
    END};
static const struct rule target_rules[] = {
    {OF(RULE_NAME, FIELD_TARGET_DEVICE), .one_of = 1, .help = "this device"},
    {OF(RULE_NAME, FIELD_TARGET_GROUP), .one_of = 1,
     .help = "every device of this group that has no document of its own"},
    END};
static const struct rule download_rules[] = {
    {NUMBER(FIELD_DOWNLOAD_MAX_BYTES), .help = "byte budget over the network; what needs more is rejected"},
    {NUMBER(FIELD_DOWNLOAD_RATE_BYTES_S), .help = "upper limit of the rate"},
    {SHORT_TEXT(16, FIELD_DOWNLOAD_WINDOW), .help = "downloads only then, UTC: 01:30-05:00",
     .schema = "{\"pattern\":\"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$\"}"},
    {OF(RULE_BOOL, FIELD_DOWNLOAD_FULL_FALLBACK),
     .help = "a full download where a patch was promised (true)"},
    END};
static const struct rule update_rules[] = {
    {NUMBER(FIELD_UPDATE_PROBATION_MS), .help = "after working that long it is good (60000)"},
    {OBJECT(download_rules, FIELD_UPDATE_DOWNLOAD), .help = "what the download may cost"},
    END};
static const struct rule rollout_rules[] = {
    {TEXT(FIELD_ROLLOUT_SALT), .help = "shuffles the devices"},
    {NUMBER(FIELD_ROLLOUT_SLOTS), .help = "open slots of 10000: 100 is one percent"},
    {NUMBER(FIELD_ROLLOUT_SPREAD_MS), .help = "devices begin at random within it"},
    {NUMBER(FIELD_ROLLOUT_NOT_BEFORE), .help = "seconds since 1970"},
    END};
static const struct rule bundle_rules[] = {
    {OF(RULE_DIGEST, FIELD_BUNDLE_DIGEST), .help = "of the bundle's bytes"},
    {NUMBER(FIELD_BUNDLE_SIZE), .help = "bytes"},
    END};
static const struct rule os_rules[] = {
    {OF(RULE_NAME, FIELD_OS_VERSION), .help = "of the system, for people"},
    {OBJECT(bundle_rules, FIELD_OS_BUNDLE), .help = "a bundle of RAUC or SWUpdate (apply: of the release)"},
    {OBJECT(release_rules, FIELD_RELEASE),
     .help = "in a file for apply also \"os:2.1\" or \"os:latest\" (fleetctl publish --os)"},
    {TEXTS(RULE_SOURCE, FIELD_SOURCES), .help = "where it is, as a blob (apply: where it was published)"},
    END};
static const struct rule agent_rules[] = {
    {OBJECT(release_rules, FIELD_RELEASE),
     .help = "in a file for apply also \"agent:0.2.0\" or \"agent:latest\""},
    {TEXTS(RULE_SOURCE, FIELD_SOURCES), .help = SOURCES_HELP},
    {NUMBER(FIELD_AGENT_CONFIRM_S), .help = "time to confirm the new agent, else rollback (60)"},
    END};
static const struct rule desired_rules[] = {
    {WORD(schema_words, FIELD_SCHEMA), .help = "version of the format (apply fills it)"},
    {OF(RULE_NAME, FIELD_FLEET), .help = "the fleet (apply fills it)"},
    {OBJECT(target_rules, FIELD_TARGET), .help = "device or group (apply fills it)"},
    {NUMBER(FIELD_REV), .help = "rises with each apply (apply fills it)"},
    {NUMBER(FIELD_ISSUED), .help = "seconds since 1970 (apply fills it)"},
    {NUMBER(FIELD_EXPIRES), .help = "seconds since 1970 (apply fills it)"},
    {TEXT(FIELD_ID), .help = "for people"},
    {TEXT(FIELD_BY), .help = "for people (apply fills it)"},
    {OF(RULE_BOOL, FIELD_WITHDRAWN),
     .help = "no opinion any more (forget fills it): the next topic counts; no apps then"},
    {OBJECTS(app_rules, FIELD_APPS), .help = "everything that runs; [] stops everything"},
    {OBJECT(update_rules, FIELD_UPDATE), .help = "how to judge an update"},
    {OBJECT(os_rules, FIELD_OS), .help = "the device's own system"},
    {OBJECT(agent_rules, FIELD_AGENT), .help = "the agent's own programs"},
    {OBJECT(rollout_rules, FIELD_ROLLOUT), .help = "groups: how many devices act"},
    END};
const struct rule schema_root = {
    .type = RULE_OBJECT,
    .members = desired_rules,
    .schema = "{\"allOf\":["
              "{\"if\":{\"required\":[\"rollout\"]},\"then\":{\"properties\":{\"target\":{\"required\":["
              "\"group\"]}}}},"
              "{\"if\":{\"properties\":{\"withdrawn\":{\"const\":true}},\"required\":[\"withdrawn\"]},"
              "\"then\":{\"properties\":{\"apps\":false,\"update\":false,\"os\":false,\"agent\":false,"
              "\"rollout\":false}},"
              "\"else\":{\"required\":[\"apps\"]}}]}"};
