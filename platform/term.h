/* term.h - all that agentctl and fleetctl print goes through here: what devices and apps said cannot drive
 * the terminal. A byte or character that could becomes "?": C0, DEL, C1, marks of direction and without
 * width, and invalid UTF-8. Characters beyond ASCII pass to a file or pipe, and to a terminal whose locale
 * is UTF-8: an 8-bit console takes some of their bytes for C1. */
#ifndef PLATFORM_TERM_H
#define PLATFORM_TERM_H
#include <stdarg.h>
#include <stdio.h>

#include "platform/mem.h"

enum term_color { TERM_NONE, TERM_PLAIN, TERM_GOOD, TERM_BAD, TERM_BUSY, TERM_DIM, TERM_COLOR_COUNT_ };
/* The escape of a colour (TERM_PLAIN ends one), for %s of term_print: it alone passes there, known by its
 * address. on false: empty. */
const char *term_color(enum term_color c, bool on);

/* printf with the conversions %s %c %d %i %u %x %% and the lengths l, ll, z. Width and precision of %s count
 * characters. fmt is ours and goes out as it is; each text for %s goes out clean, on one line. */
void term_print(FILE *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* term_vprint: the same with its arguments in a va_list. */
void term_vprint(FILE *to, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Many lines of a stranger's: newline and tab pass too. */
void term_lines(FILE *to, struct buf text);
/* JSON: what is not printable ASCII, newline or tab becomes \uXXXX, what is no UTF-8 \ufffd. Ends with a
 * newline. */
void term_json(FILE *to, const char *json);

/* How many bytes at p[0..len), len > 0, are one character; *ret: which. 0: they are no UTF-8. Pure. */
unsigned term_decode(const uint8_t *p, size_t len, uint32_t *ret);
/* Would this character be harmless on a terminal that knows it? Pure. */
bool term_is_clean(uint32_t c);
/* Characters of a text as term_print counts them. Pure. */
size_t term_width(const char *text);
#endif
