/* names_text.h - what a box reads as /etc/resolv.conf. Pure. */
#ifndef AGENT_NAMES_TEXT_H
#define AGENT_NAMES_TEXT_H

/* Search and options of the host's, name servers that can be reached from a box. upstream: of the resolver that answers on the
 * host's loopback; either may be "". malloc'd. */
char *names_resolv_text(const char *host, const char *upstream);
#endif
