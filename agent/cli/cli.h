/* cli.h - agentctl: one table of verbs; each asks core over the control socket, or reads what core saved when
 * it is not running. At most 79 columns, no cursor control, colour only on a TTY that supports it. Exit
 * codes: 0 success, 1 failed, 2 usage, 3 not converged or not healthy, 4 the agent is not running, 6 denied,
 * 125-127 exec as docker. */
#ifndef AGENT_CLI_H
#define AGENT_CLI_H
#include "platform/err.h"
#include "platform/json.h"
#include "platform/term.h"

enum {
    CLI_OK,
    CLI_FAILED,
    CLI_USAGE,
    CLI_NOT_CONVERGED,
    CLI_AGENT_DOWN,
    CLI_DENIED = 6,
    CLI_EXEC_FAILED = 125
};

struct cli {
    char run_dir[256], state_dir[256];
    char bad_settings[240]; /* why the agent cannot start with its settings; "": they are readable */
    bool json, color, follow, tty;
    uint64_t lines;
    int argc; /* arguments after the verb and its options */
    char **argv;
};

/* cli_ask.c: send one request of words (and a document) to core. *ret: the whole answer, NUL-terminated,
 * malloc'd. Errors: NOTFOUND (no agent answers), else core's error. */
NODISCARD int cli_ask(const struct cli *c, const char *const *words, struct buf doc, char **ret,
                      struct err *err);
/* Its two halves: *ret_sock can be polled for the answer. fds: 3 for exec, or NULL. */
NODISCARD int cli_send(const struct cli *c, const char *const *words, struct buf doc, const int *fds,
                       int *ret_sock, struct err *err);
NODISCARD int cli_receive(int sock, char **ret, struct err *err);
/* Core's JSON answer to a word, or what it last saved at path if it is not running or not answering
 * (*ret_saved). */
NODISCARD int cli_ask_or_read(const struct cli *c, const char *word, const char *path,
                              const struct json_limits *limits, struct json_cur *ret, bool *ret_saved,
                              struct err *err);
/* Get the report this way. */
NODISCARD int cli_report(const struct cli *c, struct json_cur *ret, bool *ret_saved, struct err *err);
NODISCARD int cli_fail(const struct cli *c, const struct err *err); /* prints, returns the exit code */

/* cli_view.c */
int cli_status(const struct cli *c);
int cli_ps(const struct cli *c);
/* Members of a report; otherwise: the value if there is none of this type. */
const char *cli_text(const struct json_cur *o, const char *key, const char *otherwise);
uint64_t cli_number(const struct json_cur *o, const char *key, uint64_t otherwise);
char *cli_size(uint64_t bytes, char dst[16]); /* "21.4M" */
/* head and text; on a terminal wrapped at spaces so that no line is wider than CLI_COLUMNS (for a pipe, grep
 * wants whole lines). */
#define CLI_COLUMNS 79
void cli_wrap(const char *head, const char *text);

/* cli_past.c */
int cli_history(const struct cli *c);
int cli_why(const struct cli *c);
struct logring;
/* cli_log.c */
NODISCARD int cli_open_ring(const struct cli *c, const char *name, struct logring **ret, struct err *err);
int cli_logs(const struct cli *c);
int cli_events(const struct cli *c);
/* cli_paste.c: read an envelope file ("-": standard input), JSON or numbered lines, and pack it for core.
 * malloc'd. */
NODISCARD int cli_read_envelope(const char *path, uint8_t **ret_packed, size_t *ret_len, struct err *err);
/* cli_enter.c */
int cli_enter(const struct cli *c);
/* cli_do.c */
int cli_plan(const struct cli *c);
int cli_apply(const struct cli *c);
int cli_diff(const struct cli *c);
int cli_rollback(const struct cli *c);
#endif
