/* core.h - agentd-core: what belongs to what. Each module has its own header and its own struct, which only
 * its own file writes; struct core holds them all. What each does: README.md.
 *
 * Data flows one way: an event -> core_touch -> after the turn act observes, plans and starts the next
 * step. */
#ifndef AGENT_CORE_H
#define AGENT_CORE_H
#include "agent/base/confine.h"
#include "agent/base/events.h"
#include "agent/base/idrange.h"
#include "agent/base/jobs.h"
#include "agent/base/keeper_client.h"
#include "agent/base/sets.h"
#include "agent/base/state.h"
#include "agent/boxes/adopt.h"
#include "agent/boxes/app_exec.h"
#include "agent/boxes/app_table.h"
#include "agent/boxes/devices.h"
#include "agent/images/budget.h"
#include "agent/images/images.h"
#include "agent/images/scrub_job.h"
#include "agent/manifest/config.h"
#include "agent/turn/act.h"
#include "agent/turn/intake.h"
#include "agent/turn/publish.h"
#include "agent/turn/report.h"
#include "agent/update/os_act.h"
#include "agent/update/self_act.h"
#include "ota/store/store.h"
#include "platform/loop.h"
#include "runtime/box/box.h"

struct uplink;
struct ctl;

struct core {
    /* Set at start. */
    struct loop *loop;
    struct config config;
    char libexec[256], config_path[256];
    int state_fd, run_fd, app_fd; /* directories: state_dir, run_dir, run_dir/app */
    int volumes_fd;
    int lock_fd;
    uid_t uid; /* of link and fetch */
    gid_t gid;
    struct cgroup_host cgroups;
    struct box_caps caps;
    char cgroup_root[LIM_NAME_BYTES + 16];
    uint64_t memory_total_bytes, started_ms;
    char arch[16], variant[8];

    /* Changed since the last turn: something the plan depends on, or the report. What is derived from the
     * store or from the sets is derived again when its number here has changed. */
    bool dirty, report_dirty, stopping;
    struct core_changes {
        uint64_t store, sets;
    } changes;

    /* What is wanted ... */
    struct state state;
    struct intake intake;
    struct sets sets;
    /* ... what exists ... */
    struct store *store;
    struct images images;
    struct spent spent;
    struct scrub scrub;
    struct app apps[LIM_APPS];
    struct adopt adopt;
    struct confine confine;
    struct id_ranges ids;
    struct hot hot;
    struct execs execs;
    /* ... what is being done ... */
    struct act act;
    struct jobs jobs;
    struct os os;
    struct self self;
    /* ... and who is told. */
    struct events events;
    struct report report;
    struct publish publish;
    struct uplink *uplink; /* NULL: no broker is configured */
    struct ctl *ctl;
    struct keeper_client keeper;
    struct loop_timer alive, daily;
};

/* Something changed: observe and plan after this turn, report. */
static inline void core_touch(struct core *c)
{
    c->dirty = true;
    c->report_dirty = true;
}
/* Something to report changed, but nothing the plan depends on. */
static inline void core_tell(struct core *c)
{
    c->report_dirty = true;
}
/* The contents of the store changed. */
static inline void core_store_changed(struct core *c)
{
    c->changes.store++;
    core_touch(c);
}
/* The sets, or the keys that their images are judged by, changed. */
static inline void core_sets_changed(struct core *c)
{
    c->changes.sets++;
    core_touch(c);
}
#endif
