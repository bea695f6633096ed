/* cli.h - bin/limpet: the OCI command line over the library. One small record per container below --root:
 * ROOT/ID/state.json (who it is) and ROOT/ID/start (a FIFO, there until the container is started). */
#ifndef RUNTIME_CLI_H
#define RUNTIME_CLI_H
#include "platform/json.h"
#include "runtime/box_priv.h"

/* Limits as options of update. */
enum cli_limit {
    CLI_MEMORY,
    CLI_MEMORY_SWAP,
    CLI_MEMORY_RESERVATION,
    CLI_KERNEL_MEMORY,
    CLI_KERNEL_MEMORY_TCP,
    CLI_CPU_SHARES,
    CLI_CPU_QUOTA,
    CLI_CPU_PERIOD,
    CLI_CPU_BURST,
    CLI_CPU_RT_PERIOD,
    CLI_CPU_RT_RUNTIME,
    CLI_CPU_IDLE,
    CLI_CPUSET_CPUS,
    CLI_CPUSET_MEMS,
    CLI_PIDS_LIMIT,
    CLI_BLKIO_WEIGHT,
    CLI_LIMIT_COUNT_
};

struct cli {
    const char *root;   /* --root, default /run/limpet */
    const char *log;    /* --log FILE */
    bool log_json;      /* --log-format json */
    const char *bundle; /* -b, --bundle */
    const char *config; /* --config */
    const char *pid_file, *process, *cwd, *user, *console_socket;
    const char *sub_cgroup, *apparmor, *label; /* exec */
    const char *env[LIM_CONFIG_LIST + 1];
    unsigned n_env;
    const char *caps[64];
    unsigned n_caps;
    const char *groups[SPEC_GROUPS];
    unsigned n_groups;
    const char *format;
    const char *limit[CLI_LIMIT_COUNT_], *resources; /* update */
    const char *interval;                            /* events */
    const char *cgroup_manager; /* "cgroupfs", "systemd" (its paths, never itself), "disabled" */
    unsigned preserve_fds;
    bool detach, force, all, quiet, keep, tty, no_new_privs, no_pivot, ignore_paused, regex, rootless, stats,
        init;
    const char *id;
    char **args; /* what stands behind the id */
    int n_args;
    struct cgroup_host host;
};
struct cli_state {
    struct box_id id;
    char bundle[LIM_PATH_BYTES];
    char rootfs[LIM_PATH_BYTES];
    char freezer[CGROUP_PATH_BYTES + 256]; /* the file that says whether it is paused; "": none */
    char created[32];                      /* RFC 3339 */
    uint32_t owner;                        /* uid of who made it */
    char *annotations;                     /* JSON, malloc'd; NULL: none */
};
/* A bundle, or the copy of its config.json that a container keeps. */
struct cli_bundle {
    struct arena *arena;
    struct spec spec;
    struct spec_oci oci;
    uint8_t *text; /* config.json */
    size_t len;
    struct sock_filter *filter;
};
/* Verbs: exit code, or -kind with err filled. */
int cli_create(struct cli *c, struct err *err);
int cli_run(struct cli *c, struct err *err);
int cli_start(struct cli *c, struct err *err);
int cli_exec(struct cli *c, struct err *err);
int cli_state_verb(struct cli *c, struct err *err);
int cli_kill(struct cli *c, struct err *err);
int cli_delete(struct cli *c, struct err *err);
int cli_list(struct cli *c, struct err *err);
int cli_spec(struct cli *c, struct err *err);
int cli_features(struct cli *c, struct err *err);
int cli_pause(struct cli *c, struct err *err);
int cli_resume(struct cli *c, struct err *err);
int cli_update(struct cli *c, struct err *err);
int cli_events(struct cli *c, struct err *err);
int cli_mounts(struct cli *c, struct err *err);
int cli_ps(struct cli *c, struct err *err);

/* Read a config.json, compile its seccomp profile, tell what was passed over. Owner of *ret: caller (cli_bundle_done). */
int cli_bundle_read(const struct cli *c, int dir_fd, const char *name, struct cli_bundle *ret,
                    struct err *err);
void cli_bundle_done(struct cli_bundle *b);
/* Hooks after the fact: failures are told, and change nothing. */
void cli_late_hooks(const struct cli *c, int dir_fd, const struct cli_state *s, enum spec_hook_kind kind);
/* A unix socket that listens at this path. Owner of *ret_fd: caller. */
int cli_connect(const char *path, const char *what, int *ret_fd, struct err *err);

/* A terminal in the foreground, without --console-socket: ours is relayed to the container's. */
struct cli_tty {
    int pair[2]; /* pair[1] goes to the container, the master comes back on pair[0] */
};
int cli_tty_open(struct cli_tty *t, struct err *err);
/* Relay until pid ends: its exit code as a shell gives it. */
int cli_tty_run(struct cli_tty *t, pid_t pid, int pidfd, struct err *err);
void cli_tty_close(struct cli_tty *t);

/* To stdout, indented. 0 or 1. */
int cli_print(struct cJSON *take);
/* ROOT/ID; made: a new one (CONFLICT when it exists). Owner of fd: caller. */
int cli_dir(const struct cli *c, bool make, int *ret_fd, struct err *err);
int cli_load(const struct cli *c, struct cli_state *ret, struct err *err); /* *ret: cli_state_done */
void cli_state_done(struct cli_state *s);
int cli_save(int dir_fd, const struct cli_state *s, struct err *err);
/* "created", "running", "paused", "stopped". */
const char *cli_status(int dir_fd, const struct cli_state *s);
/* Where a container's group is when config.json does not say. */
void cli_cgroup_path(const struct cli *c, char dst[CGROUP_PATH_BYTES]);
/* The container and its group: CONFLICT when it does not run, UNSUPPORTED without a group. Owner of *ret_group: caller. */
int cli_open_running(const struct cli *c, struct cli_state *ret, struct cgroup **ret_group, struct err *err);
/* Was any option of update given? */
bool cli_limits_given(const struct cli *c);
/* Say what of the list does not hold on this machine; NULL is fine. */
void cli_warn_limits(const struct cli *c, const struct cgroup_list *list);
/* Kill, wait, clean up, forget. */
int cli_forget(struct cli *c, const struct cli_state *s, bool force, struct err *err);
int cli_write_pid(const struct cli *c, pid_t pid, struct err *err);
void cli_warn(const struct cli *c, const char *text);
/* The whole of a file, "-": of standard input. Owner of *ret: caller. Errors: NOTFOUND, INVALID (longer than most), IO. */
int cli_read(const char *file, size_t most, uint8_t **ret, size_t *ret_len, struct err *err);
/* Pass signals on to pid until it ends: its exit code as a shell gives it. */
int cli_wait(const struct box_id *b, pid_t pid, int pidfd);
#endif
