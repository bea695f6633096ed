#include "agent/turn/uplink_said.h"
#include "platform/limits.h"

#define SAID_WORDS_MAX 7

bool uplink_said_source_text(const struct config *config, unsigned source, char *dst, size_t size)
{
    static const char *const fixed[SAID_GROUPS] = {"device", "trust", "cmd", "group:all"};

    if (source < SAID_GROUPS)
        return str_copy(dst, size, fixed[source]);
    return source - SAID_GROUPS < config->n_groups &&
           str_fmt(dst, size, "group:%s", config->groups[source - SAID_GROUPS]);
}

static int take_source(const struct config *config, const char *text, struct said *s, struct err *err)
{
    char known[sizeof(s->source_text)];
    uint64_t version;

    if (strncmp(text, "trust/", 6) == 0 && str_u64(text + 6, 0, UINT64_MAX, &version) &&
        str_copy(s->source_text, sizeof(s->source_text), text)) {
        s->source = SAID_TRUST;
        return 0;
    }
    for (unsigned i = 0; i < SAID_SOURCES; i++)
        if (i != SAID_TRUST && uplink_said_source_text(config, i, known, sizeof(known)) &&
            strcmp(known, text) == 0) {
            s->source = i;
            (void)str_copy(s->source_text, sizeof(s->source_text), known);
            return 0;
        }
    return err_set(err, ERR_INVALID, "a source that this device has not");
}

static bool is_token(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    return true;
}

/* Split at single spaces into at most max words; 0: more, or an empty word. With an open list the last one
 * takes the rest. */
static unsigned split(char *line, char *words[], unsigned max, bool open)
{
    unsigned n = 0;

    for (char *at = line; at; n++) {
        if (n == max || !*at || *at == ' ')
            return 0;
        words[n] = at;
        at = open && n + 1 == max ? NULL : strchr(at, ' ');
        if (at)
            *at++ = '\0';
    }
    return n;
}

static int parse_doc(const struct config *config, char *words[], struct buf rest, struct said *s,
                     struct err *err)
{
    s->packed = rest;
    if (take_source(config, words[1], s, err) < 0)
        return -(int)ERR_INVALID;
    return s->source != SAID_COMMAND ? 0 : err_set(err, ERR_INVALID, "a command is not a document");
}

static int parse_bad(const struct config *config, char *words[], struct buf rest, struct said *s,
                     struct err *err)
{
    (void)rest;
    s->text = str_clean(words[2]);
    return take_source(config, words[1], s, err);
}

static int parse_command(const struct config *config, char *words[], struct buf rest, struct said *s,
                         struct err *err)
{
    struct said_command *k = &s->command;
    bool has_app = strcmp(words[5], "-") != 0;

    (void)rest;
    if (!str_is_name(words[1]) || !is_token(words[2]) || !str_is_name(words[3]) ||
        (has_app && !str_is_name(words[5])) || !str_copy(k->id, sizeof(k->id), words[2]) ||
        !str_u64(words[4], 0, LIM_INTEGER, &k->exp_s) || !str_u64(words[6], 1, 10000, &k->lines))
        return err_set(err, ERR_INVALID, "malformed command");
    (void)str_copy(k->verb, sizeof(k->verb), words[1]);
    (void)str_copy(k->reply, sizeof(k->reply), words[3]);
    (void)str_copy(k->app, sizeof(k->app), has_app ? words[5] : "");
    char source[] = "cmd";
    return take_source(config, source, s, err);
}

static int parse_up(const struct config *config, char *words[], struct buf rest, struct said *s,
                    struct err *err)
{
    (void)config;
    (void)rest;
    (void)s;
    return strcmp(words[1], "4") == 0 || strcmp(words[1], "5") == 0
               ? 0
               : err_set(err, ERR_INVALID, "another protocol");
}

static int parse_down(const struct config *config, char *words[], struct buf rest, struct said *s,
                      struct err *err)
{
    (void)config;
    (void)rest;
    (void)err;
    s->text = str_clean(words[1]);
    return 0;
}

static int parse_ack(const struct config *config, char *words[], struct buf rest, struct said *s,
                     struct err *err)
{
    uint64_t id = 0, code = 0;

    (void)config;
    (void)rest;
    if (!str_u64(words[1], 1, UINT32_MAX, &id) || !str_u64(words[2], 0, 255, &code))
        return err_set(err, ERR_INVALID, "malformed ack");
    s->id = (uint32_t)id;
    s->sent = code != 255; /* 255: link could not send it; a broker's refusal is final */
    return 0;
}

static const struct {
    const char *name;
    unsigned words;
    bool open, has_rest; /* the last word takes the rest of the line; bytes follow the line */
    int (*parse)(const struct config *config, char *words[], struct buf rest, struct said *s,
                 struct err *err);
} word_table[] = {
    [SAID_DOC] = {"doc", 2, false, true, parse_doc},
    [SAID_BAD] = {"bad", 3, true, false, parse_bad},
    [SAID_CLEAR] = {"clear", 2, false, false, parse_doc},
    [SAID_CMD] = {"cmd", 7, false, false, parse_command},
    [SAID_UP] = {"up", 2, false, false, parse_up},
    [SAID_DOWN] = {"down", 2, true, false, parse_down},
    [SAID_ACK] = {"ack", 3, false, false, parse_ack},
};

int uplink_said_parse(const struct config *config, char *msg, size_t len, struct said *ret, struct err *err)
{
    struct said s = {.text = ""};
    char *words[SAID_WORDS_MAX], *end = memchr(msg, '\n', len);
    struct buf rest = end ? buf_of(end + 1, len - (size_t)(end + 1 - msg)) : buf_of(NULL, 0);

    msg[end ? (size_t)(end - msg) : len] = '\0';
    if (!end && strlen(msg) != len)
        return err_set(err, ERR_INVALID, "a NUL");
    for (unsigned i = 0; i < COUNT_OF(word_table); i++) {
        size_t n = strlen(word_table[i].name);
        if (strncmp(msg, word_table[i].name, n) != 0 || msg[n] != ' ')
            continue;
        s.word = (enum said_word)i;
        if (word_table[i].has_rest != (end != NULL) ||
            split(msg, words, word_table[i].words, word_table[i].open) != word_table[i].words)
            return err_set(err, ERR_INVALID, "\"%s\" of another form", word_table[i].name);
        int rc = word_table[i].parse(config, words, rest, &s, err);
        if (rc == 0)
            *ret = s;
        return rc;
    }
    return err_set(err, ERR_INVALID, "an unknown word");
}
