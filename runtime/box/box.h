/* box.h - one container: make, start, watch, stop, enter, forget.
 * Effects: processes, cgroups, mounts (only inside the new mount namespace), network devices. No process of
 * ours stays beside it (L3). Blocks: box_start some milliseconds, box_exec_start as long as the box likes;
 * nothing else. Threads: one. */
#ifndef RUNTIME_BOX_H
#define RUNTIME_BOX_H
#include "platform/cgroup/cgroup.h"
#include "platform/err.h"
#include "runtime/spec/spec.h"

/* What it takes to find a running box again after a restart of ours: plain data, saved by the caller. */
struct box_id {
    char id[LIM_ID_BYTES];
    pid_t pid;            /* pid 1 of the box, as the host sees it */
    uint64_t start_ticks; /* sys_proc_start(pid): the identity */
    char cgroup_path[CGROUP_PATH_BYTES];
    enum spec_net net;
    char host_ip[16];  /* bridge, CNI: the box's IPv4 address, "" otherwise */
    char host_ip6[46]; /* the same of IPv6, "" where it has none */
};

/* L9, per field: what is really in force in this box. */
struct box_report {
    struct cgroup_report cgroup;
    struct cgroup_field userns, seccomp, network, read_only_rootfs, devices;
    struct cgroup_field oom; /* oom_score_adj; below 0 it is CGROUP_UNSET here and in words there */
};

struct box_started {
    struct box_id id;
    int pidfd;          /* owner: caller; -1 where the kernel has none */
    int out_fd, err_fd; /* read ends of stdout and stderr, non-blocking; owner: caller */
    struct box_report report;
};

/* Make the cgroup, the namespaces and the network, walk the set-up operations in the child, exec. Returns
 * when exec has succeeded, or with what failed in the child ("web: mount /proc: Operation not permitted");
 * then nothing is left behind. exec failures: NOTFOUND (no such program), DENIED (not executable). h: from
 * cgroup_detect, outlives the box. */
NODISCARD int box_start(const struct cgroup_host *h, const struct spec *s, struct box_started *ret,
                        struct err *err);

/* The same up to exec: the box is there, its program is found, and runs when one byte is written to
 * *ret_gate_fd (owner: caller); closing that ends the box. What exec itself finds wrong is an exit with 127
 * then. Errors: as box_start. */
NODISCARD int box_start_held(const struct cgroup_host *h, const struct spec *s, struct box_started *ret,
                             int *ret_gate_fd, struct err *err);

/* Send a signal to pid 1 of the box. Identity is checked by start_ticks. NOTFOUND when it has gone. */
NODISCARD int box_signal(const struct box_id *b, int pidfd, int sig, struct err *err);
/* Kill every process of the box (cgroup.kill and friends). Errors: DENIED, CONFLICT (some live on), IO. */
NODISCARD int box_kill(const struct cgroup_host *h, const struct box_id *b, struct err *err);
/* A child of ours that was killed. One that sleeps in a file system does not die at once, and is waited for
 * no longer than this turn has patience (patience.h). */
void box_reap(pid_t pid);
/* Is pid 1 alive (a zombie counts as dead)? */
bool box_is_alive(const struct box_id *b);
/* What it uses now; unknown fields: CGROUP_UNSET. */
void box_usage(const struct cgroup_host *h, const struct box_id *b, struct cgroup_usage *ret);
/* Remove what a box that has ended leaves: cgroup, veth, port rules. Safe to repeat, also after a crash of
 * ours. Errors: CONFLICT (it runs, or something is left), IO. */
NODISCARD int box_cleanup(const struct cgroup_host *h, const struct box_id *b, struct err *err);
/* The same for a caller that must not wait: CONFLICT, and nothing else was done, while processes of the box
 * are still on their way out. */
NODISCARD int box_cleanup_now(const struct cgroup_host *h, const struct box_id *b, struct err *err);

/* At the start of a caller that may have died before: networks that no living box uses go (rules, bridges,
 * forwarding, what CNI plugins have not been told to delete yet). Boxes of others are left alone. Errors: as
 * net_sweep. */
NODISCARD int box_sweep(struct err *err);

/* Is there a list of CNI plugins of that name, complete? Before a box is asked for. Errors: NOTFOUND,
 * INVALID. */
