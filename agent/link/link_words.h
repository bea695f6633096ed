/* link_words.h - the words between core and link, one SOCK_SEQPACKET message each: a line of text, then
 * bytes.
 *   core -> link   "config\n" JSON  + fds: CA, certificate, key     once, first; no fds: plain text
 *                  "pub ID QOS RETAIN EXPIRY_S TOPIC\n" payload     ID 0: no ack wanted
 *                  "next SOURCE"                                    the last message of SOURCE was taken
 *                  "again"                                          ask the broker for all documents once
 *                                                                   more
 *                  "stop"                                           say offline, disconnect, end
 *   link -> core   "up PROTOCOL"              connected and subscribed; 5 or 4
 *                  "down REASON TEXT"         not connected any more (or still not)
 *                  "ack ID CODE"              MQTT reason code of the PUBACK; 255: not sent
 *                  "doc SOURCE\n" packed      a signed document, decomposed
 *                  "bad SOURCE TEXT"          one that is none, or a command that is refused
 *                  "clear SOURCE"             an empty payload: no opinion
 *                  "cmd VERB ID REPLY EXP APP LINES"   a well-formed, not retained command ("-": no app);
 *                                                      REPLY: the name below reply/
 * SOURCE is device, trust/N (for "next" only trust), group:all, group:NAME of the settings, or cmd, which is
 * the source of commands. After one of the last four words link says none of the same source until "next":
 * core takes them as fast as it will, and link keeps the newest of each topic meanwhile (link_outbox.h). Core
 * refuses everything else and ends a link that says it (uplink_said.h). Link decides nothing and keeps
 * nothing: whatever matters is with core. */
#ifndef AGENT_LINK_WORDS_H
#define AGENT_LINK_WORDS_H
#define LINK_FD         3             /* the first of sys_exec */
#define LINK_DATA_BYTES (32ULL << 20) /* RLIMIT_DATA of link: Debian's libmosquitto brings OpenSSL along */
#endif
