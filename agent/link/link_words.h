/* link_words.h - the protocol between core and link, one SOCK_SEQPACKET message each: a line of text, then
 * bytes.
 *   core -> link   "config\n" JSON  + fds: CA, certificate, key     once, first; no fds: plain text
 *                  "pub ID QOS RETAIN EXPIRY_S TOPIC\n" payload     ID 0: no ack needed
 *                  "next SOURCE"                                    the last message of SOURCE was taken
 *                  "again"                                          subscribe again, to get all documents
 *                  "stop"                                           publish offline, disconnect, exit
 *   link -> core   "up PROTOCOL"              connected and subscribed; 5 or 4
 *                  "down REASON TEXT"         no longer connected (or not yet)
 *                  "ack ID CODE"              MQTT reason code of the PUBACK; 255: not sent
 *                  "doc SOURCE\n" packed      a signed document, decomposed
 *                  "bad SOURCE TEXT"          a malformed document, or a refused command
 *                  "clear SOURCE"             an empty payload: no opinion
 *                  "cmd VERB ID REPLY EXP APP LINES"   a well-formed command, not retained ("-": no app);
 *                                                      REPLY: the name below reply/
 * SOURCE is device, trust/N (for "next" only trust), group:all, group:NAME of the settings, or cmd, which is
 * the source of commands. After one of the last four messages link sends no other of the same source until
 * "next": core sets the pace, and link keeps the newest of each topic meanwhile (link_outbox.h). Core rejects
 * anything else and kills a link that sends it (uplink_said.h). Link makes no decisions and keeps no state:
 * whatever matters is in core. */
#ifndef AGENT_LINK_WORDS_H
#define AGENT_LINK_WORDS_H
#define LINK_FD         3             /* sys_exec's first descriptor */
#define LINK_DATA_BYTES (32ULL << 20) /* RLIMIT_DATA of link: Debian's libmosquitto pulls in OpenSSL */
#endif
