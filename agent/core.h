/* core.h - agentd-core: the one struct that its files share, and what each file does with it.
 *
 *   core_main.c  start and stop          intake*.c  documents -> accepted or refused (verdicts)
 *   act.c        observe, plan, act      images.c   how far an image has come, and by which way
 *   image_jobs.c fetch, install, collect (jobs)        budget.c bytes over the network
 *   apps.c       boxes: start, stop, adopt, exit       probe.c  health probes
 *   box_spec.c   want + image config -> struct spec    logs.c   pipes into rings
 *   report.c     state and health as JSON              uplink.c the link process and what is sent (uplink_said.c what it says,
 *                                                      uplink_reply.c commands, bucket.c how often)
 *   start.c      a want and its image -> a running box     confine.c  what core holds itself to
 *   ctl.c        the local socket                      events.c the ring of events
 *   scrub.c      reading the store against its names   os_act.c the device's own system
 *   self_act.c   the agent's own update                self_start.c  which core runs
 *   devices.c    devices that come and go (hotplug.c, hotscan.c)
 *   exec.c       one more program in a box             idrange.c  host ids of apps
 *   point.c      where tests may cut                   check.c  --check: what a folder would start with
 *
 * Data goes one way: something happens -> core->dirty -> after the turn act.c observes, plans, starts the
 * next step. */
#ifndef AGENT_CORE_H
#define AGENT_CORE_H
#include "agent/config.h"
#include "agent/download.h"
#include "agent/follow.h"
#include "agent/hotplug.h"
#include "agent/jobs.h"
#include "agent/now.h"
#include "agent/os_update.h"
#include "agent/plan.h"
#include "agent/route.h"
#include "agent/self_update.h"
#include "agent/state.h"
#include "ota/store.h"
#include "platform/loop.h"
#include "runtime/box.h"
#include "runtime/logring.h"

/* A manifest that was read: the document and where its strings live. */
struct set {
    struct arena *arena; /* NULL: there is none */
    struct desired d;
};

/* How far one wanted image has come, and what is known of it. Derived from the store, dropped whenever the
 * store changes. */
struct image {
    enum image_state state;
    struct digest manifest; /* from NO_MANIFEST on */
    uint64_t manifest_bytes;
    char version[LIM_NAME_BYTES];
    uint64_t unpacked_bytes, inodes, packed_bytes;
    struct route route;       /* from NO_LAYERS on */
    struct release_pack pack; /* of the route */
    struct release_blob tree;
    struct digest old_image; /* of the same app, for chunks; zeros: none */
    struct err fault;        /* why it can get no further (kind NONE: nothing is wrong) */
};

/* What was learned of an image's ways since core started; by its manifest's digest. */
struct image_memo {
    struct digest manifest;
    uint64_t used; /* when, for the oldest to go */
    bool no_patch, no_chunks, chunks_known;
    struct store_cost chunks;
    struct route route;                    /* as it stands: what is still to be done */
    struct route planned;                  /* the first that was known, of this kind ... */
    uint64_t fetched_bytes, written_bytes; /* ... and what it took */
};

/* A device that a box has; dev.type 0: it has none. */
struct app_device {
    struct hot_dev dev, tried;
    struct cgroup_field rule;
    char why[144]; /* it could not be given */
};

struct probe;
/* One box as core holds it; seen is what the plan reads. */
struct app {
    bool used;
    struct seen seen;
    struct core *core;
    struct box_id box;
    struct box_report report;
    char network[LIM_NET_NAME + 1]; /* the shared one that the box is in; "": none */
    struct digest release, manifest;
    char version[LIM_NAME_BYTES];
    uint64_t counter, restarts, peak_bytes, last_exit_s;
    char start_why[160]; /* why it could not be started the last time */
    int pidfd, out_fd, err_fd;
    struct loop_fd exit_watch, out_watch, err_watch, oom_watch;
    struct loop_timer exit_wait, oom_wait, probe_timer, log_rest;
    struct logring *log;
    struct probe *probe;
    uint64_t ooms_seen;
    unsigned n_execs; /* of exec.c, in this app */
    struct {          /* its program is over and something of the box is still there */
        bool pending;
        struct ending e;
        uint64_t until_ms, limit_bytes;
    } end;
    bool stop_by_us, net_known; /* its network was made or checked by this core */
    struct app_device *devices; /* by the want's index, LIM_DEVICES of them; NULL: it never had one */
};

