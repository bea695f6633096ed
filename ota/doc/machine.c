#include "ota/doc/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "platform/fs.h"
#include "platform/mem.h"

#define RANK_NO_VARIANT 100

static const struct {
    const char *machine, *arch, *variant;
} words[] = {
    {"x86_64", "amd64", ""},    {"aarch64", "arm64", "v8"}, {"armv5tejl", "arm", "v5"},
    {"armv5tel", "arm", "v5"},  {"armv6l", "arm", "v6"},    {"armv7l", "arm", "v7"},
    {"armv7hl", "arm", "v7"},   {"armv8l", "arm", "v7"},    {"riscv64", "riscv64", ""},
    {"i386", "386", ""},        {"i486", "386", ""},        {"i586", "386", ""},
    {"i686", "386", ""},        {"mips", "mips", ""},       {"mips64", "mips64", ""},
    {"ppc64le", "ppc64le", ""}, {"s390x", "s390x", ""},     {"loongarch64", "loong64", ""},
};

/* ARM variants are "v" and one digit; 0: none. */
static int arm_version(const char *variant)
{
    return variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9' && variant[2] == '\0'
               ? variant[1] - '0'
               : 0;
}

int machine_rank(const char *arch, const char *variant, const char *entry_os, const char *entry_arch,
                 const char *entry_variant)
{
    if (strcmp(entry_os, "linux") != 0 || strcmp(entry_arch, arch) != 0)
        return -1;
    if (strcmp(entry_variant, variant) == 0)
        return 0;
    if (entry_variant[0] == '\0')
        return RANK_NO_VARIANT;
    int have = arm_version(variant), want = arm_version(entry_variant);
    if (strncmp(arch, "arm", 3) == 0 && have > 0 && want > 0 && want < have)
        return have - want;
    return -1;
}

/* Some vendors' kernels report armv7l on a Raspberry Pi Zero too: /proc/cpuinfo is closer to the hardware, so
 * the lower of both counts. */
static void lower_by_cpuinfo(char variant[8])
{
    char text[4096];
    const char *line;

    if (fs_read_text(AT_FDCWD, "/proc/cpuinfo", text, sizeof(text), NULL) <= 0)
        return;
    line = strstr(text, "CPU architecture:");
    if (!line)
        return;
    int cpu = atoi(line + strlen("CPU architecture:"));
    if (cpu >= 5 && cpu < arm_version(variant))
        (void)str_fmt(variant, 8, "v%d", cpu);
}

static bool from_environment(char arch[16], char variant[8])
{
    char os[16] = "", a[16] = "", v[8] = "";
    const char *text = getenv("LIMPET_PLATFORM");

    if (!text || sscanf(text, "%15[^/]/%15[^/]/%7s", os, a, v) < 2)
        return false;
    (void)str_copy(arch, 16, a);
    (void)str_copy(variant, 8, v);
    return true;
}

void machine_words(char arch[16], char variant[8])
{
    struct utsname u;

    if (from_environment(arch, variant))
        return;
    (void)uname(&u);
    (void)str_fmt(arch, 16, "%.15s", u.machine);
    variant[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strcmp(words[i].machine, u.machine) == 0) {
            (void)str_copy(arch, 16, words[i].arch);
            (void)str_copy(variant, 8, words[i].variant);
        }
    if (sizeof(void *) == 4 && strcmp(arch, "amd64") == 0) /* 32-bit user space on a 64-bit kernel */
        (void)str_copy(arch, 16, "386");
    if (sizeof(void *) == 4 && strcmp(arch, "arm64") == 0) {
        (void)str_copy(arch, 16, "arm");
        (void)str_copy(variant, 8, "v7");
    }
    if (strcmp(arch, "arm") == 0)
        lower_by_cpuinfo(variant);
}
