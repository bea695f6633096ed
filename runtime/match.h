/* match.h - does an extended regular expression match an id (delete --regex)? libc's takes 40 KB of a static program; this
 * takes a twentieth, in time linear in the text. POSIX ERE in the C locale; no back references, no [.x.] and [=x=]. Pure. */
#ifndef RUNTIME_MATCH_H
#define RUNTIME_MATCH_H
#include <stdbool.h>
#include <stdint.h>

#include "platform/err.h"

#define MATCH_STEPS 200

struct match_step {
    enum match_op { MATCH_SET, MATCH_SPLIT, MATCH_JUMP, MATCH_BEGIN, MATCH_END, MATCH_FOUND } op;
    int16_t a, b;    /* SPLIT: both ways, JUMP: a; counted from this step */
    uint8_t set[32]; /* SET: the characters that pass */
};
struct match {
    struct match_step step[MATCH_STEPS];
    unsigned n;
    const char *at; /* while it is compiled */
};
/* INVALID, with what is wrong with the expression. */
int match_compile(struct match *m, const char *expression, struct err *err);
/* Somewhere in text, as regexec(3) looks. */
bool match_text(const struct match *m, const char *text);
#endif
