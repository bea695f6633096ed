#include "agent/decide/resolv_text.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "platform/mem.h"

/* Not the box's own loopback, and not tied to an interface that the box lacks. */
static bool is_reachable(const char *server)
{
    uint8_t ip[16];

    if (inet_pton(AF_INET, server, ip) == 1)
        return ip[0] != 127 && (ip[0] | ip[1] | ip[2] | ip[3]) != 0;
    if (inet_pton(AF_INET6, server, ip) != 1) /* with a scope, as in fe80::1%eth0, too */
        return false;
    return !(ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) && strcmp(server, "::1") != 0;
}

/* Copy lines of text: name servers, or all others. Returns the number copied. */
static unsigned copy_lines(const char *text, bool servers, char *dst, size_t size)
{
    unsigned n = 0;

    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char server[64] = "";
        int len = (int)strcspn(line, "\n");
        bool is = sscanf(line, "nameserver %63s", server) == 1;
        bool other = strncmp(line, "search", 6) == 0 || strncmp(line, "domain", 6) == 0 ||
                     strncmp(line, "options", 7) == 0 || strncmp(line, "sortlist", 8) == 0;
        size_t at = strlen(dst);
        if (servers ? !is || !is_reachable(server) : !other)
            continue;
        n += str_fmt(dst + at, size - at, "%.*s\n", len, line);
    }
    return n;
}

char *resolv_text_make(const char *host, const char *upstream)
{
    size_t size = strlen(host) + strlen(upstream) + 64;
    char *text = mem_need(size);

    text[0] = '\0';
    if (copy_lines(host, true, text, size) == 0)
        (void)copy_lines(upstream, true, text, size);
    (void)copy_lines(host, false, text, size);
    return text;
}
