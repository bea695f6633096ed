/* seccomp_judge.c - what a compiled default filter answers, call by call, as text. Linked with
 * runtime/seccomp/seccomp.c as another architecture has it; TARGET_ARCH: that one's number.
 *   seccomp-judge <CALLS    lines "allow|deny|check NUMBER NAME" of seccomp.list; fails when the filter says
 *                           something else */
#include <errno.h>

#include "tests/unit/bpf_run.h"

#define NUMBERS 0xf0010     /* ARM has a second block up to 0xf0005 */
#define OTHER   0x40000000u /* x86-64: the numbers of x32 */

extern const struct sock_filter seccomp_default[];
extern const unsigned short seccomp_default_len;

static struct {
    char what, name[63];
} calls[NUMBERS];

static uint32_t ask(uint32_t nr, uint32_t arch, unsigned arg, uint32_t value)
{
    struct seccomp_data d = {.nr = (int)nr, .arch = arch};

    d.args[arg] = value;
    return bpf_run(seccomp_default, seccomp_default_len, &d, NULL);
}

static const char *text(uint32_t answer)
{
    static char t[32];

    if (answer == SECCOMP_RET_ALLOW)
        return "allow";
    if (answer == SECCOMP_RET_KILL_PROCESS)
        return "kill";
    (void)snprintf(t, sizeof t, "%s %u",
                   (answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO ? "errno" : "action",
                   answer & SECCOMP_RET_DATA);
    return t;
}

/* Values that a rule may look for: each bit, small numbers, requests of terminals, what personality(2) asks
 * with. */
static uint32_t probe(unsigned i)
{
    static const uint32_t more[] = {0x5401, 0x5412, 0x5413, 0x541c, 0x541d, 0xfffffffe, 0xffffffff};

    return i < 64 ? i : i < 90 ? 1u << (i - 58) : more[i - 90];
}
#define PROBES 97

/* What fewer values get stands first, with them; then what all others get. False: the argument does not
 * matter. */
static int by_argument(uint32_t nr, unsigned arg)
{
    uint32_t first = ask(nr, TARGET_ARCH, arg, 0), second = first, few;
    unsigned n = 0;

    for (unsigned i = 0; i < PROBES; i++) {
        uint32_t answer = ask(nr, TARGET_ARCH, arg, probe(i));
        second = answer != first ? answer : second;
        n += answer != first;
    }
    if (n == 0)
        return 0;
    few = n > PROBES / 2 ? first : second;
    printf(" arg%u", arg);
    for (unsigned i = 0; i < PROBES; i++)
        if (ask(nr, TARGET_ARCH, arg, probe(i)) == few)
            printf(" 0x%x", probe(i));
    printf(": %s;", text(few));
    printf(" else: %s\n", text(few == first ? second : first));
    return 1;
}

static void say(uint32_t nr)
{
    int told = 0;

    printf("%u %s", nr, calls[nr].name);
    for (unsigned arg = 0; arg < 6 && !told; arg++)
        told = by_argument(nr, arg);
    if (!told)
        printf(": %s\n", text(ask(nr, TARGET_ARCH, 0, 0)));
}

int main(void)
{
    const uint32_t none = SECCOMP_RET_ERRNO | ENOSYS;
    char what[16], name[63];
    unsigned nr, bad = 0, n = 0;

    for (; scanf("%15s %u %62s", what, &nr, name) == 3 && nr < NUMBERS; n++) {
        calls[nr].what = what[0];
        memcpy(calls[nr].name, name, sizeof name);
    }
    printf("%u calls\n", n);
    printf("another architecture: %s\n", text(ask(0, TARGET_ARCH ^ 1, 0, 0)));
    printf("number %u (read of x32): %s\n", OTHER, text(ask(OTHER, TARGET_ARCH, 0, 0)));
    printf("numbers that are not here: %s\n", text(none));
    for (nr = 0; nr < NUMBERS; nr++) {
        uint32_t got = ask(nr, TARGET_ARCH, 0, 0);
        char w = calls[nr].what;
        if (w == 'a'   ? got != SECCOMP_RET_ALLOW
            : w == 'd' ? got != (SECCOMP_RET_ERRNO | EPERM)
                       : w == 0 && got != none) {
            if (bad++ < 5)
                fprintf(stderr, "%u %s: not what seccomp.list says: %s\n", nr, calls[nr].name, text(got));
        }
        if (w)
            say(nr);
    }
    return bad > 0 || check_failed_ > 0 || n < 200;
}
