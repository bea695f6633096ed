#include "platform/paste.h"

#include <ctype.h>
#include <stdio.h>

#include "platform/limits.h"

#define DATA_BYTES 65 /* per line: what is left after the number (5 digits), the check (4) and two spaces */
#define LINES_MAX  (2 * LIM_ENVELOPE_BYTES / DATA_BYTES)

/* CRC-16/CCITT of a line's number and text: detects damage by a terminal, nothing else. */
static unsigned check_of(unsigned number, const char *data, size_t len)
{
    unsigned crc = 0xffff;

    for (size_t i = 0; i < len + 2; i++) {
        unsigned byte = i < 2 ? (number >> (8 * i)) & 0xff : (uint8_t)data[i - 2];
        crc ^= byte << 8;
        for (unsigned k = 0; k < 8; k++)
            crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
    }
    return crc;
}

char *paste_fold(struct buf text)
{
    unsigned lines = (unsigned)((text.len + DATA_BYTES - 1) / DATA_BYTES);
    size_t size = (size_t)(lines + 2) * (PASTE_COLUMNS + 2), at = 0;
    char *dst = mem_need(size);

    at += (size_t)snprintf(dst, size, PASTE_HEAD "%u\n", lines);
    for (unsigned i = 0; i < lines; i++) {
        const char *data = (const char *)text.p + (size_t)i * DATA_BYTES;
        size_t len = i + 1 < lines ? DATA_BYTES : text.len - (size_t)i * DATA_BYTES;
        at += (size_t)snprintf(dst + at, size - at, "%u %04x %.*s\n", i + 1, check_of(i + 1, data, len),
                               (int)len, data);
    }
    return dst;
}

/* The first line. */
static int take_head(struct paste *p, const char *line, struct err *err)
{
    uint64_t n;

    if (strncmp(line, PASTE_HEAD, strlen(PASTE_HEAD)) != 0 ||
        !str_u64(line + strlen(PASTE_HEAD), 1, LINES_MAX, &n))
        return err_set(err, ERR_INVALID, "the first line is not \"" PASTE_HEAD "N\"");
    p->lines = (unsigned)n;
    p->text = mem_need_zero((size_t)n * DATA_BYTES + 1);
    return 0;
}

int paste_take(struct paste *p, const char *line, struct err *err)
{
    char clean[256], *data;
    unsigned number, check;
    int skip = 0;
    size_t len;

    while (isspace((unsigned char)*line))
        line++;
    len = strlen(line);
    while (len && isspace((unsigned char)line[len - 1]))
        len--;
    if (!len)
        return 0;
    if (!str_fmt(clean, sizeof(clean), "%.*s", (int)len, line))
        return err_set(err, ERR_INVALID, "line %u is too long: paste line by line, as the file is",
                       p->have + 1);
    if (!p->lines)
        return take_head(p, clean, err);
    if (sscanf(clean, "%5u %4x%n", &number, &check, &skip) != 2 || clean[skip] != ' ')
        return err_set(err, ERR_INVALID, "line %u of %u is damaged", p->have + 1, p->lines);
    if (number != p->have + 1)
        return number > p->have + 1 && number <= p->lines
                   ? err_set(err, ERR_INVALID, "line %u of %u is missing: line %u came", p->have + 1,
                             p->lines, number)
                   : err_set(err, ERR_INVALID, "line %u of %u is missing or damaged", p->have + 1, p->lines);
    data = clean + skip + 1;
    len = strlen(data);
    if (len > DATA_BYTES || (number < p->lines && len != DATA_BYTES) || check_of(number, data, len) != check)
        return err_set(err, ERR_INVALID, "line %u of %u is damaged", number, p->lines);
    memcpy(p->text + p->len, data, len);
    p->len += len;
    return ++p->have == p->lines;
}

int paste_unfold(const char *lines, char **ret, size_t *ret_len, struct err *err)
{
    struct paste p = {.lines = 0};
    char AUTO_MEM *text = mem_need_str(lines);
    int rc = 0;

    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line && rc == 0;
         line = strtok_r(NULL, "\n", &save))
        rc = paste_take(&p, line, err);
    if (rc == 0)
        rc = p.lines ? err_set(err, ERR_INVALID, "line %u of %u is missing: the text ends before it",
                               p.have + 1, p.lines)
                     : err_set(err, ERR_INVALID, "is empty");
    if (rc < 0) {
        free(p.text);
        return rc;
    }
    *ret = p.text;
    *ret_len = p.len;
    return 0;
}

bool paste_is(const char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    return strncmp(text, PASTE_HEAD, strlen(PASTE_HEAD)) == 0;
}
