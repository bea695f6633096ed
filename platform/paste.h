/* paste.h - text as numbered lines that survive a terminal: each at most PASTE_COLUMNS wide, with its number
 * and a check, so that a lost or altered line is identified by its number. The first line gives their
 * number:
 *   limpet-lines 23
 *   1 5a0c {"payloadType":...
 * Pure. */
#ifndef PLATFORM_PASTE_H
#define PLATFORM_PASTE_H
#include "platform/err.h"
#include "platform/mem.h"

#define PASTE_COLUMNS 76
#define PASTE_HEAD    "limpet-lines "

/* text has no control characters and no spaces (an envelope). Owner: caller. */
char *paste_fold(struct buf text);

struct paste {            /* start zeroed; text is owned: free it */
    unsigned lines, have; /* lines 0: the first one has not arrived */
    char *text;
    size_t len;
};
/* Take one line, without its end; surrounding spaces and empty lines are skipped. 1 if it was the last one, 0
 * if more follow. Errors: INVALID (which line is missing or damaged). */
NODISCARD int paste_take(struct paste *p, const char *line, struct err *err);
/* A whole file of lines. *ret: its text, owner: caller. Errors: INVALID. */
NODISCARD int paste_unfold(const char *lines, char **ret, size_t *ret_len, struct err *err);
/* Does a text start like numbered lines? */
bool paste_is(const char *text);
#endif