struct core_exit { /* what the keeper told of ended processes */
    pid_t pid;
    int status;
};

struct event {
    uint64_t seq;
    uint32_t wait_id; /* publish under way: its ack id; 0: not sent yet */
    char *json;
};

/* How far the reading of the store has come. The counters are since core was started. */
struct scrub {
    struct loop_timer timer;
    uint64_t next_ms, rounds, bytes, bad, images;
    char cursor[128], last_bad[200];
};

/* The device's own system: what is remembered, and what is known in this run of core. */
struct os {
    struct os_memory memory;
    const struct updater *updater; /* of os_act.c; NULL: not looked for yet */
    enum os_step step;             /* the last one */
    struct loop_timer timer;
    char slot[OS_SLOT_BYTES];
    bool slot_known, reboot;
    uint64_t again_ms, healthy_ms; /* not before; since when it is healthy, 0: it is not */
    struct fetch_blob blobs[2];    /* the bundle, its release */
    struct want want; /* that release, for a job that outlives the manifest: its strings are ours */
    char release_name[LIM_NAME_BYTES];
    struct download download;
};
#define OS_LOOK_MS 2000 /* while something is under way */

/* The agent's own update: what is remembered, and what is known in this run of core. */
struct self {
    struct self_memory memory;
    struct self_image running; /* zeros: the base system's programs */
    char base[LIM_NAME_BYTES]; /* their version */
    const char *image_arg;     /* of --image: this core is not the base system's */
    struct want want;          /* the wanted one; its strings live in the candidate */
    struct image image;        /* of it ... */
    bool known;                /* ... was looked at */
    bool refused, settled;     /* said once; nothing more is counted against this core */
    bool counted;
    uint64_t taken; /* boxes that the core before had handed over and that are here */
    enum self_step step;
    struct loop_timer timer;
    const char *refusal; /* why refused */
};

/* Bytes that came over the network for one manifest. */
struct spent {
    struct digest manifest; /* its payload's: revs of two topics, or of two epochs, may be alike */
    uint64_t bytes, saved;  /* in all; of them durable */
};

/* Which devices of the host are meant, as of the last look; found: by set, app and device. */
struct hot {
    bool known, listening, again;
    const struct desired *sets[2];
    uint64_t revs[2];
    struct hot_dev found[2][LIM_APPS][LIM_DEVICES];
    struct loop_fd uevents;
    struct loop_timer settle;
};

/* Which ids which app has (idrange.c). */
struct id_range {
    char app[LIM_NAME_BYTES];
    unsigned place;
};
struct id_ranges {
    unsigned n;
    struct id_range list[LIM_ID_RANGES];
};

struct uplink;
struct ctl;
struct core {
    struct loop *loop;
    struct config config;
    char libexec[256], config_path[256];
    int state_fd, run_fd, app_fd; /* folders: state_dir, run_dir, run_dir/app */
    int volumes_fd;
    int lock_fd;
    uid_t uid;
    gid_t gid;
    struct state state;
    struct store *store;
    struct cgroup_host cgroups;
    struct box_caps caps;
    char cgroup_root[LIM_NAME_BYTES + 16];
    struct cgroup_limits apps_limits, app_limits; /* of all apps together; of one that names none */
    struct cgroup_report apps_report;
    uint64_t memory_total_bytes;
    char arch[16], variant[8];

    struct set candidate, good, previous;
    struct image candidate_image[LIM_APPS], good_image[LIM_APPS];
    bool images_known;
    struct image_memo memos[LIM_APPS];
    uint64_t memo_uses;
    struct spent spent;
    struct app apps[LIM_APPS];
    struct id_ranges ids;

