/* text.c - digests, hex and base64 as text (declared in crypto.h). */
#include "platform/crypto.h"

static const char hex_digits[] = "0123456789abcdef";
static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *hex_encode(struct buf bytes, char *dst)
{
    for (size_t i = 0; i < bytes.len; i++) {
        dst[2 * i] = hex_digits[bytes.p[i] >> 4];
        dst[2 * i + 1] = hex_digits[bytes.p[i] & 15];
    }
    dst[2 * bytes.len] = '\0';
    return dst;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(const char *text, void *dst, size_t len)
{
    uint8_t *out = dst;

    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * len] == '\0';
}

int digest_parse(const char *text, struct digest *ret, struct err *err)
{
    struct digest d;

    if (strncmp(text, "sha256:", 7) != 0 || !hex_decode(text + 7, d.b, sizeof(d.b)))
        return err_set(err, ERR_INVALID, "\"%.80s\" is not a digest (sha256: and 64 lower-case hex digits)",
                       text);
    *ret = d;
    return 0;
}

char *digest_hex(const struct digest *d, char dst[SHA256_HEX])
{
    return hex_encode(buf_of(d->b, sizeof(d->b)), dst);
}

char *digest_text(const struct digest *d, char dst[SHA256_TEXT])
{
    memcpy(dst, "sha256:", 7);
    (void)digest_hex(d, dst + 7);
    return dst;
}

char *base64_encode(struct buf bytes)
{
    char *text = mem_need((bytes.len + 2) / 3 * 4 + 1), *out = text;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = (uint32_t)bytes.p[i] << 16;
        v |= have > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0;
        v |= have > 2 ? bytes.p[i + 2] : 0;
        *out++ = b64_digits[v >> 18];
        *out++ = b64_digits[v >> 12 & 63];
        *out++ = have > 1 ? b64_digits[v >> 6 & 63] : '=';
        *out++ = have > 2 ? b64_digits[v & 63] : '=';
    }
    *out = '\0';
    return text;
}

static int b64_digit(uint8_t c)
{
    const char *at = c ? strchr(b64_digits, c) : NULL;

    return at ? (int)(at - b64_digits) : -1;
}

int base64_decode(struct buf text, void *dst, size_t size, size_t *ret_len, struct err *err)
{
    uint8_t *out = dst;
    size_t n = 0;

    if (text.len % 4)
        return err_set(err, ERR_INVALID, "base64: length %zu is not a multiple of 4", text.len);
    for (size_t i = 0; i < text.len; i += 4) {
        bool last = i + 4 == text.len;
        unsigned pad = last ? (text.p[i + 3] == '=') + (text.p[i + 3] == '=' && text.p[i + 2] == '=') : 0;
        uint32_t v = 0;
        for (unsigned k = 0; k < 4; k++) {
            int digit = k >= 4 - pad ? 0 : b64_digit(text.p[i + k]);
            if (digit < 0)
                return err_set(err, ERR_INVALID, "base64: bad character at %zu", i + k);
            v = v << 6 | (uint32_t)digit;
        }
        if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
            return err_set(err, ERR_INVALID, "base64: stray bits at the end");
        if (size - n < 3 - pad)
            return err_set(err, ERR_NOSPACE, "base64: more than %zu bytes", size);
        for (unsigned k = 0; k < 3 - pad; k++)
            out[n++] = (uint8_t)(v >> (16 - 8 * k));
    }
    *ret_len = n;
    return 0;
}
