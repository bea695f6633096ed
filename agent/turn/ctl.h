/* ctl.h - core's side of the control socket; the protocol is in ctl_words.h. */
#ifndef AGENT_CTL_H
#define AGENT_CTL_H
#include "platform/err.h"

struct core;
struct ctl;

/* Listen on it. Errors: INVALID (the path is too long), IO. */
NODISCARD int ctl_open(struct core *c, struct err *err);
/* Disconnect all clients and remove the socket. */
void ctl_close(struct core *c);
#endif
