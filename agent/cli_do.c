#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "agent/cli.h"
#include "agent/manifest.h"
#include "ota/envelope.h"
#include "platform/fs.h"

/* The lines of an answer as a JSON array. */
static void print_lines(char *text)
{
    struct cJSON *a = json_arr();
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        json_push_str(a, line);
    char AUTO_MEM *json = json_print(a, false);
    (void)json_free(a);
    (void)printf("%s\n", json);
}

static int ask_with_file(const struct cli *c, const char *verb, const char *path)
{
    const char *const words[] = {verb, NULL};
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *packed = NULL;
    size_t len = 0;
    char AUTO_MEM *text = NULL;
    if (path && cli_read_envelope(path, &packed, &len, &err) < 0)
        return cli_fail(c, &err);
    if (cli_ask(c, words, buf_of(packed, len), NULL, &text, &err) < 0)
        return cli_fail(c, &err);
    if (c->json)
        print_lines(text);
    else
        (void)printf("%s%s", text, text[0] && text[strlen(text) - 1] == '\n' ? "" : "\n");
    return CLI_OK;
}

int cli_plan(const struct cli *c)
{
    return ask_with_file(c, "plan", c->argc ? c->argv[0] : NULL);
}

int cli_apply(const struct cli *c)
{
    if (c->argc != 1) {
        (void)fprintf(stderr, "usage: agentctl apply FILE|-\n");
        return CLI_USAGE;
    }
    return ask_with_file(c, "apply", c->argv[0]);
}

int cli_rollback(const struct cli *c)
{
    return ask_with_file(c, "rollback", NULL);
}

/* ---- diff: two manifests, field by field ---- */

struct diff {
    const struct cli *c;
    struct cJSON *list; /* -o json */
    unsigned n;
};

static void differs(struct diff *d, char kind, const char *path, const char *from, const char *to)
{
    static const char *const kinds[] = {['+'] = "add", ['-'] = "remove", ['~'] = "change"};
    d->n++;
    if (!d->c->json) {
        (void)printf("%c %s%s%.60s%s%.60s\n", kind, path, from ? ": " : "", from ? from : "",
                     from && to ? " -> "
                     : to       ? ": "
                                : "",
                     to ? to : "");
        return;
    }
    struct cJSON *o = json_push(d->list, json_obj());
    json_put_str(o, "kind", kinds[(unsigned char)kind]);
    json_put_str(o, "path", path);
    if (from)
        json_put_str(o, "from", from);
    if (to)
        json_put_str(o, "to", to);
}

static void diff_value(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d);

static void diff_object(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d)
{
    char below[256];
    for (unsigned side = 0; side < 2; side++) {
        const struct json_cur *from = side ? b : a, *other = side ? a : b;
        for (unsigned i = 0; i < json_len(from); i++) {
            struct json_cur x = json_member(from, i), y;
            bool both = json_get(other, x.key, JSON_OPTIONAL, &y, NULL) > 0;
            (void)str_fmt(below, sizeof(below), "%s%s%s", path, path[0] ? "." : "", x.key);
            if (both && side == 0) {
                diff_value(&x, &y, below, d);
            } else if (!both) {
                char AUTO_MEM *text = json_print(x.node, false);
                differs(d, side ? '+' : '-', below, side ? NULL : text, side ? text : NULL);
            }
        }
    }
}

/* Apps are matched by their name, not by their place. */
static const char *label_of(const struct json_cur *e, unsigned i, char dst[80])
{
    const char *name = NULL;
    if (json_is_object(e, NULL) == 0 && json_get_str(e, "name", JSON_OPTIONAL, 63, &name, NULL) > 0)
        (void)str_fmt(dst, 80, "%s", name);
    else
        (void)str_fmt(dst, 80, "%u", i);
    return dst;
}

