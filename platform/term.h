/* term.h - all output of agentctl and fleetctl goes through here: text from devices and apps cannot control
 * the terminal. A byte or character that could becomes "?": C0, DEL, C1, directional and zero-width
 * characters, and invalid UTF-8. Non-ASCII characters are passed to a file or pipe, and to a terminal whose
 * locale is UTF-8: an 8-bit console takes some of their bytes for C1. */
#ifndef PLATFORM_TERM_H
#define PLATFORM_TERM_H
#include <stdarg.h>
#include <stdio.h>

#include "platform/mem.h"

enum term_color { TERM_NONE, TERM_PLAIN, TERM_GOOD, TERM_BAD, TERM_BUSY, TERM_DIM, TERM_COLOR_COUNT_ };
/* The escape sequence of a colour (TERM_PLAIN ends one), for %s of term_print: the only one that is let
 * through, recognised by its address. on false: empty. */
const char *term_color(enum term_color c, bool on);

/* printf with the conversions %s %c %d %i %u %x %% and the lengths l, ll, z. Width and precision of %s count
 * characters. fmt is ours and printed unchanged; each text for %s is sanitised, on one line. */
void term_print(FILE *to, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* term_vprint: the same with its arguments in a va_list. */
void term_vprint(FILE *to, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Untrusted multi-line text: newline and tab are kept too. */
void term_lines(FILE *to, struct buf text);
/* JSON: anything but printable ASCII, newline or tab becomes \uXXXX, invalid UTF-8 \ufffd. Ends with a
 * newline. */
void term_json(FILE *to, const char *json);

/* Length in bytes of the character at p[0..len), len > 0; *ret: the character. 0: invalid UTF-8. Pure. */
unsigned term_decode(const uint8_t *p, size_t len, uint32_t *ret);
/* Is this character harmless on a terminal that knows it? Pure. */
bool term_is_clean(uint32_t c);
/* Width of a text in characters, as term_print counts them. Pure. */
size_t term_width(const char *text);
#endif
