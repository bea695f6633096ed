/* resolv_text.h - the contents of a box's /etc/resolv.conf. Pure. */
#ifndef AGENT_RESOLV_TEXT_H
#define AGENT_RESOLV_TEXT_H

/* Search and options of the host's, and the name servers that a box can reach. upstream: of the resolver on
 * the host's loopback; either may be "". malloc'd. */
char *resolv_text_make(const char *host, const char *upstream);
#endif
