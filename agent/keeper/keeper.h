/* keeper.h - the words between keeper and core, over one SOCK_SEQPACKET pair (fd 3 of core). Plain text, one
 * message each.
 *   core -> keeper  "put NAME" + 1 fd     keep a duplicate (replaces one of that name)
 *                   "drop NAME"           close it
 *                   "alive"               a turn of core's loop really ran: feeds the watchdogs
 *                   "watchdog" + 1 fd     the hardware watchdog, opened by core: the keeper reads no
 *                                         settings; the first one counts
 *                   "trial MS"            a core that was never good follows: it is killed in MS when it has
 *                                         not said "good"
 *                   "good"                that trial is over
 *                   "again"               core ends on purpose for the next one: it is started at once
 *                   "bye"                 core ends on purpose: keeper ends too
 *   keeper -> core  "fd NAME" + 1 fd      one for each kept, right after core's start
 *                   "exit PID STATUS"     a process of core's predecessor ended; STATUS as waitpid gives it
 *                   "ready STARTS PACE"   all of them are sent; STARTS: how many cores there were before this
 *                                         one; PACE: core says alive at least this often, in ms (an older
 *                                         keeper sends none: KEEPER_PACE_MIN_MS)
 * The first "alive" is what tells a service manager that the agent is up. A core whose settings are wrong
 * ends with KEEPER_BAD_SETTINGS; when none was up before, and so nothing runs, the keeper ends with the same.
 * The keeper parses nothing else and knows nothing else. */
#ifndef AGENT_KEEPER_H
#define AGENT_KEEPER_H
#define KEEPER_FD 3 /* the first of sys_exec */
#define KEEPER_BAD_SETTINGS \
    78 /* exit status of a core that cannot start before its settings are fixed (EX_CONFIG) */
#define KEEPER_NAME_BYTES 80
/* How often core says alive: each time wakes both. With a hardware watchdog often, since some of them wait
 * for 15 s only. */
#define KEEPER_PACE_MIN_MS 5000
#define KEEPER_PACE_MS     45000
/* Without it for so long core is killed and started again: with a hardware watchdog, and without one. */
#define KEEPER_DEAD_MIN_MS 30000
#define KEEPER_DEAD_MS     120000
#endif
