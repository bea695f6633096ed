/* box.h - one container: create, start, watch, stop, enter, clean up.
 * Effects: processes, cgroups, mounts (only inside the new mount namespace), network devices. No process of
 * ours stays next to it (L3). Blocks: box_start some milliseconds, box_exec_start as long as the box likes;
 * nothing else. Threads: one. */
#ifndef RUNTIME_BOX_H
#define RUNTIME_BOX_H
#include "platform/cgroup/cgroup.h"
#include "platform/err.h"
#include "runtime/spec/spec.h"

/* What is needed to find a running box again after a restart: plain data, saved by the caller. */
struct box_id {
    char id[LIM_ID_BYTES];
    pid_t pid;            /* pid 1 of the box, as the host sees it */
    uint64_t start_ticks; /* sys_proc_start(pid): identifies the process */
    char cgroup_path[CGROUP_PATH_BYTES];
    enum spec_net net;
    char host_ip[16];  /* bridge, CNI: the box's IPv4 address, otherwise "" */
    char host_ip6[46]; /* its IPv6 address, "" if it has none */
};

/* L9: for each field what is really in force in this box. */
struct box_report {
    struct cgroup_report cgroup;
    struct cgroup_field userns, seccomp, network, read_only_rootfs, devices;
    struct cgroup_field oom; /* oom_score_adj; a value below 0 is CGROUP_UNSET here and given in `why` */
};

struct box_started {
    struct box_id id;
    int pidfd;          /* owner: caller; -1 if the kernel has none */
    int out_fd, err_fd; /* read ends of stdout and stderr, non-blocking; owner: caller */
    struct box_report report;
};

/* Create the cgroup, the namespaces and the network, run the set-up steps in the child, exec. Returns when
 * exec has succeeded, or with what failed in the child ("web: mount /proc: Operation not permitted"); then
 * nothing is left behind. exec failures: NOTFOUND (no such program), DENIED (not executable). h: from
 * cgroup_detect, outlives the box. */
NODISCARD int box_start(const struct cgroup_host *h, const struct spec *s, struct box_started *ret,
                        struct err *err);

/* The same up to exec: the box exists, its program is found, and starts when one byte is written to
 * *ret_gate_fd (owner: caller); closing that ends the box. An exec failure is then an exit with 127. Errors:
 * as box_start. */
NODISCARD int box_start_held(const struct cgroup_host *h, const struct spec *s, struct box_started *ret,
                             int *ret_gate_fd, struct err *err);

/* Send a signal to pid 1 of the box. It is identified by start_ticks. NOTFOUND if it is gone. */
NODISCARD int box_signal(const struct box_id *b, int pidfd, int sig, struct err *err);
/* Kill every process of the box (cgroup.kill etc.). Errors: DENIED, CONFLICT (some survive), IO. */
NODISCARD int box_kill(const struct cgroup_host *h, const struct box_id *b, struct err *err);
/* Reap a child that was killed. One that sleeps in a file system does not die at once; the wait is limited by
 * the turn's budget (patience.h). */
void box_reap(pid_t pid);
/* Is pid 1 alive (a zombie counts as dead)? */
bool box_is_alive(const struct box_id *b);
/* Its current usage; unknown fields: CGROUP_UNSET. */
void box_usage(const struct cgroup_host *h, const struct box_id *b, struct cgroup_usage *ret);
/* Remove what an ended box leaves: cgroup, veth, port rules. Safe to repeat, also after a crash. Errors:
 * CONFLICT (it is running, or something is left), IO. */
NODISCARD int box_cleanup(const struct cgroup_host *h, const struct box_id *b, struct err *err);
/* The same for a caller that must not wait: CONFLICT, with nothing else done, while processes of the box are
 * still exiting. */
NODISCARD int box_cleanup_now(const struct cgroup_host *h, const struct box_id *b, struct err *err);

/* For the start of a caller that may have crashed: remove networks that no living box uses (rules, bridges,
 * forwarding, what CNI plugins still have to delete). Boxes of others are left alone. Errors: as
 * net_sweep. */
NODISCARD int box_sweep(struct err *err);

