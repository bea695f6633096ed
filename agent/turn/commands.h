/* commands.h - commands from the broker and their answers. */
#ifndef AGENT_COMMANDS_H
#define AGENT_COMMANDS_H
#include "agent/turn/uplink_said.h"

struct core;

/* malloc'd; NULL with *ret_error (static): failed. */
char *commands_answer(struct core *c, const struct said_command *k, const char **ret_error);
#endif
