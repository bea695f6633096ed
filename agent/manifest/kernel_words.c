#include "agent/manifest/kernel_words.h"

#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>

#include "agent/manifest/manifest_fields.h"
#include "platform/mem.h"

#define CAP_NAME(name) [CAP_##name] = #name,
#define CAP_BIT(name)  | 1ULL << CAP_##name
static const char *const cap_names[] = {WORDS_CAPABILITY(CAP_NAME) WORDS_CAPABILITY_REFUSED(CAP_NAME)};
static const uint64_t caps_refused = 0 WORDS_CAPABILITY_REFUSED(CAP_BIT);

#define SIGNAL_ROW(name) {#name, SIG##name},
static const struct {
    const char *name;
    int number;
} signal_names[] = {WORDS_SIGNAL(SIGNAL_ROW)};

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
    for (unsigned i = 0; i < COUNT_OF(cap_names); i++)
        if (cap_names[i] && strcmp(cap_names[i], name) == 0) {
            *ret_refused = caps_refused >> i & 1;
            return (int)i;
        }
    return -1;
}
