/* manifest_ask.c - a group document's rollout slots: which devices act, and when each one's turn is; other
 * queries of a parsed document (all declared in manifest.h). Pure. */
#include "agent/manifest/manifest.h"

#include <inttypes.h>
#include <stdio.h>

unsigned manifest_slot(const char *salt, const char *device)
{
    struct digest d;

    AUTO_FREE(sha256) struct sha256 *h = sha256_new();
    if (sha256_add(h, buf_of(salt, strlen(salt) + 1), NULL) < 0 || sha256_add(h, buf_str(device), NULL) < 0 ||
        sha256_end(h, &d, NULL) < 0)
        return 9999; /* no hash: act last */
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | d.b[i];
    return (unsigned)(v % 10000);
}

uint64_t manifest_begins_s(const struct desired *d, const char *device)
{
    char salt[LIM_TEXT_BYTES + 8];
    uint64_t from = d->not_before_s ? d->not_before_s : d->issued_s;

    if (!d->spread_ms || !str_fmt(salt, sizeof(salt), "spread:%s", d->salt))
        return from;
    return from + d->spread_ms / 1000 * manifest_slot(salt, device) / 10000;
}

uint64_t manifest_turn_ms(const struct desired *d, const char *device)
{
    char salt[48];

    if (!d->group || d->spread_ms)
        return 0;
    (void)str_fmt(salt, sizeof(salt), "turn:%" PRIu64, d->rev);
    return (uint64_t)MANIFEST_TURN_MS * manifest_slot(salt, device) / 10000;
}

bool manifest_window_read(const char *text, struct want_download *d)
{
    unsigned h1, m1, h2, m2;
    int end = 0;

    if (sscanf(text, "%2u:%2u-%2u:%2u%n", &h1, &m1, &h2, &m2, &end) != 4 || end != 11 || text[end] ||
        h1 > 23 || h2 > 23 || m1 > 59 || m2 > 59 || (h1 == h2 && m1 == m2))
        return false;
    d->window_from_min = h1 * 60 + m1;
    d->window_to_min = h2 * 60 + m2;
    return true;
}

uint64_t manifest_window_s(const struct want_download *d, uint64_t now_s)
{
    uint64_t from = d->window_from_min * 60ULL, to = d->window_to_min * 60ULL, now = now_s % 86400;
    bool open = from < to ? now >= from && now < to : now >= from || now < to;

    if (from == to || open)
        return 0;
    return (from + 86400 - now) % 86400;
}

const struct want *manifest_find(const struct desired *d, const char *name)
{
    for (unsigned i = 0; d && i < d->n; i++)
        if (strcmp(d->apps[i].name, name) == 0)
            return &d->apps[i];
    return NULL;
}
