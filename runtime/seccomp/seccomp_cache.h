/* seccomp_cache.h - filters of foreign seccomp profiles (linux.seccomp of a config.json; runtime-spec 1.2,
 * config-linux.md, "Seccomp"), compiled once by limpet-seccomp and kept. Private to runtime/.
 * A file of the cache holds the profile's whole text and its filter; its name is a hash of the text. The text
 * is compared whole, so that two profiles with one hash only cost time. Nothing is ever taken from a
 * directory or a file that is not ours alone. The directory lies in /run: the next boot, which may bring
 * another kernel, starts over. */
#ifndef RUNTIME_SECCOMP_CACHE_H
#define RUNTIME_SECCOMP_CACHE_H
#include <linux/filter.h>

#include "platform/err.h"
#include "platform/mem.h"

#define SECCOMP_CACHE_DIR "/run/limpet/.seccomp"

/* The filter for this profile. cache_dir: made (0700) when it is not there; NULL: SECCOMP_CACHE_DIR. When it
 * cannot be used, the profile is compiled each time, and nothing is said. *ret: malloc'd, *ret_n instructions
 * of this machine, owner: caller. Does not ask whether the kernel has seccomp (box_has_seccomp). On a miss it
 * waits for a child process; SIGCHLD may be ignored or blocked.
 * Errors: INVALID (the profile, with the field), UNSUPPORTED (no limpet-seccomp on this device, or it does
 * not know what the profile asks), NOMEM, IO. */
NODISCARD int seccomp_load(const char *cache_dir, struct buf profile_json, struct sock_filter **ret,
                           unsigned short *ret_n, struct err *err);
#endif
