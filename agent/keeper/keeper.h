/* keeper.h - the protocol between keeper and core, over one SOCK_SEQPACKET pair (fd 3 of core). Plain text,
 * one message each.
 *   core -> keeper  "put NAME" + 1 fd     keep a duplicate (replaces one of that name)
 *                   "drop NAME"           close it
 *                   "alive"               a turn of core's loop really ran: feeds the watchdogs
 *                   "watchdog" + 1 fd     the hardware watchdog, opened by core, since the keeper reads no
 *                                         settings; only the first one counts
 *                   "trial MS"            the next core is on trial: it is killed after MS unless it has
 *                                         said "good"
 *                   "good"                that trial is over
 *                   "again"               core exits on purpose to be replaced: the next starts at once
 *                   "bye"                 core exits on purpose: keeper exits too
 *   keeper -> core  "fd NAME" + 1 fd      one for each kept, right after core's start
 *                   "exit PID STATUS"     a process of core's predecessor exited; STATUS as from waitpid
 *                   "ready STARTS PACE"   all of them are sent; STARTS: how many cores there were before this
 *                                         one; PACE: core says alive at least this often, in ms (an older
 *                                         keeper sends none: KEEPER_PACE_MIN_MS)
 * On the first "alive" the service manager is notified that the agent is up. A core with invalid settings
 * exits with KEEPER_BAD_SETTINGS; if no core ran before, so nothing is running, the keeper exits with the
 * same. The keeper parses nothing else and knows nothing else. */
#ifndef AGENT_KEEPER_H
#define AGENT_KEEPER_H
#define KEEPER_FD 3 /* sys_exec's first descriptor */
#define KEEPER_BAD_SETTINGS \
    78 /* exit status of a core that cannot start until its settings are fixed (EX_CONFIG) */
#define KEEPER_NAME_BYTES 80
/* How often core says alive; each time wakes both. Often with a hardware watchdog, since some time out after
 * 15 s. */
#define KEEPER_PACE_MIN_MS 5000
#define KEEPER_PACE_MS     45000
/* After so long without it core is killed and started again: with a hardware watchdog, and without one. */
#define KEEPER_DEAD_MIN_MS 30000
#define KEEPER_DEAD_MS     120000
#endif