    struct jobs jobs;
    uint64_t progress_at_ms;
    bool has_garbage;
    bool kept_refused; /* the last collecting left the images of a set that failed, for the next try */
    struct scrub scrub;
    struct hot hot;
    struct loop_timer net_check;
    struct os os;
    struct self self;
    struct plan plan; /* the last one, for report and why */

    struct follow follow;                        /* the newest document of each topic */
    char held_why[FOLLOW_WHY];                   /* the followed one's time has not come; "": it has */
    const char *follows;                         /* the followed topic, of follow; "": none */
    uint64_t want_rev;                           /* of it, the newest seen */
    char denied_why[STATE_WHY + LIM_NAME_BYTES]; /* of the newest document that was not even judged */
    uint64_t denied_at_s;
    struct digest denied_seen[16]; /* documents refused already: retained ones come again and again */
    unsigned denied_at;

    struct event events[LIM_EVENTS];
    unsigned n_events;
    uint64_t event_seq, report_seq;
    struct logring *event_log;
    int event_pipe[2];

    struct uplink *uplink;
    struct ctl *ctl;
    unsigned n_execs; /* of exec.c */
    struct core_exit exits[2 * LIM_APPS];
    unsigned n_exits;
    struct loop_fd keeper;
    struct loop_timer wake, alive, daily, health, report;
    bool keeper_ready, has_keeper, stopping, dirty, report_dirty;
    bool bad_settings;    /* no use to start again before they are mended */
    uint64_t trust_ahead; /* the highest version that came before its turn; 0: none did */
    bool trust_waits;     /* ... and was there at the last look too */
    bool ask_again;       /* trust has changed, or could not be saved: documents may be judged otherwise */
    uint64_t follow_again_ms; /* a followed document could not be taken: not before */
    unsigned follow_fails;
    bool trust_hurt; /* there is a trust document and it cannot be read: no other takes its place by itself */
    bool ledger_dirty; /* changed in memory, within one call */
    bool unsaved;      /* the ledger could not be written: again and again until it can */
    uint64_t cores_before, started_ms, report_at_ms;
    bool report_told;            /* on this connection ... */
    struct digest report_digest; /* ... this one */
};

/* core_main.c */
/* Something changed: observe and plan after this turn, report. */
static inline void core_touch(struct core *c)
{
    c->dirty = true;
    c->report_dirty = true;
}
void core_keep(struct core *c, const char *app, const char *what, int fd); /* "app.web.pid" at the keeper */
void core_drop(struct core *c, const char *app, const char *what);
/* intake_time.c: the present time as this device takes it (now.h). text: into dst[NOW_TEXT]; returns dst. tick: the floor
 * follows a synchronised clock. */
uint64_t core_now_s(const struct core *c);
void core_now_facts(const struct core *c, struct now_facts *ret);
char *core_now_text(const struct core *c, char *dst);
void core_time_tick(struct core *c);
void core_progress(struct core *c); /* tell how far the job is, at most once in two seconds */
void core_stop(struct core *c);     /* stop apps, then end */
void core_leave(struct core *c);    /* end and leave all to the next core; apps go on */
void core_is_good(struct core *c);  /* tell the keeper that the trial is over */

/* point.c: a named point of an update at which a test may end core by SIGKILL, once (LIMPET_KILL_AT), or be
 * told of it (LIMPET_TELL); does nothing otherwise. */
void core_point(const struct core *c, const char *name);

/* confine.c */
int confine_group(struct core *c,
                  struct err *err); /* L5: keeper, core, link and jobs below one memory ceiling */
/* What all apps together may have, and what one that names nothing may have of it; written again before each start, since the group goes
 * with the last of them. */
void confine_apps(struct core *c);
/* Of the device's memory the system and the agent keep an eighth and the agent's ceiling, at most half of all. Pure. */
uint64_t confine_apps_memory(uint64_t total_bytes, uint64_t agent_bytes);
void confine_leave(struct core *c);        /* back to where the keeper was started; no group stays */
int confine_capabilities(struct err *err); /* what is never needed goes, for children too */

/* intake.c: one document from link, console or disk. source: "device", "group:NAME", "trust/N", "local".
 * Refusals are events and, where the manifest was authentic, verdicts; err tells the caller. 0 accepted or
 * known already. */
