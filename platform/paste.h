/* paste.h - a text as numbered lines that survive a terminal: each at most PASTE_COLUMNS wide, with its
 * number and a check, so that a lost or altered line is identified by its number. The first line says how
 * many there are:
 *   limpet-lines 23
 *   1 5a0c {"payloadType":...
 * Pure. */
#ifndef PLATFORM_PASTE_H
#define PLATFORM_PASTE_H
#include "platform/err.h"
#include "platform/mem.h"

#define PASTE_COLUMNS 76
#define PASTE_HEAD    "limpet-lines "

/* text has no control characters and no blanks (an envelope). Owner: caller. */
char *paste_fold(struct buf text);

struct paste {            /* zeroed to begin with; text is owned: free it */
    unsigned lines, have; /* lines 0: the first one has not come */
    char *text;
    size_t len;
};
/* One line, without its end; blanks around it and empty lines are passed over. 1 when it was the last one, 0
 * more are to come. Errors: INVALID (which line is missing or damaged). */
NODISCARD int paste_take(struct paste *p, const char *line, struct err *err);
/* A whole file of lines. *ret: its text, owner: caller. Errors: INVALID. */
NODISCARD int paste_unfold(const char *lines, char **ret, size_t *ret_len, struct err *err);
/* Does a text begin like numbered lines? */
bool paste_is(const char *text);
#endif