NODISCARD int box_cni_look(const char *name, struct err *err);
/* resolv.conf as the network of this box wants it; NULL: it does not say. malloc'd, owner: caller. */
char *box_dns(const struct box_id *b);
/* Is the network of a running box still what was made? Asked of CNI plugins; blocks while they look, at most
 * CNI_S each and no longer than the first that fails. IO, TIMEOUT, NOTFOUND with the plugin's words. */
NODISCARD int box_net_check(const struct box_id *b, struct err *err);

/* One more program inside: all its namespaces, its cgroup, the rest as its spec_process says. Returns its pid
 * (a child of the caller). stdio fds < 0: /dev/null. Errors: NOTFOUND, DENIED, IO. */
struct box_exec {
    const struct spec_process *process;
    int stdin_fd, stdout_fd, stderr_fd; /* borrowed; ignored with process->terminal */
    int console_fd;         /* process->terminal: a connected unix socket that gets the master; else -1 */
    bool ctty;              /* stdin is a terminal's slave of ours: make it the controlling terminal */
    unsigned preserve_fds;  /* 3 .. 3+n-1 of ours go to the program */
    const char *sub_cgroup; /* below the box's; NULL: the box's */
    const char *own_group;  /* made below the box's: what the program starts ends with it; NULL: none */
};
/* A process on its way into a box. Begun without waiting for anybody: what is inside can stop it, slow it
 * down or kill it. Both processes are children of the caller, which reaps them and sets the time that this
 * may take. */
struct box_entry {
    pid_t helper;  /* ends by itself soon: then box_entry_helper_ended. 0: it has */
    pid_t pid;     /* the process itself; 0: not yet known */
    int report_fd; /* readable: box_entry_step */
    int join_fd;
    pid_t *shared;
    struct cgroup *cgroup, *own;
    const char *cpus_final; /* of the box_exec's process */
};
/* Begin. *ret: end with box_entry_done. Errors: NOTFOUND (the box has gone), DENIED, IO. */
NODISCARD int box_exec_begin(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                             struct box_entry *ret, struct err *err);
/* 1: not yet. 0: the program runs. Errors: as box_exec_start. */
NODISCARD int box_entry_step(struct box_entry *e, struct err *err);
/* Whatever there is of it is killed, with all that it started in a group of its own. A helper that lives may
 * still have made a process: when the helper was reaped pid is final, and is killed once more then. */
void box_entry_kill(struct box_entry *e);
void box_entry_helper_ended(struct box_entry *e);
void box_entry_pid_ended(struct box_entry *e); /* reaped: its number may be another's from now on */
void box_entry_done(struct box_entry *e);      /* what it holds; kills nobody */
/* The same, waiting until the program runs: for a caller that may block. Errors: as box_exec_begin,
 * TIMEOUT. */
NODISCARD int box_exec_start(const struct cgroup_host *h, const struct box_id *b, const struct box_exec *x,
                             pid_t *ret_pid, int *ret_pidfd, struct err *err);

/* Connect a TCP socket from inside the box's network namespace without running anything in it: a non-blocking
 * socket whose connect() is under way to 127.0.0.1:port. For health checks (tcp, http). Owner of *ret_fd:
 * caller. Errors: NOTFOUND (the box has gone), DENIED, NET, IO. */
NODISCARD int box_tcp_connect(const struct box_id *b, uint16_t port, int *ret_fd, struct err *err);

/* The list of set-up operations as text, one a line ("mount proc /proc nosuid,nodev,noexec"): pure, for
 * people and tests. malloc'd, owner: caller. */
char *box_describe(const struct spec *s);

/* What this kernel can do, probed once by trying: the input of L9's "required" check before any download.
 * images_dir: where the rootfs lie, since shifting ids is up to that file system; NULL: the root's. */
struct box_caps {
    bool userns, idmap, seccomp, bridge, nat, cgroup_memory, cgroup_swap, cgroup_cpu, cgroup_pids;
    char cgroup_mode[16];
};
/* Errors: IO. What cannot be tried counts as missing. */
NODISCARD int box_probe(const struct cgroup_host *h, const char *images_dir, struct box_caps *ret,
                        struct err *err);
#endif