int intake_document(struct core *c, const char *source, const struct envelope *e, struct err *err);
void intake_clear(struct core *c, const char *source); /* an empty message: told, and nothing else */
void intake_turn(struct core *c); /* is something held whose time has come, or unsaved? */
void intake_save(struct core *c); /* the ledger; a failure is told and tried again */
/* The refusal that the state is about: of the followed topic, or one before it. NULL: none. */
const struct state_refused *intake_refused(const struct core *c);
int intake_load(struct core *c, struct err *err); /* at start: what was accepted before */
/* The candidate ends: durable, told, and the next plan follows from it. */
void intake_verdict(struct core *c, enum verdict v, const char *why);
int intake_confirm(struct core *c, struct err *err);  /* candidate -> good */
int intake_rollback(struct core *c, struct err *err); /* by the operator */
/* Parse and judge only (agentctl plan): into *ret. */
int intake_preview(struct core *c, const struct envelope *e, struct set *ret, struct err *err);
void set_done(struct set *s);

/* images.c, image_jobs.c */
void images_observe(struct core *c); /* fills candidate_image, good_image when they are not known */
void images_forget(struct core *c);
int images_fetch(struct core *c, enum owner owner, const struct want *w, struct err *err);
int images_install(struct core *c, enum owner owner, const struct want *w, struct err *err);
int images_collect(struct core *c, struct err *err);
const struct image *images_of(const struct core *c, const struct want *w);
void images_look(struct core *c, const struct want *w, bool verify, struct image *ret);
/* The signed release that w names, from the store; verify: by the release keys in force. Errors: NOTFOUND, DENIED (not
 * signed, another release), INVALID. */
int images_release(const struct core *c, const struct want *w, bool verify, struct release *ret,
                   struct err *err);
int images_manifest(struct core *c, const struct image *i, struct oci_manifest *ret, struct err *err);
/* What is known of this image's ways; made when it is new. Borrowed until the next call. */
struct image_memo *images_memo(struct core *c, const struct digest *manifest);
/* Only looks: NULL when nothing is known. */
const struct image_memo *images_memo_find(const struct core *c, const struct digest *manifest);
/* The pack of the image's route as the store wants it; fetch and programs are the caller's. */
void images_pack(const struct image *i, struct store_pack *ret);
/* A slow step for an image failed: remember it for the plan; what was spared by the last collecting is no longer when the disk is full. */
void images_fault(struct core *c, enum owner owner, const char *app, const struct err *err);

/* budget.c: bytes over the network for the candidate, its images, the agent's and the system's bundle together. */
void budget_open(struct core *c);     /* at start: what was spent before */
uint64_t budget_left(struct core *c); /* UINT64_MAX: no bound */
uint64_t budget_ask(struct core *c); /* the same as fetch_request wants it: 0: no bound, 1: nothing is left */
int budget_check(struct core *c, uint64_t need, struct err *err); /* DENIED: more than is left */
/* A job has taken so many bytes since it began; *told: what was counted of them (0 at its start). */
void budget_told(struct core *c, uint64_t *told, uint64_t network);
/* The same from a line "progress DONE TOTAL NETWORK"; false: it is not one. */
bool budget_line(struct core *c, uint64_t *told, const char *line);
void budget_close(struct core *c); /* a job is over: what it took is durable */

/* scrub.c */
void scrub_open(struct core *c); /* at start: where the last core stopped */
bool scrub_due(const struct core *c);
int scrub_start(struct core *c, struct err *err); /* the job */

/* os_act.c */
void os_open(struct core *c); /* at start: what is remembered */
void os_turn(struct core *c); /* after a plan: the next step for the system, if any */
#define OS_KEEPS 2
unsigned os_keep(const struct core *c, struct digest *ret); /* what must not be collected; at most OS_KEEPS */
struct cJSON *os_report(const struct core *c);              /* NULL: nothing to tell. Owner: caller */

