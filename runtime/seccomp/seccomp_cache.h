/* seccomp_cache.h - filters of foreign seccomp profiles (linux.seccomp of a config.json; runtime-spec 1.2,
 * config-linux.md, "Seccomp"), compiled once by limpet-seccomp and cached. Private to runtime/.
 * A cache file has the profile's whole text and its filter; its name is a hash of the text. The whole text is
 * compared, so a hash collision only costs time. Nothing is ever read from a directory or a file that others
 * could write. The directory is in /run: the next boot, perhaps with another kernel, starts over. */
#ifndef RUNTIME_SECCOMP_CACHE_H
#define RUNTIME_SECCOMP_CACHE_H
#include <linux/filter.h>

#include "platform/err.h"
#include "platform/mem.h"

#define SECCOMP_CACHE_DIR "/run/limpet/.seccomp"

/* The filter for this profile. cache_dir: created (0700) if missing; NULL: SECCOMP_CACHE_DIR. If it is
 * unusable, the profile is compiled each time, silently. *ret: malloc'd, *ret_n instructions for this
 * machine, owner: caller. Does not check whether the kernel supports seccomp (box_has_seccomp). On a miss it
 * waits for a child process; SIGCHLD may be ignored or blocked.
 * Errors: INVALID (the profile, with the field), UNSUPPORTED (no limpet-seccomp on this device, or it does
 * not support what the profile uses), NOMEM, IO. */
NODISCARD int seccomp_load(const char *cache_dir, struct buf profile_json, struct sock_filter **ret,
                           unsigned short *ret_n, struct err *err);
#endif
