/* reconnect_sim - a fleet that loses its broker at second 0 and comes back by the law of
 * agent/link/link_retry.h. The broker is away for OUTAGE_S (dials are refused at once), then does RATE
 * handshakes a second in the order in which they came; one that its device has given up costs it the same.
 * usage: reconnect-sim DEVICES OUTAGE_S RATE FIRST_S [DEADLINE_S]
 *   DEADLINE_S: the same one for each dial, as the law was before; without it: that of the law
 * Prints: most dials in one second of a broker that is there (percent of the fleet), handshakes thrown away
 * (percent of the fleet), seconds from the broker's return until all are back (at most two days). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/link/link_retry.h"

#define END_MS (48 * 3600 * UINT64_C(1000))

struct dial {
    uint64_t at_us;
    uint32_t device;
};
static struct sim {
    uint64_t outage_us, service_us, deadline_ms; /* 0: the law's */
    uint64_t free_us;                            /* until when the broker has handshakes to do */
    uint64_t random;
    struct link_retry *devices;
    struct dial *heap;
    size_t n_heap;
    uint32_t *dials; /* of each second */
    uint64_t back_us, thrown;
    uint32_t n, n_back;
} s;

static uint64_t draw(void)
{
    s.random ^= s.random << 13;
    s.random ^= s.random >> 7;
    s.random ^= s.random << 17;
    return s.random >> 16;
}

static void push(struct dial d)
{
    size_t i = s.n_heap++;

    for (; i > 0 && s.heap[(i - 1) / 2].at_us > d.at_us; i = (i - 1) / 2)
        s.heap[i] = s.heap[(i - 1) / 2];
    s.heap[i] = d;
}

static struct dial pop(void)
{
    struct dial first = s.heap[0], last = s.heap[--s.n_heap];
    size_t i = 0;

    for (size_t c; (c = 2 * i + 1) < s.n_heap; i = c) {
        c += c + 1 < s.n_heap && s.heap[c + 1].at_us < s.heap[c].at_us;
        if (s.heap[c].at_us >= last.at_us)
            break;
        s.heap[i] = s.heap[c];
    }
    s.heap[i] = last;
    return first;
}

static void dial_later(uint32_t device, uint64_t now_us)
{
    uint64_t wait_ms = link_retry_delay_ms(&s.devices[device], draw(), false);

    push((struct dial){now_us + wait_ms * 1000 + draw() % 1000, device});
}

/* One dial: refused, given up, or done. */
static void dial(struct dial d)
{
    uint64_t law_ms = link_retry_deadline_ms(&s.devices[d.device]);
    uint64_t deadline_us = (s.deadline_ms ? s.deadline_ms : law_ms) * 1000;

    if (d.at_us < s.outage_us) {
        dial_later(d.device, d.at_us);
        return;
    }
    s.dials[d.at_us / 1000000]++;
    s.free_us = (s.free_us > d.at_us ? s.free_us : d.at_us) + s.service_us;
    if (s.free_us - d.at_us > deadline_us) {
        s.thrown++;
        dial_later(d.device, d.at_us + deadline_us);
        return;
    }
    s.back_us = s.free_us > s.back_us ? s.free_us : s.back_us;
    s.n_back++;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

int main(int argc, char **argv)
{
    uint32_t most = 0;

    if (argc < 5 || argc > 6 || number(argv[3]) == 0) {
        (void)fprintf(stderr, "usage: reconnect-sim DEVICES OUTAGE_S RATE FIRST_S [DEADLINE_S]\n");
        return 2;
    }
    s.n = (uint32_t)number(argv[1]);
    s.outage_us = number(argv[2]) * 1000000;
    s.service_us = 1000000 / number(argv[3]);
    s.deadline_ms = argc == 6 ? number(argv[5]) * 1000 : 0;
    s.random = UINT64_C(0x9e3779b97f4a7c15);
    s.devices = calloc(s.n, sizeof(*s.devices));
    s.heap = calloc(s.n, sizeof(*s.heap));
    s.dials = calloc(END_MS / 1000 + 1, sizeof(*s.dials));
    if (!s.devices || !s.heap || !s.dials)
        return 1;
    for (uint32_t i = 0; i < s.n; i++) {
        s.devices[i].first_ms = number(argv[4]) * 1000;
        dial_later(i, 0);
    }
    while (s.n_heap > 0 && s.heap[0].at_us < END_MS * 1000)
        dial(pop());
    for (size_t i = 0; i <= END_MS / 1000; i++)
        most = s.dials[i] > most ? s.dials[i] : most;
    if (s.n_back < s.n)
        s.back_us = s.outage_us + END_MS * 1000;
    printf("%.2f %.1f %.0f\n", 100.0 * most / s.n, 100.0 * (double)s.thrown / s.n,
           (double)(s.back_us - s.outage_us) / 1e6);
    return 0;
}