static bool find_label(const struct json_cur *list, const char *label, struct json_cur *ret)
{
    char other[80];
    for (unsigned i = 0; i < json_len(list); i++) {
        struct json_cur e = json_at(list, i);
        if (strcmp(label_of(&e, i, other), label) == 0) {
            *ret = e;
            return true;
        }
    }
    return false;
}

static void diff_array(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d)
{
    char label[80], below[256];
    for (unsigned side = 0; side < 2; side++) {
        const struct json_cur *from = side ? b : a, *other = side ? a : b;
        for (unsigned i = 0; i < json_len(from); i++) {
            struct json_cur x = json_at(from, i), y;
            bool both = find_label(other, label_of(&x, i, label), &y);
            (void)str_fmt(below, sizeof(below), "%s[%s]", path, label);
            if (both && side == 0) {
                diff_value(&x, &y, below, d);
            } else if (!both) {
                differs(d, side ? '+' : '-', below, NULL, NULL);
            }
        }
    }
}

static void diff_value(const struct json_cur *a, const struct json_cur *b, const char *path, struct diff *d)
{
    char AUTO_MEM *x = json_print(a->node, false), AUTO_MEM *y = json_print(b->node, false);
    if (strcmp(x, y) == 0)
        return;
    if (x[0] == '{' && y[0] == '{')
        diff_object(a, b, path, d);
    else if (x[0] == '[' && y[0] == '[')
        diff_array(a, b, path, d);
    else
        differs(d, '~', path, x, y);
}

static int payload_of(struct buf packed, struct json_cur *ret, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = envelope_unpack(packed, &e, err);
    return rc < 0 ? rc : json_parse(buf_of(e->payload, e->payload_len), &json_limits_signed, ret, err);
}

int cli_diff(const struct cli *c)
{
    struct err err = ERR_INIT;
    uint8_t AUTO_MEM *file = NULL, AUTO_MEM *now = NULL;
    size_t file_len, now_len;
    struct json_cur a = {.node = NULL}, b = {.node = NULL};
    char path[300];
    struct diff d = {.c = c, .list = c->json ? json_arr() : NULL};
    if (c->argc != 1) {
        (void)fprintf(stderr, "usage: agentctl diff FILE|-\n");
        return CLI_USAGE;
    }
    (void)str_fmt(path, sizeof(path), "%s/state/desired", c->state_dir);
    if (cli_read_envelope(c->argv[0], &file, &file_len, &err) < 0 ||
        fs_read(AT_FDCWD, path, 2 * LIM_ENVELOPE_BYTES, &now, &now_len, &err) < 0 ||
        payload_of(buf_of(now, now_len), &a, &err) < 0 || payload_of(buf_of(file, file_len), &b, &err) < 0) {
        (void)json_free(a.node);
        return cli_fail(c, &err);
    }
    diff_value(&a, &b, "", &d);
    (void)json_free(a.node);
    (void)json_free(b.node);
    if (c->json) {
        char AUTO_MEM *json = json_print(d.list, false);
        (void)json_free(d.list);
        (void)printf("%s\n", json);
    } else if (!d.n) {
        (void)printf("no difference\n");
    }
    return d.n ? CLI_FAILED : CLI_OK;
}

/* ---- exec ---- */

static struct termios saved_terminal;

static void restore_terminal(void)
{
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &saved_terminal);
}

/* Bytes between our terminal and the pty until the program's side is closed. */
static void relay(int master)
{
    struct pollfd p[2] = {{STDIN_FILENO, POLLIN, 0}, {master, POLLIN, 0}};
    char bytes[4096];
    while (poll(p, 2, -1) >= 0 || errno == EINTR) {
        if (p[1].revents) {
            ssize_t n = read(master, bytes, sizeof(bytes));
            if (n <= 0 || fs_write_full(STDOUT_FILENO, buf_of(bytes, (size_t)n), NULL) < 0)
                return;
        }
        if (p[0].revents) {
            ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
            if (n <= 0)
                p[0].fd = -1;
            else
                (void)fs_write_full(master, buf_of(bytes, (size_t)n), NULL);
        }
    }
}

