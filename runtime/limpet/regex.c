/* regex.c - see regex.h. The expression is compiled to a list of steps; all paths are followed at once. */
#include "runtime/limpet/regex.h"

#include <ctype.h>
#include <string.h>

#include "platform/mem.h"

#define ENDLESS REGEX_STEPS /* "{2,}" */

static struct regex_step *emit(struct regex *m, enum regex_op op)
{
    struct regex_step *s = &m->step[m->n < REGEX_STEPS ? m->n++ : REGEX_STEPS - 1];

    *s = (struct regex_step){.op = op};
    return s;
}

/* Make room before the fragment that begins at start; jumps inside it are relative and move along. */
static struct regex_step *insert(struct regex *m, unsigned start)
{
    (void)emit(m, REGEX_SPLIT);
    memmove(&m->step[start + 1], &m->step[start], (m->n - 1 - start) * sizeof(m->step[0]));
    m->step[start] = (struct regex_step){.op = REGEX_SPLIT, .a = 1};
    return &m->step[start];
}

static void allow(struct regex_step *s, unsigned char c)
{
    s->set[c / 8] |= (uint8_t)(1U << c % 8);
}

/* After "[" within a set: ":digit:]". */
static bool read_class(struct regex *m, struct regex_step *s)
{
    static const struct {
        const char *name;
        int (*has)(int);
    } classes[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
                   {"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
                   {"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit}};

    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        size_t len = strlen(classes[i].name);
        if (strncmp(m->at + 2, classes[i].name, len) != 0 || strncmp(m->at + 2 + len, ":]", 2) != 0)
            continue;
        for (int c = 0; c < 256; c++)
            if (classes[i].has(c))
                allow(s, (unsigned char)c);
        m->at += 2 + len + 1;
        return true;
    }
    return false;
}

/* After "[". */
static bool read_set(struct regex *m)
{
    struct regex_step *s = emit(m, REGEX_SET);
    bool not = *m->at == '^';
    const char *first = m->at + not ;

    for (m->at = first; *m->at && (*m->at != ']' || m->at == first); m->at++) {
        unsigned char low = (unsigned char)*m->at, high = low;
        if (low == '[' && m->at[1] == ':') {
            if (!read_class(m, s))
                return false;
            continue;
        }
        if (low == '[' && m->at[1] && strchr(".=", m->at[1]))
            return false;
        if (m->at[1] == '-' && m->at[2] && m->at[2] != ']')
            high = (unsigned char)*(m->at += 2);
        if (high < low)
            return false;
        for (unsigned c = low; c <= high; c++)
            allow(s, (unsigned char)c);
    }
    for (unsigned i = 0; not &&i < sizeof(s->set); i++)
        s->set[i] = (uint8_t)~s->set[i];
    return *m->at++ == ']';
}

static bool read_ways(struct regex *m);

static bool read_atom(struct regex *m)
{
    char c = *m->at++;

    if (c == '(')
        return read_ways(m) && *m->at++ == ')';
    if (c == '[')
        return read_set(m);
    if (c == '^' || c == '$')
        return emit(m, c == '^' ? REGEX_BEGIN : REGEX_END);
    if (c == '.')
        return memset(emit(m, REGEX_SET)->set, 0xff, sizeof(m->step[0].set));
    if (c == '*' || c == '+' || c == '?' || c == '{' || (c == '\\' && !*m->at))
        return false;
    allow(emit(m, REGEX_SET), (unsigned char)(c == '\\' ? *m->at++ : c));
    return true;
}

static void repeat(struct regex *m, unsigned start, char how)
{
    int16_t len = (int16_t)(m->n - start);

    if (how == '+') {
        struct regex_step *s = emit(m, REGEX_SPLIT);
        s->a = (int16_t)-len;
        s->b = 1;
        return;
    }
    insert(m, start)->b = (int16_t)(len + (how == '*' ? 2 : 1));
    if (how == '*')
        emit(m, REGEX_JUMP)->a = (int16_t)(-len - 1);
}

static bool read_number(struct regex *m, unsigned *ret)
{
    const char *first = m->at;

    for (*ret = 0; isdigit((unsigned char)*m->at) && *ret < ENDLESS; m->at++)
        *ret = *ret * 10 + (unsigned)(*m->at - '0');
    return m->at > first && *ret < ENDLESS;
}

/* At "{": "{2}", "{2,}" or "{2,5}"; left at its "}". */
static bool read_bounds(struct regex *m, unsigned *low, unsigned *high)
{
    m->at++;
    if (!read_number(m, low))
        return false;
    *high = *low;
    if (*m->at == ',' && *++m->at == '}')
        *high = ENDLESS;
    else if (m->at[-1] == ',' && !read_number(m, high))
        return false;
    return *m->at == '}' && *low <= *high;
}

/* Repeat the fragment that begins at start: copies of it, optional ones as "x?", an unbounded last one as
 * "x*" or "x+". */
static bool repeat_bounded(struct regex *m, unsigned start, unsigned low, unsigned high)
{
    struct regex_step body[REGEX_STEPS];
    unsigned len = m->n - start, times = high == ENDLESS ? low + (low == 0) : high;

    memcpy(body, &m->step[start], len * sizeof(body[0]));
    m->n = start;
    for (unsigned i = 0; i < times; i++) {
        unsigned at = m->n;
        if (at + len >= REGEX_STEPS - 4)
            return false;
        memcpy(&m->step[at], body, len * sizeof(body[0]));
        m->n += len;
        if (high == ENDLESS && i + 1 == times)
            repeat(m, at, low == 0 ? '*' : '+');
        else if (i >= low)
            repeat(m, at, '?');
    }
    return true;
}

/* After a fragment: read all repetition operators. */
static bool read_repeats(struct regex *m, unsigned start)
{
    unsigned low, high;

    for (; *m->at && strchr("*+?{", *m->at); m->at++) {
        if (*m->at != '{')
            repeat(m, start, *m->at);
        else if (!read_bounds(m, &low, &high) || !repeat_bounded(m, start, low, high))
            return false;
        if (m->n >= REGEX_STEPS - 4)
            return false;
    }
    return true;
}

static bool read_sequence(struct regex *m)
{
    while (*m->at && *m->at != '|' && *m->at != ')') {
        unsigned start = m->n;
        if (!read_atom(m) || m->n >= REGEX_STEPS - 4 || !read_repeats(m, start))
            return false;
    }
    return true;
}

static bool read_ways(struct regex *m)
{
    unsigned start = m->n, jump;

    if (!read_sequence(m))
        return false;
    if (*m->at != '|')
        return true;
    m->at++;
    (void)insert(m, start);
    jump = m->n;
    (void)emit(m, REGEX_JUMP);
    m->step[start].b = (int16_t)(m->n - start);
    if (m->n >= REGEX_STEPS - 4 || !read_ways(m))
        return false;
    m->step[jump].a = (int16_t)(m->n - jump);
    return true;
}

int regex_compile(struct regex *m, const char *expression, struct err *err)
{
    *m = (struct regex){.at = expression};
    if (strlen(expression) > REGEX_STEPS || !read_ways(m) || *m->at)
        return err_set(err, ERR_INVALID,
                       "\"%.80s\": no extended regular expression, wrong at character %d, or too long",
                       expression, (int)(m->at - expression));
    (void)emit(m, REGEX_FOUND);
    return 0;
}

/* Follow the steps from i that consume no character. True: match. */
static bool follow(const struct regex *m, bool *on, unsigned i, bool begin, bool end)
{
    const struct regex_step *s = &m->step[i];

    if (on[i])
        return false;
    on[i] = true;
    switch (s->op) {
    case REGEX_FOUND:
        return true;
    case REGEX_JUMP:
        return follow(m, on, i + (unsigned)s->a, begin, end);
    case REGEX_SPLIT:
        return follow(m, on, i + (unsigned)s->a, begin, end) || follow(m, on, i + (unsigned)s->b, begin, end);
    case REGEX_BEGIN:
        return begin && follow(m, on, i + 1, begin, end);
    case REGEX_END:
        return end && follow(m, on, i + 1, begin, end);
    default:
        return false;
    }
}

bool regex_text(const struct regex *m, const char *text)
{
    bool on[2][REGEX_STEPS] = {{false}};

    if (follow(m, on[0], 0, true, !*text))
        return true;
    for (unsigned at = 0; text[at]; at++) {
        bool *now = on[at % 2], *next = on[(at + 1) % 2];
        unsigned char c = (unsigned char)text[at];
        memset(next, 0, sizeof(on[0]));
        for (unsigned i = 0; i < m->n; i++)
            if (now[i] && m->step[i].op == REGEX_SET && m->step[i].set[c / 8] >> c % 8 & 1 &&
                follow(m, next, i + 1, false, !text[at + 1]))
                return true;
        if (follow(m, next, 0, false, !text[at + 1]))
            return true;
    }
    return false;
}
