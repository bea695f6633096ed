/* args.h - the command line: one table of options, one of verbs; a verb names the options that it takes.
 * Pure but for the printing of help. */
#ifndef FLEET_ARGS_H
#define FLEET_ARGS_H
#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"

/* How fleetctl ends: the table of the man page. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,    /* and `plan --exit-code`: there is something to change */
    EXIT_UNREADY = 3,  /* not converged, rejected, rolled back */
    EXIT_CONFLICT = 4, /* another operator was faster */
    EXIT_OFFLINE = 5,  /* broker, registry or device out of reach */
    EXIT_REFUSED = 6,  /* ACL, policy, signature */
    EXIT_LATE = 124,   /* --timeout */
};
/* Of a verb that failed. */
int args_exit_of(const struct err *err);

enum opt {
    OPT_DIR,
    OPT_HELP,
    OPT_OUT, /* before OPT_OUTPUT, whose letter it has for verbs that take it */
    OPT_OUTPUT,
    OPT_NO_COLOR,
    OPT_FILE,
    OPT_FOLLOW,
    OPT_DEVICE,
    OPT_GROUP,
    OPT_WAIT,
    OPT_TIMEOUT,
    OPT_DRY_RUN,
    OPT_EXIT_CODE,
    OPT_FLEET,
    OPT_BROKER,
    OPT_HOST,
    OPT_NAME,
    OPT_VERSION,
    OPT_COUNTER,
    OPT_SOURCE,
    OPT_STATE_DIR,
    OPT_RUN_DIR,
    OPT_LINES,
    OPT_FOR,
    OPT_EXPECT_REV,
    OPT_SETTLE,
    OPT_EXPIRES,
    OPT_BY,
    OPT_CA,
    OPT_AUTH,
    OPT_KEEP,
    OPT_OFFLINE,
    OPT_FROM,
    OPT_TO,
    OPT_CODEC,
    OPT_NO_PACKS,
    OPT_EXPLAIN,
    OPT_OS,
    OPT_RETRY,
    OPT_REV,
    OPT_CONFIRM,
    OPT_PAST,
    OPT_COUNT_
};
#define OPT_BIT(o) (1ULL << (o))
/* Every verb takes these. */
#define OPTS_COMMON (OPT_BIT(OPT_DIR) | OPT_BIT(OPT_HELP) | OPT_BIT(OPT_OUTPUT) | OPT_BIT(OPT_NO_COLOR))

#define ARGS_MAX 64
struct args {
    struct {
        enum opt opt;
        const char *val; /* NULL: a switch */
    } given[ARGS_MAX];
    unsigned n_given;
    const char *pos[ARGS_MAX];
    unsigned n_pos;
};

struct ctx;
struct verb {
    const char *name, *usage, *summary, *examples;
    uint64_t opts; /* OPT_BITs beside OPTS_COMMON */
    unsigned min_pos, max_pos;
    bool bare; /* runs without a fleet directory */
    /* An exit_code, or -kind with err filled. ctx is NULL for a bare verb. */
    int (*run)(struct ctx *ctx, const struct args *args, struct err *err);
};

/* Sort argv[0..argc) into options and positionals. Errors: USAGE. */
NODISCARD int args_parse(const struct verb *v, int argc, char **argv, struct args *ret, struct err *err);
/* Was the option given? */
bool args_has(const struct args *a, enum opt o);
/* The last value given, or otherwise. */
const char *args_str(const struct args *a, enum opt o, const char *otherwise);
/* All values of a repeated option, at most max; returns how many. */
unsigned args_all(const struct args *a, enum opt o, const char **dst, unsigned max);
/* A number within [min,max]; *ret keeps what it holds when the option is absent. Errors: USAGE. */
NODISCARD int args_u64(const struct args *a, enum opt o, uint64_t min, uint64_t max, uint64_t *ret,
                       struct err *err);
/* A duration ("90s", "5m", "2h", "30d", plain seconds), in ms. Errors: USAGE. */
NODISCARD int args_ms(const struct args *a, enum opt o, uint64_t *ret_ms, struct err *err);
/* The same of any text. Errors: USAGE. */
NODISCARD int args_duration_ms(const char *text, uint64_t *ret_ms, struct err *err);

/* The verb of this name, NULL when there is none. */
const struct verb *args_verb_find(const struct verb *verbs, unsigned n, const char *name);
/* The name nearest to a mistyped one, NULL when none is near. */
const char *args_verb_guess(const struct verb *verbs, unsigned n, const char *name);
/* args_help_verb prints one verb with its options, args_help_all the list of verbs; to stdout. */
void args_help_verb(const struct verb *v);
void args_help_all(const struct verb *verbs, unsigned n);
#endif
