/* limpet_int.h - bin/limpet: the OCI command line on top of the library. One small record per container below
 * --root: ROOT/ID/state.json (its process) and ROOT/ID/start (a FIFO, present until the container is
 * started). */
#ifndef RUNTIME_LIMPET_INT_H
#define RUNTIME_LIMPET_INT_H
#include "platform/json.h"
#include "runtime/box/box_int.h"

/* Limits as options of update. */
enum limpet_limit {
    LIMPET_MEMORY,
    LIMPET_MEMORY_SWAP,
    LIMPET_MEMORY_RESERVATION,
    LIMPET_KERNEL_MEMORY,
    LIMPET_KERNEL_MEMORY_TCP,
    LIMPET_CPU_SHARES,
    LIMPET_CPU_QUOTA,
    LIMPET_CPU_PERIOD,
    LIMPET_CPU_BURST,
    LIMPET_CPU_RT_PERIOD,
    LIMPET_CPU_RT_RUNTIME,
    LIMPET_CPU_IDLE,
    LIMPET_CPUSET_CPUS,
    LIMPET_CPUSET_MEMS,
    LIMPET_PIDS_LIMIT,
    LIMPET_BLKIO_WEIGHT,
    LIMPET_LIMIT_COUNT_
};

struct limpet {
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
    const char *limit[LIMPET_LIMIT_COUNT_], *resources; /* update */
    const char *interval;                               /* events */
    const char *cgroup_manager; /* "cgroupfs", "systemd" (its paths, without systemd itself), "disabled" */
    unsigned preserve_fds;
    bool detach, force, all, quiet, keep, tty, no_new_privs, no_pivot, ignore_paused, regex, rootless, stats,
        init;
    const char *id;
    char **args; /* arguments after the id */
    int n_args;
    struct cgroup_host host;
};
struct limpet_state {
    struct box_id id;
    char bundle[LIM_PATH_BYTES];
    char rootfs[LIM_PATH_BYTES];
    char freezer[CGROUP_PATH_BYTES + 256]; /* the file that shows whether it is paused; "": none */
    char created[32];                      /* RFC 3339 */
    uint32_t owner;                        /* uid of its creator */
    char *annotations;                     /* JSON, malloc'd; NULL: none */
};
/* A bundle, or the container's copy of its config.json. */
struct limpet_bundle {
    struct arena *arena;
    struct spec spec;
    struct spec_oci oci;
    uint8_t *text; /* config.json */
    size_t len;
    struct sock_filter *filter;
};
/* limpet_...: verbs. Exit code, or -kind with err filled. */
NODISCARD int limpet_create(struct limpet *c, struct err *err);
NODISCARD int limpet_run(struct limpet *c, struct err *err);
NODISCARD int limpet_start(struct limpet *c, struct err *err);
NODISCARD int limpet_exec(struct limpet *c, struct err *err);
NODISCARD int limpet_state_verb(struct limpet *c, struct err *err);
NODISCARD int limpet_kill(struct limpet *c, struct err *err);
NODISCARD int limpet_delete(struct limpet *c, struct err *err);
NODISCARD int limpet_list(struct limpet *c, struct err *err);
NODISCARD int limpet_spec(struct limpet *c, struct err *err);
NODISCARD int limpet_features(struct limpet *c, struct err *err);
NODISCARD int limpet_pause(struct limpet *c, struct err *err);
NODISCARD int limpet_resume(struct limpet *c, struct err *err);
NODISCARD int limpet_update(struct limpet *c, struct err *err);
NODISCARD int limpet_events(struct limpet *c, struct err *err);
NODISCARD int limpet_mounts(struct limpet *c, struct err *err);
NODISCARD int limpet_ps(struct limpet *c, struct err *err);

/* Read a config.json, compile its seccomp profile, report what was ignored. Owner of *ret: caller
 * (limpet_bundle_done). Errors: NOTFOUND, INVALID, UNSUPPORTED. */
NODISCARD int limpet_bundle_read(const struct limpet *c, int dir_fd, const char *name,
                                 struct limpet_bundle *ret, struct err *err);
void limpet_bundle_done(struct limpet_bundle *b);
/* Late hooks: failures are only reported. */
void limpet_late_hooks(const struct limpet *c, int dir_fd, const struct limpet_state *s,
                       enum spec_hook_kind kind);
/* Connect to the unix socket at this path. Owner of *ret_fd: caller. Errors: INVALID (path too long),
 * NOTFOUND, NET. */
NODISCARD int limpet_connect(const char *path, const char *what, int *ret_fd, struct err *err);

/* A terminal in the foreground, without --console-socket: ours is relayed to the container's. */
struct limpet_tty {
    int pair[2]; /* pair[1] goes to the container, the master comes back on pair[0] */
};
/* Create the pair; end with limpet_tty_close. Errors: IO, NOSPACE. */
NODISCARD int limpet_tty_open(struct limpet_tty *t, struct err *err);
/* Relay until pid exits: its exit code as reported by a shell. Errors: IO. */
NODISCARD int limpet_tty_run(struct limpet_tty *t, pid_t pid, int pidfd, struct err *err);
void limpet_tty_close(struct limpet_tty *t);

/* Print to stdout, indented. 0 or 1. */
int limpet_print(struct cJSON *take);
/* Open ROOT/ID; make: create it (EXISTS). Owner of fd: caller. */
NODISCARD int limpet_dir(const struct limpet *c, bool make, int *ret_fd, struct err *err);
/* Errors: NOTFOUND (no such container), INVALID (the record), IO. */
NODISCARD int limpet_load(const struct limpet *c, struct limpet_state *ret,
                          struct err *err); /* *ret: limpet_state_done */
void limpet_state_done(struct limpet_state *s);
/* Replace its record atomically; the directory is in /run. Errors: NOSPACE, IO. */
NODISCARD int limpet_save(int dir_fd, const struct limpet_state *s, struct err *err);
/* "created", "running", "paused", "stopped". */
const char *limpet_status(int dir_fd, const struct limpet_state *s);
/* The path of a container's group if config.json does not set it. */
void limpet_cgroup_path(const struct limpet *c, char dst[CGROUP_PATH_BYTES]);
/* The container and its group: CONFLICT if it is not running, UNSUPPORTED without a group. Owner of
 * *ret_group: caller. */
NODISCARD int limpet_open_running(const struct limpet *c, struct limpet_state *ret, struct cgroup **ret_group,
                                  struct err *err);
/* Was any option of update given? */
bool limpet_limits_given(const struct limpet *c);
/* Warn about what in the list is not in force on this machine; NULL is fine. */
void limpet_warn_limits(const struct limpet *c, const struct cgroup_list *list);
/* Kill, wait, clean up, remove the record. Errors: CONFLICT (it is running, and force is not set), IO. */
NODISCARD int limpet_forget(struct limpet *c, const struct limpet_state *s, bool force, struct err *err);
/* Write to --pid-file, if given. Errors: IO. */
NODISCARD int limpet_write_pid(const struct limpet *c, pid_t pid, struct err *err);
/* One line to --log, or to stderr. */
void limpet_warn(const struct limpet *c, const char *text);
/* Read a whole file, "-": standard input. Owner of *ret: caller. Errors: NOTFOUND, INVALID (longer than
 * most), IO. */
NODISCARD int limpet_read(const char *file, size_t most, uint8_t **ret, size_t *ret_len, struct err *err);
/* Forward signals to pid until it exits: its exit code as reported by a shell. */
int limpet_wait(const struct box_id *b, pid_t pid, int pidfd);
#endif
