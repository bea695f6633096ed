/* What a stranger's text becomes on a terminal, in a table and in JSON; what a terminal does to lines that
 * are pasted. */
#include "platform/term.h"
#include "platform/paste.h"
#include "tests/unit/check.h"

static char *said;
static size_t said_len;

static FILE *begin(void)
{
    free(said);
    said = NULL;
    return open_memstream(&said, &said_len);
}
/* What was printed, to compare. */
static const char *end(FILE *f)
{
    (void)fclose(f);
    return said;
}
#define PRINTED(...)                 \
    ({                               \
        FILE *f_ = begin();          \
        term_print(f_, __VA_ARGS__); \
        end(f_);                     \
    })

TEST(texts_of_strangers_come_out_clean)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain text, ~!", "plain text, ~!"},
        {"\033]0;title\a", "?]0;title?"},
        {"\033[2J\r\n\tx", "?[2J???x"},
        {"a\177b", "a?b"},
        {"c1 \xc2\x9b"
         "31m",
         "c1 ?31m"},
        {"lone \x9b"
         "31m",
         "lone ?31m"},
        {"rlo \xe2\x80\xae"
         "x",
         "rlo ?x"},
        {"isolate \xe2\x81\xa6x", "isolate ?x"},
        {"lrm \xe2\x80\x8e"
         "rlm \xe2\x80\x8f"
         "alm \xd8\x9c",
         "lrm ?rlm ?alm ?"},
        {"\xef\xbb\xbf"
         "bom",
         "?bom"},
        {"cut \xe2\x82", "cut ??"},
        {"overlong \xc0\xaf", "overlong ??"},
        {"surrogate \xed\xa0\x80", "surrogate ???"},
        {"beyond \xf4\x90\x80\x80", "beyond ????"},
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
         "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"},
    };

    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        CHECK_STR(PRINTED("%s", rows[i].in), rows[i].out);
        CHECK_STR(PRINTED("[%-3s]", rows[i].in) + 1 + strlen(rows[i].out), "]");
    }
}

TEST(printing_is_like_printf)
{
    char want[200];
    unsigned long long large = 18446744073709551615ULL;

    CHECK_STR(PRINTED("\r\033[K%c%% %d %i", 'x', -5, 7), "\r\033[Kx% -5 7");
    (void)snprintf(want, sizeof(want), "%5s|%-5s|%.2s|%-*.*s|%03u|%3llu|%-4u|%x|%zu|%lu", "ab", "ab", "abc",
                   6, 3, "abcd", 7U, large, 9U, 255U, (size_t)8, 9UL);
    CHECK_STR(PRINTED("%5s|%-5s|%.2s|%-*.*s|%03u|%3llu|%-4u|%x|%zu|%lu", "ab", "ab", "abc", 6, 3, "abcd", 7U,
                      large, 9U, 255U, (size_t)8, 9UL),
              want);
    /* width and precision count characters, and no character is cut in two */
    CHECK_STR(PRINTED("%-4s|%.1s|%3s", "\xc3\xbc", "\xe2\x82\xac\xe2\x82\xac", "\xc3\xbc"),
              "\xc3\xbc   |\xe2\x82\xac|  \xc3\xbc");
    CHECK(term_width("\xc3\xbc\xff"
                     "a") == 3);
}

TEST(only_our_own_colours_pass)
{
    char copy[] = "\033[31m";

    CHECK_STR(PRINTED("%s%s%s", term_color(TERM_BAD, true), "x", term_color(TERM_PLAIN, true)),
              "\033[31mx\033[0m");
    CHECK_STR(PRINTED("%sx", term_color(TERM_BAD, false)), "x");
    CHECK_STR(PRINTED("%s", copy), "?[31m");
}

TEST(many_lines_keep_their_ends)
{
    FILE *f = begin();

    term_lines(f, BUF_LIT("one\n\ttwo\r\n\0three\033"));
    CHECK_STR(end(f), "one\n\ttwo?\n?three?");
}

TEST(json_is_ascii)
{
    FILE *f = begin();

    term_json(f, "{\"a\":\"\177\xc2\x9b\xe2\x80\xae\xff\xf0\x9f\x98\x80\\u001b\"}");
    CHECK_STR(end(f), "{\"a\":\"\\u007f\\u009b\\u202e\\ufffd\\ud83d\\ude00\\u001b\"}\n");
}

/* ---- lines to paste ---- */

TEST(lines_come_back_whole)
{
    static const size_t lengths[] = {1, 64, 65, 66, 130, 4096, 90000};

    for (unsigned i = 0; i < COUNT_OF(lengths); i++) {
        char *text = mem_need_zero(lengths[i] + 1), *back = NULL;
        struct err err = ERR_INIT;
        size_t len = 0;
        for (size_t k = 0; k < lengths[i]; k++)
            text[k] = (char)(' ' + 1 + k * 7 % 94);
        char *lines = paste_fold(buf_str(text));
        for (const char *p = lines, *end; (end = strchr(p, '\n')); p = end + 1)
            CHECK(end - p <= PASTE_COLUMNS);
        CHECK(paste_is(lines) && !paste_is(text));
        CHECK_OK(paste_unfold(lines, &back, &len, &err), err);
        CHECK(back && len == lengths[i] && memcmp(back, text, len) == 0);
        free(back);
        free(lines);
        free(text);
    }
}

/* What a terminal does to the n-th line (0: the head). */
static const char *hurt(unsigned n, const char *with)
{
    static struct err err;
    char text[400], *back = NULL, *lines, *at, *end;
    size_t len;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    lines = paste_fold(buf_str(text));
    for (at = lines; n; n--)
        at = strchr(at, '\n') + 1;
    end = strchr(at, '\n');
    char *bent = mem_need_zero(strlen(lines) + strlen(with) + 2);
    memcpy(bent, lines, (size_t)(at - lines));
    (void)strcat(strcat(bent, with), end + (*with == '\0'));
    err = (struct err)ERR_INIT;
    if (paste_unfold(bent, &back, &len, &err) == 0)
        (void)strcpy(err.msg, "taken");
    free(back);
    free(bent);
    free(lines);
    return err.msg;
}

TEST(a_hurt_line_is_told)
{
    CHECK_STR(hurt(3, ""), "line 3 of 7 is missing: line 4 came");
    CHECK_STR(hurt(7, ""), "line 7 of 7 is missing: the text ends before it");
    CHECK_STR(hurt(2, "2 abcd xxxx"), "line 2 of 7 is damaged");
    CHECK_STR(hurt(2, "noise"), "line 2 of 7 is damaged");
    CHECK_STR(hurt(5, "4 abcd xxxx"), "line 5 of 7 is missing or damaged");
    CHECK_STR(hurt(0, "limpet-lines 0"), "the first line is not \"limpet-lines N\"");
    CHECK_STR(hurt(0, "limpet-lines 7\n\r\n  "), "taken"); /* empty lines and blanks are not ours */
}

TEST_MAIN
