/* match.c - see match.h. The expression becomes a list of steps; all ways through it are walked at once. */
#include "runtime/match.h"

#include <string.h>

static struct match_step *emit(struct match *m, enum match_op op)
{
    struct match_step *s = &m->step[m->n < MATCH_STEPS ? m->n++ : MATCH_STEPS - 1];

    *s = (struct match_step){.op = op};
    return s;
}

/* Room before the fragment that begins at start; jumps inside of it are relative and move along. */
static struct match_step *insert(struct match *m, unsigned start)
{
    (void)emit(m, MATCH_SPLIT);
    memmove(&m->step[start + 1], &m->step[start], (m->n - 1 - start) * sizeof m->step[0]);
    m->step[start] = (struct match_step){.op = MATCH_SPLIT, .a = 1};
    return &m->step[start];
}

static void allow(struct match_step *s, unsigned char c)
{
    s->set[c / 8] |= (uint8_t)(1U << c % 8);
}

/* Behind "[". */
static bool read_set(struct match *m)
{
    struct match_step *s = emit(m, MATCH_SET);
    bool not = *m->at == '^';
    const char *first = m->at + not ;

    for (m->at = first; *m->at && (*m->at != ']' || m->at == first); m->at++) {
        unsigned char low = (unsigned char)*m->at, high = low;
        if (low == '[' && strchr(":.=", m->at[1]))
            return false;
        if (m->at[1] == '-' && m->at[2] && m->at[2] != ']')
            high = (unsigned char)*(m->at += 2);
        if (high < low)
            return false;
        for (unsigned c = low; c <= high; c++)
            allow(s, (unsigned char)c);
    }
    for (unsigned i = 0; not &&i < sizeof s->set; i++)
        s->set[i] = (uint8_t)~s->set[i];
    return *m->at++ == ']';
}

static bool read_ways(struct match *m);

static bool read_atom(struct match *m)
{
    char c = *m->at++;

    if (c == '(')
        return read_ways(m) && *m->at++ == ')';
    if (c == '[')
        return read_set(m);
    if (c == '^' || c == '$')
        return emit(m, c == '^' ? MATCH_BEGIN : MATCH_END);
    if (c == '.')
        return memset(emit(m, MATCH_SET)->set, 0xff, sizeof m->step[0].set);
    if (c == '*' || c == '+' || c == '?' || c == '{' || (c == '\\' && !*m->at))
        return false;
    allow(emit(m, MATCH_SET), (unsigned char)(c == '\\' ? *m->at++ : c));
    return true;
}

static void repeat(struct match *m, unsigned start, char how)
{
    int16_t len = (int16_t)(m->n - start);

    if (how == '+') {
        struct match_step *s = emit(m, MATCH_SPLIT);
        s->a = (int16_t)-len;
        s->b = 1;
        return;
    }
    insert(m, start)->b = (int16_t)(len + (how == '*' ? 2 : 1));
    if (how == '*')
        emit(m, MATCH_JUMP)->a = (int16_t)(-len - 1);
}

static bool read_sequence(struct match *m)
{
    while (*m->at && *m->at != '|' && *m->at != ')') {
        unsigned start = m->n;
        if (!read_atom(m))
            return false;
        for (; *m->at && strchr("*+?", *m->at); m->at++)
            repeat(m, start, *m->at);
        if (m->n >= MATCH_STEPS - 4)
            return false;
    }
    return true;
}

static bool read_ways(struct match *m)
{
    unsigned start = m->n, jump;

    if (!read_sequence(m))
        return false;
    if (*m->at != '|')
        return true;
    m->at++;
    (void)insert(m, start);
    jump = m->n;
    (void)emit(m, MATCH_JUMP);
    m->step[start].b = (int16_t)(m->n - start);
    if (m->n >= MATCH_STEPS - 4 || !read_ways(m))
        return false;
    m->step[jump].a = (int16_t)(m->n - jump);
    return true;
}

int match_compile(struct match *m, const char *expression, struct err *err)
{
    *m = (struct match){.at = expression};
    if (strlen(expression) > MATCH_STEPS || !read_ways(m) || *m->at)
        return err_set(
            err, ERR_INVALID,
            "\"%.80s\": no extended regular expression (intervals and [:names:] are not known), wrong "
            "at character %d, or too long",
            expression, (int)(m->at - expression));
    (void)emit(m, MATCH_FOUND);
    return 0;
}

/* Follow what takes no character from step i. True: found. */
static bool follow(const struct match *m, bool *on, unsigned i, bool begin, bool end)
{
    const struct match_step *s = &m->step[i];

    if (on[i])
        return false;
    on[i] = true;
    switch (s->op) {
    case MATCH_FOUND:
        return true;
    case MATCH_JUMP:
        return follow(m, on, i + (unsigned)s->a, begin, end);
    case MATCH_SPLIT:
        return follow(m, on, i + (unsigned)s->a, begin, end) || follow(m, on, i + (unsigned)s->b, begin, end);
    case MATCH_BEGIN:
        return begin && follow(m, on, i + 1, begin, end);
    case MATCH_END:
        return end && follow(m, on, i + 1, begin, end);
    default:
        return false;
    }
}

bool match_text(const struct match *m, const char *text)
{
    bool on[2][MATCH_STEPS] = {{false}};

    if (follow(m, on[0], 0, true, !*text))
        return true;
    for (unsigned at = 0; text[at]; at++) {
        bool *now = on[at % 2], *next = on[(at + 1) % 2];
        unsigned char c = (unsigned char)text[at];
        memset(next, 0, sizeof on[0]);
        for (unsigned i = 0; i < m->n; i++)
            if (now[i] && m->step[i].op == MATCH_SET && m->step[i].set[c / 8] >> c % 8 & 1 &&
                follow(m, next, i + 1, false, !text[at + 1]))
                return true;
        if (follow(m, next, 0, false, !text[at + 1]))
            return true;
    }
    return false;
}
