/* sandbox.h - what a process of ours gives up before it reads a stranger's bytes: user id, files (Landlock;
 * where the kernel has them also other processes' abstract sockets, signals to them, listening by TCP),
 * system calls (a list of what it needs, sandbox_calls.c), memory, files and threads by rlimit, no_new_privs,
 * undumpable. Where the kernel lacks one, the rest is done and *ret_missing says which ("landlock "). */
#ifndef PLATFORM_SANDBOX_H
#define PLATFORM_SANDBOX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/err.h"

struct sandbox {
    uid_t uid;
    gid_t gid;                      /* uid 0, or not started as root: stay who we are */
    uint64_t data_bytes;            /* RLIMIT_DATA; 0: leave */
    uint64_t file_bytes;            /* RLIMIT_FSIZE; 0 means: may not grow any file; UINT64_MAX: leave */
    unsigned open_files;            /* RLIMIT_NOFILE; 0: leave */
    bool network;                   /* TCP, UDP and unix sockets; else none */
    const char *const *read_paths;  /* NULL-terminated; files and directories that stay readable */
    const char *const *write_paths; /* NULL-terminated; directories that stay writable */
};
/* For good and for all that this process starts: no other program can be executed, no process forked (threads
 * can). Call before the first byte of a stranger is read. Errors: IO, DENIED (could not
 * become uid). */
NODISCARD int sandbox_enter(const struct sandbox *s, char *ret_missing, size_t size, struct err *err);
#endif
