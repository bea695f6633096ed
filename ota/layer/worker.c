#include "ota/layer/worker.h"

#include "ota/doc/entry.h"
#include "platform/job.h"
#include "platform/sandbox.h"

#define LINE_FD 3

#ifdef LIMPET_SANITIZED
/* Inside the sandbox LeakSanitizer cannot trace its own process. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}
#endif

int worker_enter(const char *uid, const char *gid, uint64_t data_bytes, unsigned open_files, struct err *err)
{
    static const char *const none[] = {NULL};
    struct sandbox box = {
        .data_bytes = data_bytes, .open_files = open_files, .read_paths = none, .write_paths = none};
    uint64_t u, g;
    char missing[128];

    if (!str_u64(uid, 0, UINT32_MAX - 1, &u) || !str_u64(gid, 0, UINT32_MAX - 1, &g))
        return err_set(err, ERR_INVALID, "invalid user and group: %s, %s", uid, gid);
    box.uid = (uid_t)u;
    box.gid = (gid_t)g;
#ifdef LIMPET_SANITIZED
    box.data_bytes = 0; /* the sanitizer's shadow memory counts as data */
#endif
    return sandbox_enter(&box, missing, sizeof(missing), err);
}

int worker_verdict(int r, const struct err *err)
{
    char shown[ERR_MSG_BYTES];

    if (r < 0)
        job_line(LINE_FD, "err %s %s", err_kind_name(err->kind),
                 entry_printable(err->msg, shown, sizeof(shown)));
    else
        job_line(LINE_FD, "ok");
    return r < 0;
}