/* devices.c */
void devices_observe(struct core *c); /* looks at the host again where something changed */
void devices_sync(struct core *c);    /* after a plan: running boxes get and lose them */
void devices_close(struct core *c);
/* What w requires and the host has not; path NULL: nothing. */
struct lack devices_lack(const struct core *c, const struct want *w);
/* Before the program of a new box runs: all that is there. */
int devices_start(struct app *a, const struct box_started *b, const struct want *w, struct err *err);
void devices_none(struct app *a);                                       /* its box has gone */
void devices_report(struct cJSON *o, struct core *c, const char *name); /* "devices" of an app */
void devices_save(struct cJSON *o, const struct app *a);                /* its part of the app's file ... */
void devices_read(const struct json_cur *o, struct app *a);             /* ... and back */

/* self_act.c, self_start.c */
/* In the base system's core, before all else: become the core that is to run (exec), or return and be it. */
void self_start(struct core *c);
int self_load(int state_fd, struct self_memory *ret, struct err *err); /* NOTFOUND: nothing is remembered */
int self_save(int state_fd, const struct self_memory *m, struct err *err);
void self_open(struct core *c);    /* at start: what is remembered, who this core is */
void self_turn(struct core *c);    /* after a plan: the next step for the agent, if any */
void self_forget(struct core *c);  /* the store changed */
void self_settled(struct core *c); /* this core ends on purpose or has stayed */
#define SELF_KEEPS 6
unsigned self_keep(struct core *c, struct digest *ret); /* what must not be collected; at most SELF_KEEPS */
struct cJSON *self_report(const struct core *c);        /* NULL: nothing to tell. Owner: caller */

/* act.c */
void act_turn(void *core);
void act_observe(struct core *c, struct observed *ret);
/* The two sets of the plan; after the operator went back to the set before, that one stands alone. NULL:
 * there is none. */
void act_candidates(const struct core *c, const struct desired **ret_candidate,
                    const struct desired **ret_good);
/* "rev 43: web: its health check failed ...": why the trial of the candidate failed. */
void act_blame(struct core *c, const struct step *s, char *dst, size_t size);

/* apps.c */
struct app *app_find(struct core *c, const char *name);
const struct want *app_want(struct core *c, const char *name); /* in the set whose boxes run now */
int app_start(struct core *c, const struct want *w, struct err *err);
void app_stop(struct app *a, const char *why, bool by_us);
void app_kill(struct app *a);
void apps_adopt(struct core *c, const int *fds, const char (*names)[80],
                unsigned n); /* after a restart of core */
void app_exit_known(struct core *c, pid_t pid, int status);
void app_save(struct app *a); /* run_dir/app/<name>.json */
bool apps_any_box(const struct core *c);
void apps_sync(struct core *c); /* after a plan: boxes whose health is to be watched are watched */

/* start.c */
/* A box whose required fields hold; else nothing is left. Owner of the fds in *ret: caller. */
int start_box(struct app *a, const struct want *w, const struct digest *manifest, struct box_started *ret,
              struct err *err);
/* One more program in it, as its user, with its environment. x: stdio is the caller's, the rest is filled in. */
int start_exec(struct app *a, const char *const *args, struct box_exec *x, struct box_entry *ret,
               struct err *err);

/* exec.c: one more program in the box of a, with a deadline for its way in. x: without its process. on_end is called once, from a later
 * turn: with err NULL and what waitpid says, or with what failed. */
struct exec;
struct exec_calls {
    uint64_t enter_ms;
    void (*on_end)(void *arg, int status, const struct err *err);
    void *arg;
};
int exec_start(struct app *a, const char *const *args, struct box_exec *x, const struct exec_calls *calls,
               struct exec **ret, struct err *err);
void exec_stop(struct exec *e); /* it is killed and on_end is not called */

