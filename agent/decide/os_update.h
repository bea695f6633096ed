/* os_update.h - the device's own system: what a manifest's "os" asks, how far it has got, what to do next.
 * The update itself is done by another program (RAUC, SWUpdate); the boot loader falls back when nothing
 * confirms. Pure. */
#ifndef AGENT_OS_UPDATE_H
#define AGENT_OS_UPDATE_H
#include "agent/manifest/manifest.h"

#define OS_SLOT_BYTES 64 /* "A", "PARTUUID=..." */

/* What is remembered of the last bundle, in state_dir/state/os. */
enum os_phase {
    OS_NONE,       /* not started */
    OS_INSTALLING, /* the updater was started */
    OS_INSTALLED,  /* it reported success; the next boot is into the new system */
    OS_GOOD,       /* the new system is running and confirmed */
    OS_FAILED,     /* it failed: this bundle is not tried again */
    OS_PHASE_COUNT_
};
/* As reported and logged; static, "?" for none of them. */
const char *os_phase_name(enum os_phase p);

struct os_memory {
    enum os_phase phase;
    struct digest bundle;
    char version[LIM_NAME_BYTES];
    char release[LIM_NAME_BYTES]; /* its name and ... */
    uint64_t counter;             /* ... counter, which is the floor once the system is good */
    char boot_id[40];             /* boot that installed it */
    char slot[OS_SLOT_BYTES];     /* booted at that time */
    bool was_online;              /* the broker was connected before: the new system must connect too */
    uint64_t trial_starts;        /* starts of core in the new system, not yet confirmed */
    char why[200];
};

struct os_facts {
    const struct want_os *want; /* NULL: the manifest asks for none */
    const struct os_memory *memory;
    bool has_updater;    /* an updater is available */
    bool converged;      /* the apps are as the manifest asks and nothing else is to do */
    bool held;           /* the bundle is present and verified */
    bool rebooted;       /* since it was installed */
    bool slot_known;     /* the booted slot is known ... */
    bool slot_changed;   /* ... and is not the one it was installed from */
    bool healthy;        /* apps are good, and the broker is connected if it was before */
    bool trial_over;     /* the time limit to become healthy has passed */
    uint64_t healthy_ms; /* how long without interruption */
    uint64_t probation_ms;
    /* For the plan, which determines converged and healthy itself (plan_updates.c). */
    bool online;               /* the broker is connected if it was before */
    bool refused;              /* the missing updater has been reported */
    bool revert_reboot;        /* the old system must be booted */
    bool can_reboot;           /* this device has a command for it */
    uint64_t again_ms;         /* the last step failed: retry not before */
    uint64_t turn_ms;          /* earliest time for this device to download */
    uint64_t reboot_ms;        /* a reboot was requested: retry then */
    uint64_t healthy_since_ms; /* 0: not healthy */
};
#define OS_TRIAL_STARTS 5 /* starts of core without confirmation: the system is not stable */

enum os_step {
    OS_NOTHING,
    OS_FETCH,
    OS_INSTALL,
    OS_REBOOT,    /* into the new system */
    OS_LOOK,      /* ask the updater which slot is booted */
    OS_CONFIRM,   /* mark it good */
    OS_FELL_BACK, /* the boot loader went back to the old one on its own: record it */
    OS_REVERT,    /* mark it bad, reboot into the old one */
    OS_REFUSE,    /* no updater on this device */
    OS_STEP_COUNT_
};
/* As reported and logged; static, "?" for none of them. */
const char *os_step_name(enum os_step s);
enum os_step os_decide(const struct os_facts *f);
/* Is the memory about this bundle? */
bool os_is_about(const struct os_memory *m, const struct want_os *w);

/* The JSON form of the memory. */
char *os_memory_build(const struct os_memory *m); /* malloc'd */
NODISCARD int os_memory_parse(struct buf json, struct os_memory *ret, struct err *err);
/* "booted" of `rauc status --output-format=json`, into dst. Errors: INVALID. */
NODISCARD int os_rauc_slot(struct buf json, char *dst, size_t size, struct err *err);
/* An updater's error message: its own error line, else its last line. Modifies out. */
const char *os_updater_complaint(char *out);
/* The value of root= in a kernel command line, for updaters that do not report the slot; false: none. */
bool os_cmdline_root(const char *cmdline, char *dst, size_t size);
#endif
