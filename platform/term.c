#include "platform/term.h"

#include <langinfo.h>
#include <locale.h>

static const char *const colors[TERM_COLOR_COUNT_] = {
    [TERM_NONE] = "",        [TERM_PLAIN] = "\033[0m", [TERM_GOOD] = "\033[32m",
    [TERM_BAD] = "\033[31m", [TERM_BUSY] = "\033[33m", [TERM_DIM] = "\033[2m",
};

const char *term_color(enum term_color c, bool on)
{
    return colors[on ? c : TERM_NONE];
}

static bool is_color(const char *text)
{
    for (unsigned i = 0; i < TERM_COLOR_COUNT_; i++)
        if (text == colors[i])
            return true;
    return false;
}

unsigned term_decode(const uint8_t *p, size_t len, uint32_t *ret)
{
    static const struct {
        uint8_t mask, bits;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (unsigned n = 0; n < COUNT_OF(forms); n++) {
        if ((p[0] & forms[n].mask) != forms[n].bits)
            continue;
        uint32_t c = p[0] & (uint8_t)~forms[n].mask;
        if (len < n + 1)
            return 0;
        for (unsigned i = 1; i <= n; i++) {
            if ((p[i] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (p[i] & 0x3f);
        }
        if (c < forms[n].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return 0;
        *ret = c;
        return n + 1;
    }
    return 0;
}

bool term_is_clean(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } bad[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},
        {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff},
    };

    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        if (c >= bad[i].first && c <= bad[i].last)
            return false;
    return true;
}

/* May non-ASCII characters be written to it? */
static bool takes_utf8(FILE *to)
{
    static int known = -1;

    if (!isatty(fileno(to)))
        return true;
    if (known < 0)
        known = setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    return known == 1;
}

/* Print one character, sanitised; returns its length in bytes. keep: control characters that are allowed. */
static unsigned put_one(FILE *to, const uint8_t *p, size_t len, const char *keep, bool utf8)
{
    uint32_t c = 0;
    unsigned n = term_decode(p, len, &c);
    bool kept = n == 1 && c && strchr(keep, (int)c);

    if (kept || (n > 0 && term_is_clean(c) && (n == 1 || utf8)))
        (void)fwrite(p, 1, n, to);
    else
        (void)fputc('?', to);
    return n ? n : 1;
}

size_t term_width(const char *text)
{
    size_t len = strlen(text), width = 0;
    uint32_t c;

    for (size_t at = 0; at < len; width++) {
        unsigned n = term_decode((const uint8_t *)text + at, len - at, &c);
        at += n ? n : 1;
    }
    return width;
}

void term_lines(FILE *to, struct buf text)
{
    bool utf8 = takes_utf8(to);

    for (size_t at = 0; at < text.len;)
        at += put_one(to, text.p + at, text.len - at, "\n\t", utf8);
}

void term_json(FILE *to, const char *json)
{
    const uint8_t *p = (const uint8_t *)json;
    size_t len = strlen(json);
    uint32_t c = 0;

    for (size_t at = 0; at < len;) {
        unsigned n = term_decode(p + at, len - at, &c);
        at += n ? n : 1;
        if (n == 0)
            c = 0xfffd;
        if ((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t')
            (void)fputc((int)c, to);
        else if (c < 0x10000)
            (void)fprintf(to, "\\u%04x", (unsigned)c);
        else
            (void)fprintf(to, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((c - 0x10000) >> 10)),
                          (unsigned)(0xdc00 + ((c - 0x10000) & 0x3ff)));
    }
    (void)fputc('\n', to);
}

/* ---- term_print ---- */

struct conversion {
    bool left, zero;
    int width, precision; /* -1: none */
    unsigned longs;       /* l, ll; z is one */
    char kind;
};

static void pad(FILE *to, int n, char with)
{
    while (n-- > 0)
        (void)fputc(with, to);
}

static void put_text(FILE *to, const struct conversion *v, const char *text)
{
    size_t len = strlen(text), end = 0;
    int width = 0, most = v->precision < 0 ? INT32_MAX : v->precision;
    uint32_t c;

    if (is_color(text)) {
        (void)fputs(text, to);
        return;
    }
    bool utf8 = takes_utf8(to);
    for (; end < len && width < most; width++) {
        unsigned n = term_decode((const uint8_t *)text + end, len - end, &c);
        end += n ? n : 1;
    }
    pad(to, v->left ? 0 : v->width - width, ' ');
    for (size_t at = 0; at < end;)
        at += put_one(to, (const uint8_t *)text + at, end - at, "", utf8);
    pad(to, v->left ? v->width - width : 0, ' ');
}

static void put_number(FILE *to, const struct conversion *v, const char *digits)
{
    int room = v->width - (int)strlen(digits);

    pad(to, v->left ? 0 : room, v->zero ? '0' : ' ');
    (void)fputs(digits, to);
    pad(to, v->left ? room : 0, ' ');
}

static int read_count(const char **p, va_list *ap)
{
    int n = 0;

    if (**p == '*') {
        ++*p;
        return va_arg(*ap, int);
    }
    for (; **p >= '0' && **p <= '9'; ++*p)
        n = n * 10 + (**p - '0');
    return n;
}

/* p is after the "%"; moves it past the conversion. */
static struct conversion read_conversion(const char **p, va_list *ap)
{
    struct conversion v = {.precision = -1};

    for (; **p == '-' || **p == '0'; ++*p) {
        v.left = v.left || **p == '-';
        v.zero = v.zero || **p == '0';
    }
    v.width = read_count(p, ap);
    if (**p == '.') {
        ++*p;
        v.precision = read_count(p, ap);
    }
    for (; **p == 'l' || **p == 'z'; ++*p)
        v.longs++;
    v.kind = *(*p)++;
    return v;
}

static void put_integer(FILE *to, const struct conversion *v, va_list *ap)
{
    char digits[32];

    if (v->kind == 'd' || v->kind == 'i') {
        long long n = v->longs == 0   ? va_arg(*ap, int)
                      : v->longs == 1 ? va_arg(*ap, long)
                                      : va_arg(*ap, long long);
        (void)snprintf(digits, sizeof(digits), "%lld", n);
    } else {
        unsigned long long n = v->longs == 0   ? va_arg(*ap, unsigned)
                               : v->longs == 1 ? va_arg(*ap, unsigned long)
                                               : va_arg(*ap, unsigned long long);
        (void)snprintf(digits, sizeof(digits), v->kind == 'x' ? "%llx" : "%llu", n);
    }
    put_number(to, v, digits);
}

void term_print(FILE *to, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    term_vprint(to, fmt, ap);
    va_end(ap);
}

void term_vprint(FILE *to, const char *fmt, va_list given)
{
    va_list ap; /* its address can be taken, a parameter's cannot */

    va_copy(ap, given);
    for (const char *p = fmt; *p;) {
        if (*p != '%') {
            (void)fputc(*p++, to);
            continue;
        }
        p++;
        struct conversion v = read_conversion(&p, &ap);
        char one[2] = {v.kind, '\0'};
        switch (v.kind) {
        case '%':
            (void)fputc('%', to);
            break;
        case 's':
            put_text(to, &v, va_arg(ap, const char *));
            break;
        case 'c':
            one[0] = (char)va_arg(ap, int);
            put_text(to, &v, one);
            break;
        case 'd':
        case 'i':
        case 'u':
        case 'x':
            put_integer(to, &v, &ap);
            break;
        default: /* the compiler checked the format; anything not handled above is a bug */
            abort();
        }
    }
    va_end(ap);
}