/* A request's words end at an empty one, so empty arguments go in another way, which an older agent does not know: it says so and
 * starts nothing. */
static int ask_packed(const struct cli *c, const char *const *words, const int *fds, char **ret,
                      struct err *err)
{
    char AUTO_MEM *args = NULL;
    char count[16];
    size_t size = 0;
    unsigned n = 0;
    FILE *f = open_memstream(&args, &size);
    if (!f)
        return err_errno(err, errno, "memory");
    for (; words[3 + n]; n++)
        (void)fwrite(words[3 + n], 1, strlen(words[3 + n]) + 1, f);
    if (fclose(f) != 0)
        return err_errno(err, errno, "memory");
    (void)str_fmt(count, sizeof(count), "%u", n);
    const char *packed[] = {"execv", words[1], words[2], count, NULL};
    int rc = cli_ask(c, packed, buf_of(args, size), fds, ret, err);
    return rc < 0 && strstr(err->msg, "unknown request")
               ? err_set(err, ERR_UNSUPPORTED, "the agent that runs is older and takes no empty arguments")
               : rc;
}

static bool any_empty(const char *const *words)
{
    for (unsigned i = 3; words[i]; i++)
        if (!words[i][0])
            return true;
    return false;
}

static int ask_exec(const struct cli *c, const char *const *words, const int *fds)
{
    struct err err = ERR_INIT;
    char AUTO_MEM *text = NULL;
    uint64_t code = CLI_EXEC_FAILED;
    int asked = any_empty(words) ? ask_packed(c, words, fds, &text, &err)
                                 : cli_ask(c, words, buf_of(NULL, 0), fds, &text, &err);
    if (asked < 0) {
        int rc = cli_fail(c, &err);
        return rc == CLI_AGENT_DOWN                  ? rc
               : strstr(err.msg, "not running here") ? CLI_EXEC_FAILED
               : err.kind == ERR_NOTFOUND            ? 127
               : err.kind == ERR_DENIED              ? 126
                                                     : CLI_EXEC_FAILED;
    }
    (void)str_u64(text, 0, 255, &code);
    return (int)code;
}

static int exec_tty(const struct cli *c, const char *const *words)
{
    int master, slave, status;
    struct winsize size = {24, 80, 0, 0};
    struct termios raw;
    (void)ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
    if (openpty(&master, &slave, NULL, NULL, &size) < 0 || tcgetattr(STDIN_FILENO, &saved_terminal) < 0) {
        (void)fprintf(stderr, "agentctl: no terminal: %s\n", strerror(errno));
        return CLI_EXEC_FAILED;
    }
    pid_t pid = fork(); /* the child relays, we wait for the answer */
    if (pid == 0) {
        (void)close(slave);
        raw = saved_terminal;
        cfmakeraw(&raw);
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        relay(master);
        _exit(0);
    }
    const int fds[3] = {slave, slave, slave};
    int rc = ask_exec(c, words, fds);
    (void)close(slave);
    (void)waitpid(pid, &status, 0);
    restore_terminal();
    return rc;
}

int cli_exec(const struct cli *c)
{
    const char *words[LIM_ARGS + 4] = {"exec", c->argc ? c->argv[0] : "", c->tty ? "1" : "0"};
    static const int fds[3] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    int from = c->argc > 1 && strcmp(c->argv[1], "--") == 0 ? 2 : 1;
    if (c->argc <= from || c->argc - from > LIM_ARGS) {
        (void)fprintf(stderr, "usage: agentctl exec [-t] APP -- COMMAND [ARG ...]\n");
        return CLI_USAGE;
    }
    for (int i = from; i < c->argc; i++)
        words[3 + i - from] = c->argv[i];
    return c->tty ? exec_tty(c, words) : ask_exec(c, words, fds);
}
