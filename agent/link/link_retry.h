/* link_retry.h - when to connect to the broker again, and how long an attempt may take. Pure: no clock, no
 * randomness.
 *
 * After an outage a broker meets its whole fleet at once, so each device waits anywhere between 0 and a bound
 * (full jitter) that starts high and doubles. A broker overloaded by handshakes completes those that wait
 * longer, so the deadline of an attempt doubles too: with a fixed one all are aborted alike and start again.
 * Only a connection that stayed up for LINK_STABLE_MS resets both. The first attempt of a process is not
 * delayed and does not use this module. */
#ifndef AGENT_LINK_RETRY_H
#define AGENT_LINK_RETRY_H
#include <stdbool.h>
#include <stdint.h>

#define LINK_RETRY_MAX_MS    300000
#define LINK_DEADLINE_MS     30000 /* TCP, TLS and the broker's CONNACK together */
#define LINK_DEADLINE_MAX_MS 240000
#define LINK_STABLE_MS       60000

struct link_retry {
    uint64_t first_ms;     /* the first bound: mqtt.reconnect_s in agentd.json */
    unsigned waits, dials; /* since the last stable connection */
};

/* How long to wait before the next attempt: 0 to the bound, by a random number; counts the wait. far: as if
 * the bound were at its maximum (two clients with one id disconnect each other). */
uint64_t link_retry_delay_ms(struct link_retry *r, uint64_t random, bool far);
/* How long the attempt that starts now may take until the broker's CONNACK; counts it. */
uint64_t link_retry_deadline_ms(struct link_retry *r);
/* A connection was up for this long: are the bounds reset? Only after a stable one; a shorter one changes
 * nothing. */
bool link_retry_was_up(struct link_retry *r, uint64_t up_ms);
#endif
