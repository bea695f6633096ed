#include "agent/link/link_sandbox.h"

#include "agent/link/link_words.h"
#include "platform/log.h"
#include "platform/sandbox.h"

int link_sandbox_enter(const char *dir, uid_t uid, gid_t gid, struct err *err)
{
    static const char *const readable[] = {
        "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
        "/etc/ld.so.cache", "/lib",       "/usr/lib",           "/lib64",         "/run/systemd/resolve",
        "/dev/urandom",     NULL};
    const char *writable[] = {dir, NULL};
    struct sandbox s = {.uid = uid,
                        .gid = gid,
                        .data_bytes = LINK_DATA_BYTES,
                        .file_bytes = UINT64_MAX,
                        .open_files = 32,
                        .network = true,
                        .read_paths = readable,
                        .write_paths = writable};
    char missing[64];
    int rc = sandbox_enter(&s, missing, sizeof(missing), err);

    if (rc == 0 && missing[0])
        log_warn("this kernel has no %s: link continues without it", missing);
    return rc;
}
