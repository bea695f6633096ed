#include "agent/boxes/log_text.h"

#include <stdio.h>

#include "agent/core.h"
#include "platform/clock.h"

/* No byte of an app's log reaches a terminal or JSON unfiltered. */
static void clean(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 ? text[i] != '\n' && text[i] != '\t'
                                          : (unsigned char)text[i] >= 0x7f)
            text[i] = '?';
}

char *log_text(struct core *c, const char *app, uint64_t n)
{
    char name[LIM_NAME_BYTES + 8], when[24];

    AUTO_FREE(logring) struct logring *ring = NULL;
    struct logring_line line;
    char *text = NULL;
    size_t size = 0;

    if (app && (!str_is_name(app) || !str_fmt(name, sizeof(name), "%s.log", app)))
        return NULL;
    if (logring_open_read(app ? c->app_fd : c->run_fd, app ? name : "events", &ring, NULL) < 0)
        return NULL;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    uint64_t seq = logring_tail(ring, (uint32_t)n);
    while (logring_next(ring, &seq, &line) == 1) {
        if (app)
            (void)fprintf(f, "%.19s.%03uZ %c ", clock_rfc3339(line.wall_ms / 1000, when, sizeof(when)),
                          (unsigned)(line.wall_ms % 1000), line.stream);
        (void)fwrite(line.text, 1, line.len, f);
        (void)fputc('\n', f);
    }
    if (fclose(f) != 0)
        return NULL;
    clean(text, size);
    return text;
}
