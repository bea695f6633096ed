/* cli_paste.c - reads signed documents for agentctl: from files, pipes and pasted into a terminal, as JSON or
 * as numbered lines (platform/paste.h). Line ends within JSON are ignored: an envelope has none of its own,
 * so those added by a terminal do no harm. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>

#include "agent/cli/cli.h"
#include "ota/doc/envelope.h"
#include "platform/fs.h"
#include "platform/paste.h"

#define TEXT_MAX (2 * (size_t)LIM_ENVELOPE_BYTES) /* including numbers and line ends */
#define REST_MS  500 /* after a refused paste: until no input came for this long */

struct pasting {
    char *text;
    size_t len;
    struct paste lines;
    size_t line_at; /* start of the current line */
    unsigned depth; /* nesting depth of the JSON */
    bool in_text, escaped, begun;
};

static struct termios terminal_before;

static void restore_terminal(int number)
{
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
    if (number) {
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
}

/* In canonical mode the terminal would cut each line at 4095 bytes. */
static void take_terminal(void)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct termios t;

    if (tcgetattr(STDIN_FILENO, &terminal_before) < 0)
        return;
    for (unsigned i = 0; i < COUNT_OF(ending); i++)
        (void)signal(ending[i], restore_terminal);
    t = terminal_before;
    t.c_lflag &= ~(tcflag_t)ICANON;
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
    term_print(stderr, "paste a signed document: the lines that \"fleetctl sign\" wrote, or its JSON.\n"
                       "It ends by itself, else with a line that is a lone dot; Ctrl-C gives up.\n");
}

/* The rest of a refused paste must not become commands of the shell. */
static void drop_rest(void)
{
    struct pollfd p = {STDIN_FILENO, POLLIN, 0};
    char bytes[512];

    while (poll(&p, 1, REST_MS) > 0 && read(STDIN_FILENO, bytes, sizeof(bytes)) > 0)
        continue;
}

/* Does the JSON end here? */
static bool ends_json(struct pasting *p, char c)
{
    if (p->in_text) {
        p->in_text = p->escaped || c != '"';
        p->escaped = !p->escaped && c == '\\';
    } else if (c == '"') {
        p->in_text = true;
    } else if (c == '{') {
        p->begun = true;
        p->depth++;
    } else if (c == '}' && p->depth) {
        p->depth--;
    }
    return p->begun && !p->depth && !p->in_text;
}

/* Take one byte from a terminal: 1 the document is complete, 0 more is needed. */
static int take_byte(struct pasting *p, char c, struct err *err)
{
    if (c == '\004')
        return 1;
    if (p->len == TEXT_MAX)
        return err_set(err, ERR_INVALID, "more than %zu bytes", TEXT_MAX);
    p->text[p->len++] = c;
    if (!paste_is(p->text) && ends_json(p, c))
        return 1;
    if (c != '\n')
        return 0;
    p->text[p->len - 1] = '\0';
    char *line = p->text + p->line_at;
    if (strcmp(line, ".") == 0) {
        *line = '\0';
        return 1;
    }
    int rc = paste_is(p->text) ? paste_take(&p->lines, line, err) : 0;
    p->text[p->len - 1] = '\n';
    p->line_at = p->len;
    return rc;
}

static int read_terminal(char *text, struct err *err)
{
    struct pasting p = {.text = text};
    char c;
    int rc = 0;

    take_terminal();
    while (rc == 0 && read(STDIN_FILENO, &c, 1) == 1)
        rc = take_byte(&p, c, err);
    if (rc < 0)
        drop_rest();
    free(p.lines.text);
    restore_terminal(0);
    term_print(stderr, "\n");
    return rc < 0 ? rc : 0;
}

/* Read to its end, or to a line with a single dot. */
static void read_pipe(char *text)
{
    size_t len = 0;
    char line[8192];

    while (len < TEXT_MAX && fgets(line, sizeof(line), stdin) && strcmp(line, ".\n") != 0) {
        size_t n = strlen(line);
        n = n < TEXT_MAX - len ? n : TEXT_MAX - len;
        memcpy(text + len, line, n);
        len += n;
    }
}

/* Find the envelope within a text, in place; *ret_len: its bytes. */
static int unwrap(char *text, size_t *ret_len, struct err *err)
{
    char AUTO_MEM *whole = NULL;
    size_t len = 0;

    if (paste_is(text)) {
        if (paste_unfold(text, &whole, &len, err) < 0)
            return -(int)err->kind;
        memcpy(text, whole, len);
    } else {
        for (const char *p = text; *p; p++)
            if (*p != '\n' && *p != '\r')
                text[len++] = *p;
    }
    *ret_len = len;
    return len ? 0 : err_set(err, ERR_INVALID, "is empty");
}

int cli_read_envelope(const char *path, uint8_t **ret_packed, size_t *ret_len, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    char AUTO_MEM *text = mem_need_zero(TEXT_MAX + 1);
    uint8_t AUTO_MEM *file = NULL;
    bool typed = strcmp(path, "-") == 0;
    size_t len = 0;
    int rc = 0;

    if (typed && isatty(STDIN_FILENO))
        rc = read_terminal(text, err);
    else if (typed)
        read_pipe(text);
    else if ((rc = fs_read(AT_FDCWD, path, TEXT_MAX, &file, &len, err)) == 0)
        memcpy(text, file, len);
    if (rc == 0)
        rc = unwrap(text, &len, err);
    if (rc == 0)
        rc = envelope_parse(buf_of(text, len), &e, err);
    if (rc < 0)
        return err_wrap(err, "%s", typed ? "standard input" : path);
    *ret_packed = envelope_pack(e, ret_len);
    return 0;
}
