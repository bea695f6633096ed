#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent/base/ctl_words.h"
#include "agent/cli/cli.h"
#include "platform/fs.h"
#include "platform/msg.h"

#define ANSWER_S 15 /* core answers at once, unless it is starting, or busy with a box that starts slowly */

int cli_fail(const struct cli *c, const struct err *err)
{
    (void)c;
    term_print(stderr, "agentctl: %s\n", err->msg);
    return err->kind == ERR_DENIED ? CLI_DENIED : err->kind == ERR_OFFLINE ? CLI_AGENT_DOWN : CLI_FAILED;
}

static int connect_core(const struct cli *c, bool bound, int *ret_fd, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    if (!str_fmt(a.sun_path, sizeof(a.sun_path), "%s/%s", c->run_dir, CTL_SOCKET))
        return err_set(err, ERR_INVALID, "run directory %s: path too long", c->run_dir);
    const struct timeval patience = {ANSWER_S, 0};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || (bound && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
                             setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)))
        return err_errno(err, errno, "socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        if (errno == EAGAIN)
            return err_set(err, ERR_TIMEOUT, "the agent does not answer within %d s", ANSWER_S);
        if (errno == ENOENT || errno == ECONNREFUSED)
            return err_set(err, ERR_OFFLINE, "the agent is not running (nothing answers at %s)%s%s",
                           a.sun_path, c->bad_settings[0] ? "; its settings are wrong: " : "",
                           c->bad_settings);
        return err_errno(err, errno, "connect to %s%s", a.sun_path,
                         errno == EACCES ? " (are you root?)" : "");
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int send_request(int fd, const char *const *words, struct buf doc, const int *fds, struct err *err)
{
    size_t size = 1 + doc.len, at = 0;

    for (unsigned i = 0; words[i]; i++)
        size += strlen(words[i]) + 1;
    char AUTO_MEM *msg = mem_need_zero(size);
    for (unsigned i = 0; words[i]; i++) {
        memcpy(msg + at, words[i], strlen(words[i]));
        at += strlen(words[i]) + 1;
    }
    if (doc.len)
        memcpy(msg + at + 1, doc.p, doc.len);
    return msg_send(fd, buf_of(msg, doc.len ? size : at), fds, fds ? 3 : 0, err);
}

/* Parse the answer's last piece: '+' success, '-' kind and message. */
static int last_piece(char kind, char *text, struct err *err)
{
    char *msg = strchr(text, ' ');

    if (kind == '+')
        return 0;
    if (msg)
        *msg++ = '\0';
    enum err_kind k = err_kind_parse(text);
    return err_set(err, k == ERR_NONE ? ERR_IO : k, "%s", msg ? msg : "refused");
}

int cli_send(const struct cli *c, const char *const *words, struct buf doc, const int *fds, int *ret_sock,
             struct err *err)
{
    AUTO_FD int fd = -1;
    int rc = connect_core(c, fds == NULL, &fd, err); /* with descriptors it is an exec: no time limit */

    if (rc == 0)
        rc = send_request(fd, words, doc, fds, err);
    if (rc == 0)
        *ret_sock = steal_fd(&fd);
    return rc;
}

int cli_receive(int sock, char **ret, struct err *err)
{
    char AUTO_MEM *piece = mem_need(LIM_MSG_BYTES + 1), AUTO_MEM *all = NULL;
    size_t len = 1, size = 0;
    int rc = 1;
    FILE *f = open_memstream(&all, &size);

    if (!f)
        return err_errno(err, errno, "memory");
    piece[0] = '=';
    while (piece[0] == '=' && (rc = msg_recv(sock, piece, LIM_MSG_BYTES, &len, NULL, NULL, err)) == 1)
        (void)fwrite(piece + 1, 1, len - 1, f);
    if (fclose(f) != 0)
        return err_errno(err, errno, "memory");
    if (rc == -(int)ERR_AGAIN)
        return err_set(err, ERR_TIMEOUT, "the agent does not answer within %d s", ANSWER_S);
    if (rc != 1)
        return rc < 0 ? rc : err_set(err, ERR_IO, "the agent ended while it was asked");
    rc = last_piece(piece[0], all, err);
    if (rc == 0)
        *ret = steal_ptr(&all);
    return rc;
}

int cli_ask(const struct cli *c, const char *const *words, struct buf doc, char **ret, struct err *err)
{
    AUTO_FD int fd = -1;
    int rc = cli_send(c, words, doc, NULL, &fd, err);

    return rc < 0 ? rc : cli_receive(fd, ret, err);
}

int cli_ask_or_read(const struct cli *c, const char *word, const char *path, const struct json_limits *limits,
                    struct json_cur *ret, bool *ret_saved, struct err *err)
{
    const char *const words[] = {word, NULL};
    char AUTO_MEM *live = NULL;
    uint8_t AUTO_MEM *saved = NULL;
    struct err why = ERR_INIT;
    size_t len;

    *ret_saved = false;
    int rc = cli_ask(c, words, buf_of(NULL, 0), &live, err);
    if (rc == 0)
        return json_parse(buf_str(live), limits, ret, err);
    if (err->kind != ERR_OFFLINE && err->kind != ERR_NOTFOUND && err->kind != ERR_TIMEOUT &&
        err->kind != ERR_IO)
        return rc;
    if (fs_read(AT_FDCWD, path, limits->max_bytes, &saved, &len, &why) < 0)
        return rc;
    *ret_saved = true;
    return json_parse(buf_of(saved, len), limits, ret, err);
}

int cli_report(const struct cli *c, struct json_cur *ret, bool *ret_saved, struct err *err)
{
    char path[300];

    (void)str_fmt(path, sizeof(path), "%s/state.json", c->run_dir);
    return cli_ask_or_read(c, "status", path, &json_limits_oci, ret, ret_saved, err);
}
