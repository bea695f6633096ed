#include "agent/manifest/kernel_words.h"

#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>

#include "platform/mem.h"

/* Linux capabilities that a manifest may ask for, by their number. */
#define CAP_ROW(name) [CAP_##name] = #name
static const char *const cap_names[] = {
    CAP_ROW(CHOWN),
    CAP_ROW(DAC_OVERRIDE),
    CAP_ROW(DAC_READ_SEARCH),
    CAP_ROW(FOWNER),
    CAP_ROW(FSETID),
    CAP_ROW(KILL),
    CAP_ROW(SETGID),
    CAP_ROW(SETUID),
    CAP_ROW(SETPCAP),
    CAP_ROW(LINUX_IMMUTABLE),
    CAP_ROW(NET_BIND_SERVICE),
    CAP_ROW(NET_BROADCAST),
    CAP_ROW(NET_ADMIN),
    CAP_ROW(NET_RAW),
    CAP_ROW(IPC_LOCK),
    CAP_ROW(IPC_OWNER),
    CAP_ROW(SYS_MODULE),
    CAP_ROW(SYS_RAWIO),
    CAP_ROW(SYS_CHROOT),
    CAP_ROW(SYS_PTRACE),
    CAP_ROW(SYS_PACCT),
    CAP_ROW(SYS_ADMIN),
    CAP_ROW(SYS_BOOT),
    CAP_ROW(SYS_NICE),
    CAP_ROW(SYS_RESOURCE),
    CAP_ROW(SYS_TIME),
    CAP_ROW(SYS_TTY_CONFIG),
    CAP_ROW(MKNOD),
    CAP_ROW(LEASE),
    CAP_ROW(AUDIT_WRITE),
    CAP_ROW(AUDIT_CONTROL),
    CAP_ROW(SETFCAP),
};
/* Those that would make the box a door to the host are refused whatever the manifest says. */
#define CAP_BIT(name) (1ULL << CAP_##name)
static const uint64_t caps_refused = CAP_BIT(SYS_ADMIN) | CAP_BIT(SYS_MODULE) | CAP_BIT(SYS_RAWIO) |
                                     CAP_BIT(SYS_BOOT) | CAP_BIT(SYS_PTRACE) | CAP_BIT(SYS_PACCT) |
                                     CAP_BIT(SYS_TIME) | CAP_BIT(DAC_READ_SEARCH) | CAP_BIT(AUDIT_CONTROL) |
                                     CAP_BIT(MKNOD);

static const struct {
    const char *name;
    int number;
} signal_names[] = {
    {"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"KILL", SIGKILL}, {"WINCH", SIGWINCH},
};

int kernel_words_signal(const char *name)
{
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (unsigned i = 0; i < COUNT_OF(signal_names); i++)
        if (strcmp(signal_names[i].name, name) == 0)
            return signal_names[i].number;
    return 0;
}

int kernel_words_capability(const char *name, bool *ret_refused)
{
    _Static_assert(COUNT_OF(cap_names) <= WORD_CAPABILITIES, "a manifest can name each");
    for (unsigned i = 0; i < COUNT_OF(cap_names); i++)
        if (strcmp(cap_names[i], name) == 0) {
            *ret_refused = caps_refused >> i & 1;
            return (int)i;
        }
    return -1;
}
