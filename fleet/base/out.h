/* out.h - what a person sees: tables, sizes, ages, colours. Data goes to stdout, talk to stderr. */
#ifndef FLEET_OUT_H
#define FLEET_OUT_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "platform/err.h"
#include "platform/term.h"

struct cJSON;

enum out_format { OUT_TABLE, OUT_WIDE, OUT_JSON, OUT_NAME };
/* Errors: USAGE. NULL is the table. */
NODISCARD int out_format_parse(const char *word, enum out_format *ret, struct err *err);

/* Colours only where stdout is a terminal, NO_COLOR is unset and TERM is not dumb. Call once. */
void out_init(bool no_color);
/* The escape that begins / ends a colour, empty without colours. */
const char *out_color(enum term_color c);
const char *out_plain(void);
/* Colour of a phase word. */
enum term_color out_phase_color(const char *phase);

/* "21.4M", "512"; returns dst. */
char *out_size(uint64_t bytes, char dst[16]);
/* "3d4h" since then; "-" for 0; returns dst. */
char *out_age(uint64_t since_s, uint64_t now_s, char dst[24]);

/* A table of text, columns as wide as they need, lines cut at 100 columns unless wide. Cells are copied. */
struct table;
/* titles: borrowed, n_columns of them. Owner: caller (out_table_free). Never NULL. */
struct table *out_table_new(unsigned n_columns, const char *const *titles);
struct table *out_table_free(struct table *t);
/* cells: n_columns texts, NULL is "-". color: of the whole row. */
void out_table_row(struct table *t, const char *const *cells, enum term_color color);
/* To a file or terminal. */
void out_table_print(const struct table *t, FILE *to);

/* Print and free node, pretty, with a newline. */
void out_json(struct cJSON *take_node);
/* A bar on stderr where that is a terminal, nothing elsewhere. label NULL: wipe it. */
void out_progress(const char *label, uint64_t done, uint64_t total);
/* Talk: one line on stderr. */
void out_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#endif
