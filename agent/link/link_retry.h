/* link_retry.h - when to dial the broker again, and how long a dial may take. Pure: no clock, no randomness.
 *
 * A broker that was away meets its whole fleet at once, so each device waits anywhere between 0 and a bound
 * (full jitter) that starts high and doubles. A broker that is swamped by handshakes finishes the ones that
 * wait longer, so the deadline of a dial doubles too: with a fixed one all are thrown away alike and begin
 * again. Only a connection that stayed up for LINK_STABLE_MS makes both start over. The first dial of a
 * process is not delayed: nobody asks this module for it. */
#ifndef AGENT_LINK_RETRY_H
#define AGENT_LINK_RETRY_H
#include <stdbool.h>
#include <stdint.h>

#define LINK_RETRY_MAX_MS    300000
#define LINK_DEADLINE_MS     30000 /* TCP, TLS and the broker's CONNACK together */
#define LINK_DEADLINE_MAX_MS 240000
#define LINK_STABLE_MS       60000

struct link_retry {
    uint64_t first_ms;     /* the first bound: mqtt.reconnect_s of agentd.json */
    unsigned waits, dials; /* since the last stable connection */
};

/* How long to wait before the next dial: 0 to the bound, by a random number; counts the wait. far: as if the
 * bound had already grown to its maximum (two clients with one id end each other's connection). */
uint64_t link_retry_delay_ms(struct link_retry *r, uint64_t random, bool far);
/* How long the dial that begins now may take until the broker's CONNACK; counts the dial. */
uint64_t link_retry_deadline_ms(struct link_retry *r);
/* A connection was up for so long: did the law start over? Only after a stable one; a shorter one changes
 * nothing. */
bool link_retry_was_up(struct link_retry *r, uint64_t up_ms);
#endif
