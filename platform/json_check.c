/* json_check.c - the bounded check before cJSON: RFC 8259, strict UTF-8, no duplicate keys, no \u0000, no raw
 * control characters, depth and token count bounded, integers within +-2^53 (or any number if floats are
 * allowed). */
#include <stdio.h>

#include "platform/fnv.h"
#include "platform/json.h"

const struct json_limits json_limits_signed = {LIM_ENVELOPE_BYTES, LIM_JSON_DEPTH, LIM_JSON_TOKENS, false};
const struct json_limits json_limits_oci = {LIM_OCI_JSON_BYTES, LIM_JSON_DEPTH, LIM_OCI_JSON_TOKENS, true};
const struct json_limits json_limits_config = {LIM_CONFIG_BYTES, LIM_JSON_DEPTH, LIM_CONFIG_TOKENS, true};

/* Keys of the currently open objects, innermost last, to find duplicates. */
struct check_key {
    uint64_t hash; /* of its decoded text */
    uint32_t end;  /* offset of its end */
};
struct check {
    const uint8_t *p;
    size_t len, at;
    const struct json_limits *lim;
    unsigned depth, tokens;
    struct check_key *keys;
    unsigned n_keys, room;
    const char *why;
};

static bool fail(struct check *c, const char *why)
{
    if (!c->why)
        c->why = why;
    return false;
}

static void skip_blank(struct check *c)
{
    while (c->at < c->len &&
           (c->p[c->at] == ' ' || c->p[c->at] == '\t' || c->p[c->at] == '\n' || c->p[c->at] == '\r'))
        c->at++;
}

static int peek(const struct check *c)
{
    return c->at < c->len ? c->p[c->at] : -1;
}

static bool is_digit(int ch)
{
    return ch >= '0' && ch <= '9';
}

/* One UTF-8 sequence of two bytes or more (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
static bool check_utf8(struct check *c)
{
    static const struct {
        uint8_t mask, lead, more;
        uint32_t min;
    } forms[] = {{0xe0, 0xc0, 1, 0x80}, {0xf0, 0xe0, 2, 0x800}, {0xf8, 0xf0, 3, 0x10000}};
    uint8_t b = c->p[c->at];

    for (unsigned f = 0; f < COUNT_OF(forms); f++) {
        if ((b & forms[f].mask) != forms[f].lead)
            continue;
        if (c->len - c->at <= forms[f].more)
            return fail(c, "UTF-8 is cut off");
        uint32_t v = (uint32_t)(b & ~forms[f].mask);
        for (unsigned i = 1; i <= forms[f].more; i++) {
            uint8_t m = c->p[c->at + i];
            if ((m & 0xc0) != 0x80)
                return fail(c, "bad UTF-8");
            v = v << 6 | (m & 0x3f);
        }
        if (v < forms[f].min || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
            return fail(c, "bad UTF-8");
        c->at += forms[f].more + 1U;
        return true;
    }
    return fail(c, "bad UTF-8");
}

static bool read_hex4(struct check *c, unsigned *ret)
{
    unsigned v = 0;

    if (c->len - c->at < 4)
        return fail(c, "\\u is cut off");
    for (int i = 0; i < 4; i++) {
        int ch = c->p[c->at++];
        int digit = is_digit(ch)                           ? ch - '0'
                    : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10
                                                           : -1;
        if (digit < 0)
            return fail(c, "\\u needs four hex digits");
        v = v << 4 | (unsigned)digit;
    }
    *ret = v;
    return true;
}

static bool check_escape(struct check *c)
{
    c->at++; /* the backslash */
    int ch = peek(c);
    c->at++;
    if (ch != 'u')
        return ch > 0 && strchr("\"\\/bfnrt", ch) ? true : fail(c, "unknown escape");
    unsigned v = 0, low = 0;
    if (!read_hex4(c, &v))
        return false;
    if (v == 0)
        return fail(c, "\\u0000 is not allowed");
    if (v >= 0xdc00 && v <= 0xdfff)
        return fail(c, "lone surrogate");
    if (v < 0xd800 || v > 0xdbff)
        return true;
    if (c->len - c->at < 6 || c->p[c->at] != '\\' || c->p[c->at + 1] != 'u')
        return fail(c, "lone surrogate");
    c->at += 2;
    return read_hex4(c, &low) && ((low >= 0xdc00 && low <= 0xdfff) || fail(c, "lone surrogate"));
}

