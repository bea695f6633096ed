/* machine.h - which machine this is, in OCI's terms, and which of an image's platforms fits it best. Rank is
 * pure. */
#ifndef OTA_MACHINE_H
#define OTA_MACHINE_H

/* OCI names of this machine (from uname and /proc/cpuinfo); LIMPET_PLATFORM=linux/arm/v7 overrides in tests.
 * arch "arm64" has variant "v8"; arch "arm" has "v5" to "v7" ("v7" too when a 64-bit kernel runs a 32-bit
 * agent); others "". */
void machine_words(char arch[16], char variant[8]);

/* How well an entry fits a machine: 0 is exact, more is worse, -1 it cannot run. On ARM lower variants fit;
 * on any machine an entry without a variant fits worst. */
int machine_rank(const char *arch, const char *variant, const char *entry_os, const char *entry_arch,
                 const char *entry_variant);
#endif