/* Is there a complete list of CNI plugins of that name? Check before requesting a box. Errors: NOTFOUND,
 * INVALID. */
NODISCARD int box_cni_look(const char *name, struct err *err);
/* resolv.conf as given by the network of this box; NULL: none given. malloc'd, owner: caller. */
char *box_dns(const struct box_id *b);
/* Is the network of a running box still as it was made? Asks CNI plugins; blocks for at most CNI_S each, and
 * until the first that fails. IO, TIMEOUT, NOTFOUND with the plugin's message. */
NODISCARD int box_net_check(const struct box_id *b, struct err *err);

/* An additional process inside: all its namespaces, its cgroup, the rest from its spec_process. Returns its
 * pid (a child of the caller). stdio fds < 0: /dev/null. Errors: NOTFOUND, DENIED, IO. */
struct box_exec {
    const struct spec_process *process;
    int stdin_fd, stdout_fd, stderr_fd; /* borrowed; ignored with process->terminal */
    int console_fd;         /* process->terminal: a connected unix socket that gets the master; else -1 */
    bool ctty;              /* stdin is the slave of a terminal of ours: make it the controlling terminal */
    unsigned preserve_fds;  /* our descriptors 3 .. 3+n-1 are passed to the program */
    const char *sub_cgroup; /* below the box's; NULL: the box's */
    const char *own_group;  /* created below the box's: what the program starts is killed with it; NULL:
                             * none */
};
/* A process entering a box. Begun without waiting: what is inside can stop it, slow it down or kill it. Both
 * processes are children of the caller, which reaps them and sets the time limit. */
struct box_entry {
    pid_t helper;  /* exits by itself soon: then call box_entry_helper_ended. 0: it has */
    pid_t pid;     /* the process itself; 0: not known yet */
    int report_fd; /* readable: box_entry_step */
    int join_fd;
    pid_t *shared;
    struct cgroup *cgroup, *own;
    const char *cpus_final; /* of the box_exec's process */
};
/* Begin. *ret: end with box_entry_done. Errors: NOTFOUND (the box is gone), DENIED, IO. */
NODISCARD int box_exec_begin(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                             struct box_entry *ret, struct err *err);
/* 1: not yet. 0: the program is running. Errors: as box_exec_start. */
NODISCARD int box_entry_step(struct box_entry *e, struct err *err);
/* Kill whatever exists of it, with all that it started in its own group. A living helper may still create a
 * process: once the helper is reaped pid is final, and is killed again then. */
void box_entry_kill(struct box_entry *e);
void box_entry_helper_ended(struct box_entry *e);
void box_entry_pid_ended(struct box_entry *e); /* reaped: its number may be reused from now on */
void box_entry_done(struct box_entry *e);      /* release what it holds; kills nothing */
/* The same, waiting until the program runs: for a caller that may block. Errors: as box_exec_begin,
 * TIMEOUT. */
NODISCARD int box_exec_start(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                             pid_t *ret_pid, int *ret_pidfd, struct err *err);

/* Connect a TCP socket from inside the box's network namespace without running anything in it: a non-blocking
 * socket whose connect() to 127.0.0.1:port is in progress. For health checks (tcp, http). Owner of *ret_fd:
 * caller. Errors: NOTFOUND (the box is gone), DENIED, NET, IO. */
NODISCARD int box_tcp_connect(const struct box_id *b, uint16_t port, int *ret_fd, struct err *err);

/* The list of set-up steps as text, one per line ("mount proc /proc nosuid,nodev,noexec"): pure, for display
 * and tests. malloc'd, owner: caller. */
char *box_describe(const struct spec *s);

/* What this kernel can do, probed once by trying: the input of L9's "required" check before any download.
 * images_dir: where the rootfs are, since idmapped mounts depend on that file system; NULL: the root's. */
struct box_caps {
    bool userns, idmap, seccomp, bridge, nat, cgroup_memory, cgroup_swap, cgroup_cpu, cgroup_pids;
    char cgroup_mode[16];
};
/* Errors: IO. What cannot be tried counts as missing. */
NODISCARD int box_probe(const struct cgroup_host *h, const char *images_dir, struct box_caps *ret,
                        struct err *err);
#endif
