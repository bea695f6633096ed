/* devices.h - host devices that come and go in running boxes. Only devices.c writes struct hot. */
#ifndef AGENT_DEVICES_H
#define AGENT_DEVICES_H
#include "agent/boxes/app_table.h"

/* Which devices of the host matched at the last scan; found: by set, app and device. */
struct hot {
    bool known, listening, again;
    const struct desired *sets[2];
    uint64_t seen_sets; /* at this change number */
    struct hot_dev found[2][LIM_APPS][LIM_DEVICES];
    struct loop_fd uevents;
    struct loop_timer settle;
};

void devices_observe(struct core *c); /* scan the host again if something changed */
void devices_sync(struct core *c);    /* after a plan: running boxes gain and lose them */
void devices_close(struct core *c);   /* stop listening to uevents */
/* The first device that w requires and the host lacks; path NULL: none. */
struct lack devices_lack(const struct core *c, const struct want *w);
/* Before the program of a new box runs: provide all that are present. Errors: those of a required one that
 * cannot be provided. */
NODISCARD int devices_start(struct app *a, const struct box_started *b, const struct want *w,
                            struct err *err);
/* "devices" of an app, for the report. */
void devices_report(struct cJSON *o, struct core *c, const char *name);
#endif
