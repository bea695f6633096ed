/* test_point.c - named points of an update, for tests only: LIMPET_KILL_AT=NAME kills core there once by
 * SIGKILL; LIMPET_TELL=SOCKET (a unix socket) receives each point with what is durable by then, and core
 * waits for a byte before it continues, so that a test knows what the disk has promised. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/test_point.h"
#include "agent/core.h"
#include "platform/fs.h"

static void tell(const struct core *c, const char *path, const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char text[160], go;
    AUTO_FD int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (sock < 0 || !str_copy(a.sun_path, sizeof(a.sun_path), path) ||
        connect(sock, (const struct sockaddr *)&a, sizeof(a)) < 0)
        return;
    (void)str_fmt(text, sizeof(text), "%s %" PRIu64 " %" PRIu64 "\n", name, c->state.ledger.candidate_rev,
                  (c->state.has_trust ? c->state.trust.version : 0));
    if (fs_write_full(sock, buf_str(text), NULL) == 0)
        err_ignore(fs_read_full(sock, &go, 1, NULL));
}

void test_point(const struct core *c, const char *name)
{
    const char *at = getenv("LIMPET_KILL_AT"), *socket_path = getenv("LIMPET_TELL");

    if (socket_path)
        tell(c, socket_path, name);
    if (!at || strcmp(at, name) != 0 || faccessat(c->run_fd, "killed", F_OK, 0) == 0)
        return;
    err_ignore(fs_write_atomic(c->run_fd, "killed", buf_str(name), 0600, NULL));
    (void)raise(SIGKILL);
}
