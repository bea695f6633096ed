#include "agent/turn/commands.h"

#include "agent/boxes/log_text.h"
#include "agent/core.h"

static char *answer_status(struct core *c, const struct said_command *k, const char **ret_error)
{
    struct cJSON *o = report_state(c);
    char *text = json_print(o, false);

    (void)k;
    (void)ret_error;
    (void)json_free(o);
    return text;
}

static char *answer_logs(struct core *c, const struct said_command *k, const char **ret_error)
{
    char *text = k->app[0] ? log_text(c, k->app, k->lines) : NULL;

    *ret_error = text ? NULL : "there is no such app";
    return text;
}

static char *answer_events(struct core *c, const struct said_command *k, const char **ret_error)
{
    char *text = log_text(c, NULL, k->lines);

    *ret_error = text ? NULL : "the events cannot be read";
    return text;
}

char *commands_answer(struct core *c, const struct said_command *k, const char **ret_error)
{
    static const struct {
        const char *verb;
        char *(*answer)(struct core *c, const struct said_command *k, const char **ret_error);
    } verbs[] = {{"status", answer_status}, {"logs", answer_logs}, {"events", answer_events}};

    *ret_error = NULL;
    for (unsigned i = 0; i < COUNT_OF(verbs); i++)
        if (strcmp(verbs[i].verb, k->verb) == 0)
            return verbs[i].answer(c, k, ret_error);
    *ret_error = "unknown command: status, logs, events";
    return NULL;
}
