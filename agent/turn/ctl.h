/* ctl.h - core's side of the control socket; its words are ctl_words.h. */
#ifndef AGENT_CTL_H
#define AGENT_CTL_H
#include "platform/err.h"

struct core;
struct ctl;

/* Listen there. Errors: INVALID (the path is too long), IO. */
NODISCARD int ctl_open(struct core *c, struct err *err);
/* Every client is left, and the socket goes. */
void ctl_close(struct core *c);
#endif
