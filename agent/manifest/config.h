/* config.h - agentd.json, the agent's own settings: a closed schema, read once at start. Relative paths are
 * relative to the file's directory. See configs/agentd.json for every field. */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H
#include "platform/err.h"
#include "platform/json.h"
#include "platform/limits.h"

#define CONFIG_PATH        "/etc/limpet/agentd.json"
#define CONFIG_RUN_DIR_MAX 90 /* sun_path holds 108 with "/link/mqtt" */

/* Device-specific commands. */
enum config_which {
    CONFIG_REBOOT,     /* none: the agent never reboots */
    CONFIG_OS_INSTALL, /* the bundle's path is appended; if none of these is set: the updater's defaults */
    CONFIG_OS_CONFIRM,
    CONFIG_OS_REVERT,
    CONFIG_COMMAND_COUNT_
};
struct config_command {
    char text[8][128];
    const char *words[9]; /* split into words, NULL-terminated */
};
struct config {
    char device[LIM_NAME_BYTES], fleet[LIM_NAME_BYTES];
    char groups[LIM_GROUPS][LIM_NAME_BYTES];
    unsigned n_groups;
    char state_dir[256], run_dir[256], trust[256];
    char mqtt_host[256], mqtt_ca[256], mqtt_cert[256], mqtt_key[256]; /* cert "": no client certificate */
    bool mqtt_plaintext; /* no TLS; only for a broker on this machine */
    uint64_t mqtt_port, keepalive_s, reconnect_s;
    uint64_t fetch_rate;                 /* download limit in bytes per second, 0: none */
    char fetch_ca[256], fetch_auth[256]; /* "": the system's CAs, anonymous */
    char user[64]; /* user of link and fetch; "": limpet, or nobody if that does not exist */
    uint64_t memory_max_bytes, health_interval_s;
    uint64_t apps_memory_bytes,
        apps_pids; /* for all apps together; 0: derived from the device's resources (confine.c) */
    uint64_t scrub_interval_s, scrub_bytes; /* scrub: how often, how much; interval 0: never */
    char watchdog[128];                     /* "": none */
    char os_updater[16];                    /* "auto", "rauc", "swupdate" or "none" */
    struct config_command commands[CONFIG_COMMAND_COUNT_];
    uint64_t os_confirm_s; /* a new system not healthy by then is rolled back */
    uint64_t os_install_s; /* a command of the updater still running then is killed */
    int log_level;
};
/* Errors: NOTFOUND, INVALID with the field's path. */
NODISCARD int config_read(const char *path, struct config *ret, struct err *err);
#endif
