#include "fleet/base/out.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fleet/base/args.h"
#include "platform/clock.h"
#include "platform/json.h"
#include "platform/mem.h"

#define TABLE_COLUMNS 12
#define TABLE_WIDTH   100

static bool colors;

int out_format_parse(const char *word, enum out_format *ret, struct err *err)
{
    static const char *const words[] = {
        [OUT_TABLE] = "table", [OUT_WIDE] = "wide", [OUT_JSON] = "json", [OUT_NAME] = "name"};

    for (unsigned i = 0; i < COUNT_OF(words); i++)
        if (!word || strcmp(word, words[i]) == 0) {
            *ret = (enum out_format)i;
            return 0;
        }
    return err_set(err, ERR_USAGE, "-o %s: write table, wide, json or name", word);
}

void out_init(bool no_color)
{
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");

    colors = !no_color && isatty(STDOUT_FILENO) && !(none && *none) && !(term && strcmp(term, "dumb") == 0);
}

const char *out_color(enum term_color c)
{
    return term_color(c, colors);
}

const char *out_plain(void)
{
    return term_color(TERM_PLAIN, colors);
}

enum term_color out_phase_color(const char *phase)
{
    static const struct {
        const char *phase;
        enum term_color color;
    } map[] = {{"converged", TERM_GOOD},
               {"rejected", TERM_BAD},
               {"rolled-back", TERM_BAD},
               {"failed", TERM_BAD},
               {"superseded", TERM_DIM}};

    for (unsigned i = 0; phase && i < COUNT_OF(map); i++)
        if (strcmp(phase, map[i].phase) == 0)
            return map[i].color;
    return phase ? TERM_BUSY : TERM_DIM;
}

char *out_size(uint64_t bytes, char dst[16])
{
    static const char units[] = "KMGTP";
    double v = (double)bytes;
    unsigned u = 0;

    if (bytes < 1000) {
        (void)str_fmt(dst, 16, "%" PRIu64, bytes);
        return dst;
    }
    for (v /= 1024; v >= 1000 && u < 4; u++)
        v /= 1024;
    (void)str_fmt(dst, 16, v < 99.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
    return dst;
}

char *out_age(uint64_t since_s, uint64_t now_s, char dst[24])
{
    if (since_s == 0 || since_s > now_s + 60) {
        (void)str_copy(dst, 24, "-");
        return dst;
    }
    return clock_age(since_s > now_s ? 0 : (now_s - since_s) * 1000, dst, 24);
}

struct table_row_ {
    char *cells[TABLE_COLUMNS];
    enum term_color color;
};
struct table {
    unsigned n_columns, n_rows, cap;
    struct table_row_ *rows; /* the first one holds the titles */
};

static void push_row(struct table *t, const char *const *cells, enum term_color color)
{
    if (t->n_rows == t->cap) {
        struct table_row_ *more;
        t->cap = t->cap ? t->cap * 2 : 16;
        more = mem_need(t->cap * sizeof(*more));
        if (t->n_rows)
            memcpy(more, t->rows, t->n_rows * sizeof(*more));
        free(t->rows);
        t->rows = more;
    }
    for (unsigned i = 0; i < t->n_columns; i++)
        t->rows[t->n_rows].cells[i] = mem_need_str(cells[i] && cells[i][0] ? cells[i] : "-");
    t->rows[t->n_rows++].color = color;
}

struct table *out_table_new(unsigned n_columns, const char *const *titles)
{
    struct table *t = mem_need_zero(sizeof(*t));

    t->n_columns = n_columns < TABLE_COLUMNS ? n_columns : TABLE_COLUMNS;
    push_row(t, titles, TERM_DIM);
    return t;
}

struct table *out_table_free(struct table *t)
{
    if (!t)
        return NULL;
    for (unsigned r = 0; r < t->n_rows; r++)
        for (unsigned c = 0; c < t->n_columns; c++)
            free(t->rows[r].cells[c]);
    free(t->rows);
    free(t);
    return NULL;
}

void out_table_row(struct table *t, const char *const *cells, enum term_color color)
{
    push_row(t, cells, color);
}

void out_table_print(const struct table *t, FILE *to)
{
    size_t width[TABLE_COLUMNS] = {0};

    for (unsigned r = 0; r < t->n_rows; r++)
        for (unsigned c = 0; c < t->n_columns; c++)
            if (term_width(t->rows[r].cells[c]) > width[c])
                width[c] = term_width(t->rows[r].cells[c]);
    for (unsigned r = 0; r < t->n_rows; r++) {
        size_t left = TABLE_WIDTH;
        term_print(to, "%s", out_color(t->rows[r].color));
        for (unsigned c = 0; c < t->n_columns && left > 0; c++) {
            bool last = c + 1 == t->n_columns;
            size_t w = last ? term_width(t->rows[r].cells[c]) : width[c] + 2;
            w = w < left ? w : left;
            term_print(to, "%-*.*s", (int)w, (int)w, t->rows[r].cells[c]);
            left -= w;
        }
        term_print(to, "%s\n", out_plain());
    }
}

void out_json(struct cJSON *take_node)
{
    char AUTO_MEM *text = json_print(take_node, true);

    term_json(stdout, text);
    json_free(take_node);
}

void out_note(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    term_vprint(stderr, fmt, ap);
    va_end(ap);
    term_print(stderr, "\n");
}

#define BAR_WIDTH 30

void out_progress(const char *label, uint64_t done, uint64_t total)
{
    static uint64_t told_ms;
    static bool shown;
    uint64_t now = clock_boot_ms();
    char bar[BAR_WIDTH + 1], have[16], all[16];

    if (!isatty(STDERR_FILENO) || (label && done < total && now - told_ms < 100))
        return;
    told_ms = now;
    if (!label) {
        if (shown)
            term_print(stderr, "\r%*s\r", 79, "");
        shown = false;
        return;
    }
    unsigned full = total ? (unsigned)(done * BAR_WIDTH / total) : BAR_WIDTH;
    for (unsigned i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '-';
    bar[BAR_WIDTH] = '\0';
    term_print(stderr, "\r%-20.20s [%s] %s of %s  ", label, bar, out_size(done, have), out_size(total, all));
    shown = true;
}
