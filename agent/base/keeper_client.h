/* keeper_client.h - core's side of the keeper (protocol: keeper.h): what it keeps for the next core, and the
 * ended processes that it reported. Only keeper_client.c writes struct keeper_client. */
#ifndef AGENT_KEEPER_CLIENT_H
#define AGENT_KEEPER_CLIENT_H
#include "agent/keeper/keeper.h"
#include "platform/limits.h"
#include "platform/loop.h"

#include <sys/types.h>

struct core;

struct keeper_exit { /* of a process of a previous core */
    pid_t pid;
    int status;
};
/* Callbacks for its messages. */
struct keeper_client_calls {
    void (*on_ready)(struct core *c); /* all that was kept has arrived; cores_before is known */
    void (*on_exit)(struct core *c, pid_t pid, int status);
};
struct keeper_client {
    bool is_there, ready;
    uint64_t cores_before;
    uint64_t pace_ms; /* alive is due at least this often */
    struct loop_fd sock;
    struct keeper_client_calls calls;
    struct keeper_exit exits[2 * LIM_APPS]; /* the newest */
    unsigned n_exits;
    unsigned n_kept; /* valid until on_ready has returned */
    int kept[LIM_STORED_FDS];
    char kept_names[LIM_STORED_FDS][KEEPER_NAME_BYTES];
};

void keeper_client_look(struct core *c); /* is there a keeper? Call before anything else */
/* Receive its messages from now on; without a keeper keeper_client_alone calls on_ready. Errors: of
 * loop_fd_add. */
NODISCARD int keeper_client_open(struct core *c, const struct keeper_client_calls *calls, struct err *err);
void keeper_client_alone(struct core *c);
/* Send it a message, with fd or -1. No-op without a keeper. */
void keeper_client_say(struct core *c, const char *text, int fd);
/* Let it keep fd as "app.web.pid" for the next core; fd < 0: no-op. */
void keeper_client_keep(struct core *c, const char *app, const char *what, int fd);
/* Let it drop the fd of that name. */
void keeper_client_drop(struct core *c, const char *app, const char *what);
/* The same fd from a previous core: a duplicate for the caller, -1: none. Until on_ready has returned. */
int keeper_client_kept(const struct core *c, const char *app, const char *what);
/* How a process of a previous core ended; false: not reported. */
bool keeper_client_exit(const struct core *c, pid_t pid, int *ret_status);
/* The trial is over; this core exits for the next one. */
void keeper_client_good(struct core *c);
void keeper_client_leave(struct core *c);

/* Between two cores, after the keeper was killed: give our boxes' fds to the one that asks at sock_fd, and
 * exit. Errors: DENIED: this core has a keeper. */
NODISCARD int keeper_client_hand_over(struct core *c, int sock_fd, struct err *err);
/* Ask the core that holds the lock for them. A core that hangs gives nothing, and is not waited for: the lock
 * decides. */
void keeper_client_ask(struct core *c);
#endif
