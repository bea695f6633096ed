/* sandbox.h - what a process gives up before it reads untrusted bytes: user id, files (Landlock; if supported
 * also other processes' abstract sockets, signals to them, listening on TCP), system calls (an allow list,
 * sandbox_calls.c), memory, files and threads by rlimit, no_new_privs, undumpable. If the kernel lacks one,
 * the rest is applied and *ret_missing names it ("landlock "). */
#ifndef PLATFORM_SANDBOX_H
#define PLATFORM_SANDBOX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/err.h"

struct sandbox {
    uid_t uid;
    gid_t gid;                      /* uid 0, or not started as root: keep the current ids */
    uint64_t data_bytes;            /* RLIMIT_DATA; 0: unchanged */
    uint64_t file_bytes;            /* RLIMIT_FSIZE; 0: no file may grow; UINT64_MAX: unchanged */
    unsigned open_files;            /* RLIMIT_NOFILE; 0: unchanged */
    bool network;                   /* TCP, UDP and unix sockets; else none */
    const char *const *read_paths;  /* NULL-terminated; files and directories that remain readable */
    const char *const *write_paths; /* NULL-terminated; directories that remain writable */
};
/* Permanent, and for all that this process starts: no other program can be executed, no process forked
 * (threads can). Call before the first untrusted byte is read. Errors: IO, DENIED (could not become uid). */
NODISCARD int sandbox_enter(const struct sandbox *s, char *ret_missing, size_t size, struct err *err);
#endif