static bool check_string(struct check *c)
{
    if (peek(c) != '"')
        return fail(c, "a string is expected");
    c->at++;
    for (;;) {
        int ch = peek(c);
        if (ch < 0)
            return fail(c, "string is not closed");
        if (ch == '"') {
            c->at++;
            return true;
        }
        if (ch < 0x20)
            return fail(c, "control character in a string");
        if (ch == '\\') {
            if (!check_escape(c))
                return false;
        } else if (ch < 0x80) {
            c->at++;
        } else if (!check_utf8(c)) {
            return false;
        }
    }
}

static bool check_fraction(struct check *c)
{
    if (peek(c) == '.') {
        c->at++;
        if (!is_digit(peek(c)))
            return fail(c, "bad number");
        while (is_digit(peek(c)))
            c->at++;
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        c->at++;
        if (peek(c) == '+' || peek(c) == '-')
            c->at++;
        if (!is_digit(peek(c)))
            return fail(c, "bad number");
        while (is_digit(peek(c)))
            c->at++;
    }
    return true;
}

static bool check_number(struct check *c)
{
    if (peek(c) == '-')
        c->at++;
    if (!is_digit(peek(c)))
        return fail(c, "a value is expected");
    uint64_t v = 0;
    size_t start = c->at;
    while (is_digit(peek(c))) {
        v = c->at - start < 17 ? v * 10 + (uint64_t)(c->p[c->at] - '0') : UINT64_MAX;
        c->at++;
    }
    if (c->at - start > 1 && c->p[start] == '0')
        return fail(c, "number with a leading zero");
    bool more = peek(c) == '.' || peek(c) == 'e' || peek(c) == 'E';
    if (c->lim->floats)
        return check_fraction(c);
    if (more)
        return fail(c, "only integers are allowed");
    return v <= LIM_INTEGER || fail(c, "integer beyond 2^53");
}

static bool check_word(struct check *c, const char *word)
{
    size_t n = strlen(word);

    if (c->len - c->at < n || memcmp(c->p + c->at, word, n) != 0)
        return fail(c, "a value is expected");
    c->at += n;
    return true;
}

/* A hash of a key's decoded text: "\u0061" is "a". */
struct key_hash {
    uint64_t h;
};

static void hash_byte(struct key_hash *k, unsigned byte)
{
    k->h = fnv64_add(k->h, (uint8_t)byte);
}

static void hash_code(struct key_hash *k, unsigned v)
{
    if (v < 0x80) {
        hash_byte(k, v);
    } else if (v < 0x800) {
        hash_byte(k, 0xc0 | v >> 6);
        hash_byte(k, 0x80 | (v & 0x3f));
    } else if (v < 0x10000) {
        hash_byte(k, 0xe0 | v >> 12);
        hash_byte(k, 0x80 | (v >> 6 & 0x3f));
        hash_byte(k, 0x80 | (v & 0x3f));
    } else {
        hash_byte(k, 0xf0 | v >> 18);
        hash_byte(k, 0x80 | (v >> 12 & 0x3f));
        hash_byte(k, 0x80 | (v >> 6 & 0x3f));
        hash_byte(k, 0x80 | (v & 0x3f));
    }
}

/* Decode the escape at c->at, which was validated; c->at moves past it. */
static unsigned decode_escape(struct check *c)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    unsigned v = 0, low = 0;
    char ch = (char)c->p[c->at + 1];

    c->at += 2;
    if (ch != 'u')
        return (unsigned char)values[strchr(names, ch) - names];
    (void)read_hex4(c, &v);
    if (v < 0xd800 || v > 0xdbff)
        return v;
    c->at += 2;
    (void)read_hex4(c, &low);
    return 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
}

