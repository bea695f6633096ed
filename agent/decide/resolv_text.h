/* resolv_text.h - what a box reads as /etc/resolv.conf. Pure. */
#ifndef AGENT_RESOLV_TEXT_H
#define AGENT_RESOLV_TEXT_H

/* Search and options of the host's, name servers that can be reached from a box. upstream: of the resolver
 * that answers on the host's loopback; either may be "". malloc'd. */
char *resolv_text_make(const char *host, const char *upstream);
#endif
