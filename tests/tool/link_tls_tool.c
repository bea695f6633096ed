/* link_tls_tool - dials localhost:PORT once for each CA file, all with one kept session, by link's own TLS,
 * and says of each "full", "resumed" or why not.
 * usage: link-tls-tool PORT CERT KEY CA... */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/link/link_tls.h"
#include "platform/crypto.h"
#include "platform/fs.h"

#define TICKETS_MS 300 /* TLS 1.3 sends them after the handshake */

static struct buf file(const char *path)
{
    struct err err = ERR_INIT;
    uint8_t *text;
    size_t len;

    if (fs_read(AT_FDCWD, path, 16384, &text, &len, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    return buf_of(text, len);
}

static int wait_for(int fd, short events, int ms)
{
    struct pollfd p = {.fd = fd, .events = events};

    return poll(&p, 1, ms);
}

static int dial(const struct tls_settings *s, uint16_t port, struct err *err)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct tls *t = NULL;
    char unused[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return err_set(err, ERR_NET, "no connection");
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    int rc = link_tls_new(s, fd, &t, err);
    while (rc == 0 && (rc = link_tls_handshake(t, err)) == 0)
        (void)wait_for(fd, link_tls_wants_write(t) ? POLLOUT : POLLIN, 20000);
    if (rc == 1) {
        printf("%s\n", link_tls_is_resumed(t) ? "resumed" : "full");
        link_tls_keep(t);
        while (wait_for(fd, POLLIN, TICKETS_MS) > 0 && link_tls_read(t, unused, sizeof(unused), NULL) >= 0)
            ;
        link_tls_close(t);
    }
    (void)link_tls_free(t);
    (void)close(fd);
    return rc;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;

    if (argc < 5 || crypto_init(&err) < 0)
        return 2;
    struct tls_settings s = {
        .cert = file(argv[2]), .key = file(argv[3]), .host = "localhost", .kept = link_tls_kept_new()};
    for (int i = 4; i < argc; i++) {
        s.ca = file(argv[i]);
        err = (struct err)ERR_INIT;
        if (dial(&s, (uint16_t)atoi(argv[1]), &err) < 0)
            printf("%s\n", err.msg);
    }
    return 0;
}