static void add_key(struct check *c, size_t from)
{
    struct key_hash k = {FNV64_INIT};
    size_t end = c->at;

    for (c->at = from + 1; c->at < end - 1;) {
        if (c->p[c->at] == '\\')
            hash_code(&k, decode_escape(c));
        else
            hash_byte(&k, c->p[c->at++]);
    }
    c->at = end;
    if (c->n_keys == c->room) {
        c->room = c->room ? c->room * 2 : 32;
        struct check_key *more = realloc(c->keys, c->room * sizeof(*more));
        if (!more)
            abort();
        c->keys = more;
    }
    c->keys[c->n_keys++] = (struct check_key){k.h, (uint32_t)end};
}

static int by_hash(const void *a, const void *b)
{
    const struct check_key *x = a, *y = b;

    return x->hash != y->hash ? (x->hash < y->hash ? -1 : 1) : (x->end > y->end) - (x->end < y->end);
}

/* All keys of an object are known. Equal hashes count as duplicates: collisions only harm the document's own
 * author. */
static bool check_keys(struct check *c, unsigned first)
{
    unsigned n = c->n_keys - first;

    if (n < 2)
        return true;
    struct check_key *keys = c->keys + first;
    qsort(keys, n, sizeof(*keys), by_hash);
    for (unsigned i = 1; i < n; i++)
        if (keys[i].hash == keys[i - 1].hash) {
            c->at = keys[i].end;
            return fail(c, "duplicate key");
        }
    return true;
}

static bool check_value(struct check *c);

static bool check_member(struct check *c)
{
    size_t from = c->at;

    if (!check_string(c))
        return false;
    add_key(c, from);
    if (++c->tokens > c->lim->max_tokens)
        return fail(c, "too many values");
    skip_blank(c);
    if (peek(c) != ':')
        return fail(c, "':' is expected");
    c->at++;
    return check_value(c);
}

static bool check_list(struct check *c, bool object)
{
    char close = object ? '}' : ']';

    if (++c->depth > c->lim->max_depth)
        return fail(c, "nested too deep");
    unsigned keys_before = c->n_keys;
    c->at++;
    skip_blank(c);
    if (peek(c) != close) {
        for (;;) {
            skip_blank(c);
            if (object ? !check_member(c) : !check_value(c))
                return false;
            skip_blank(c);
            if (peek(c) != ',')
                break;
            c->at++;
        }
        if (peek(c) != close)
            return fail(c, object ? "',' or '}' is expected" : "',' or ']' is expected");
    }
    c->at++;
    if (!check_keys(c, keys_before))
        return false;
    c->depth--;
    c->n_keys = keys_before;
    return true;
}

static bool check_value(struct check *c)
{
    skip_blank(c);
    if (++c->tokens > c->lim->max_tokens)
        return fail(c, "too many values");
    switch (peek(c)) {
    case '{':
        return check_list(c, true);
    case '[':
        return check_list(c, false);
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    default:
        return check_number(c);
    }
}

/* For a document of many lines report line and column, for a single line the byte offset. */
static int say_where(const struct check *c, struct err *err)
{
    size_t line = 1, begin = 0;

    for (size_t i = 0; i < c->at && i < c->len; i++)
        if (c->p[i] == '\n') {
            line++;
            begin = i + 1;
        }
    if (line == 1 && !memchr(c->p, '\n', c->len))
        return err_set(err, ERR_INVALID, "JSON at byte %zu: %s", c->at, c->why);
    return err_set(err, ERR_INVALID, "JSON at line %zu, column %zu: %s", line, c->at - begin + 1, c->why);
}

int json_check(struct buf text, const struct json_limits *lim, struct err *err)
{
    if (text.len > lim->max_bytes)
        return err_set(err, ERR_INVALID, "JSON of %zu bytes, at most %zu are allowed", text.len,
                       lim->max_bytes);
    struct check c = {.p = text.p, .len = text.len, .lim = lim};
    bool ok = check_value(&c);
    if (ok) {
        skip_blank(&c);
        ok = c.at == c.len || fail(&c, "more text after the end");
    }
    free(c.keys);
    return ok ? 0 : say_where(&c, err);
}
