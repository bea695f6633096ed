/* regex.h - does an extended regular expression match an id (delete --regex)? libc's takes 40 KB in a static
 * program; this takes a twentieth, in time linear in the text. POSIX ERE in the C locale; no back references,
 * no [.x.] and [=x=]. Pure. */
#ifndef RUNTIME_REGEX_H
#define RUNTIME_REGEX_H
#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"

#define REGEX_STEPS 200

struct regex_step {
    enum regex_op { REGEX_SET, REGEX_SPLIT, REGEX_JUMP, REGEX_BEGIN, REGEX_END, REGEX_FOUND } op;
    int16_t a, b;    /* SPLIT: both targets, JUMP: a; relative to this step */
    uint8_t set[32]; /* SET: the characters that match */
};
struct regex {
    struct regex_step step[REGEX_STEPS];
    unsigned n;
    const char *at; /* while compiling */
};
/* INVALID, with what is wrong in the expression. */
NODISCARD int regex_compile(struct regex *m, const char *expression, struct err *err);
/* Matches anywhere in text, as regexec(3). */
bool regex_text(const struct regex *m, const char *text);
#endif
