/* keeper_client.h - core's side of the keeper (keeper.h has the words): what it keeps for the next core,
 * what it reported of ended processes. Only keeper_client.c writes struct keeper_client. */
#ifndef AGENT_KEEPER_CLIENT_H
#define AGENT_KEEPER_CLIENT_H
#include "agent/keeper/keeper.h"
#include "platform/limits.h"
#include "platform/loop.h"

#include <sys/types.h>

struct core;

struct keeper_exit { /* of a process of a core before */
    pid_t pid;
    int status;
};
/* What becomes of its words. */
struct keeper_client_calls {
    void (*on_ready)(struct core *c); /* all that was kept is here; cores_before is known */
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
    unsigned n_kept; /* until on_ready has returned */
    int kept[LIM_STORED_FDS];
    char kept_names[LIM_STORED_FDS][KEEPER_NAME_BYTES];
};

void keeper_client_look(struct core *c); /* is there one? Before all else */
/* Hear it from now on; without one on_ready follows from keeper_client_alone. Errors: of loop_fd_add. */
NODISCARD int keeper_client_open(struct core *c, const struct keeper_client_calls *calls, struct err *err);
void keeper_client_alone(struct core *c);
/* A word to it, with fd or -1. Nothing without a keeper. */
void keeper_client_say(struct core *c, const char *text, int fd);
/* "app.web.pid": kept for the next core; fd < 0: nothing. */
void keeper_client_keep(struct core *c, const char *app, const char *what, int fd);
/* It is over: nothing of that name is kept any more. */
void keeper_client_drop(struct core *c, const char *app, const char *what);
/* The same from a core before: the caller's duplicate, -1: there is none. Until on_ready has returned. */
int keeper_client_kept(const struct core *c, const char *app, const char *what);
/* How a process of a core before ended; false: nobody has said. */
bool keeper_client_exit(const struct core *c, pid_t pid, int *ret_status);
/* The trial is over; this core ends for the next one. */
void keeper_client_good(struct core *c);
void keeper_client_leave(struct core *c);

/* Between two cores, when the keeper was killed. Give the fds of our boxes to the one that asks at
 * sock_fd, and end. Errors: DENIED: this one has a keeper. */
NODISCARD int keeper_client_hand_over(struct core *c, int sock_fd, struct err *err);
/* Ask the core that holds the lock for them. One that stands still gives nothing, and is not waited for:
 * the lock decides. */
void keeper_client_ask(struct core *c);
#endif