/* names.c: /etc/hosts and /etc/resolv.conf of boxes */
/* Paths of this app's files, in arena; NULL: it has none (the image's stays, or the host's network asks for none). */
const char *names_hosts(struct core *c, const struct want *w, struct arena *arena);
const char *names_resolv(struct core *c, const struct want *w, struct arena *arena);
/* A CNI network may know better: the resolv.conf of a box whose program does not run yet, in place. */
int names_of_network(struct app *a, const struct box_id *box, struct err *err);
/* The shared network that a box of this app would be in; "": none. */
const char *names_network(struct core *c, const struct want *w);
/* An app came or went: the hosts files of those that share its network (all, when NULL) tell so, in place. */
void names_changed(struct core *c, const char *network);
/* resolv.conf for boxes: search and options of the host's, name servers that can be reached from there. upstream: of the
 * resolver that answers on the host's loopback; either may be "". Pure, malloc'd. */
char *names_resolv_text(const char *host, const char *upstream);

/* box_spec.c: fill spec from want and the image's config; strings go to arena. Pure but for looking up user
 * names in rootfs_fd. */
struct box_spec_in {
    const struct want *want;
    struct buf config; /* the image's config document */
    int rootfs_fd;
    const char *volumes_dir, *resolv_conf, *hosts, *cgroup_path, *hostname;
    const struct box_caps *caps;
    uint32_t first_id;                    /* of its host ids; 0: those of a box that is never started */
    const struct cgroup_limits *defaults; /* where the manifest is silent; NULL: none */
};
int box_spec_build(const struct box_spec_in *in, struct arena *arena, struct spec *ret, struct err *err);
void box_spec_oom(
    struct spec_process *p); /* apps are nothing better than others to the kernel, whatever the agent is */

/* idrange.c: 65536 host ids for each app, its own and the same at each start */
void idrange_open(struct core *c); /* at start: what was given before */
/* The first of them; written down before it is told. NOSPACE: too many apps with volumes. */
int idrange_of(struct core *c, const char *app, uint32_t *ret_first, struct err *err);
/* 1: the app is new in the list; 0: it was there; -NOSPACE. Pure. */
int idrange_add(struct id_ranges *r, const char *app, unsigned *ret_place);

/* logs.c */
int logs_open(struct app *a, uint64_t bytes, struct err *err);
void logs_watch(struct app *a);
void logs_drain(struct app *a); /* read what is left, then close */

/* probe.c */
void probe_start(struct app *a); /* arm the first probe of a new or adopted box */
void probe_stop(struct app *a);

/* events.c */
void event_add(struct core *c, const char *kind, const char *app, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void events_send(struct core *c);
void events_acked(struct core *c, uint32_t id, bool sent);
int events_open(struct core *c, struct err *err);

/* report.c */
struct cJSON *report_state(struct core *c);
/* Of what is worth telling anew: without what always moves (time, memory, counters of the scrub), which is taken out of the report. */
int report_digest(struct cJSON *report, struct digest *ret, struct err *err);
/* What keeps an image from coming, for `agentctl plan`: a line, or "". malloc'd. */
char *report_trouble(const struct core *c);
struct cJSON *report_health(struct core *c);
const char *report_phase(struct core *c);
void report_save(struct core *c); /* run_dir/state.json for agentctl */
struct cJSON *report_fields(const struct box_report *r);
void report_fields_read(const struct json_cur *o, struct box_report *ret);

/* uplink.c */
int uplink_start(struct core *c, struct err *err);
void uplink_stop(struct core *c);
bool uplink_is_up(const struct core *c);
bool uplink_is_gone(const struct core *c);
bool uplink_ask_again(struct core *c); /* for all that the broker retains for us, once more; false: not now */
const char *uplink_text(const struct core *c); /* "online", "offline: ..." */
/* topic: below F/d/DEV/. id: for the ack, 0 none. false: not sent. */
bool uplink_publish(struct core *c, const char *topic, const char *json, unsigned qos, bool retain,
                    uint32_t expiry_s, uint32_t id);

/* ctl.c */
/* The successor of core asks for the fds of our boxes: give them and end, leaving the boxes alone. DENIED
 * while a keeper is there. */
int core_hand_over(struct core *c, int sock_fd, struct err *err);
int ctl_open(struct core *c, struct err *err);
void ctl_close(struct core *c);
/* The last n lines of an app's log as text; malloc'd. */
char *ctl_log_text(struct core *c, const char *app, uint64_t n);
#endif
