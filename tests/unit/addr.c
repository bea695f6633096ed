/* How far an address reaches. */
#include "platform/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "platform/mem.h"
#include "tests/unit/check.h"

static enum addr_reach reach(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return addr_reach((struct sockaddr *)&v4);
    return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 ? addr_reach((struct sockaddr *)&v6) : ADDR_OTHER;
}

TEST(each_address_reaches_as_far_as_it_does)
{
    static const struct {
        const char *text;
        enum addr_reach reach;
    } rows[] = {
        {"127.0.0.1", ADDR_LOOPBACK},
        {"127.255.1.2", ADDR_LOOPBACK},
        {"0.0.0.0", ADDR_LOOPBACK},
        {"128.0.0.1", ADDR_GLOBAL},
        {"169.254.169.254", ADDR_LINK},
        {"169.253.0.1", ADDR_GLOBAL},
        {"10.1.2.3", ADDR_PRIVATE},
        {"172.16.0.1", ADDR_PRIVATE},
        {"172.31.255.255", ADDR_PRIVATE},
        {"172.32.0.1", ADDR_GLOBAL},
        {"192.168.9.9", ADDR_PRIVATE},
        {"100.64.0.1", ADDR_PRIVATE},
        {"100.128.0.1", ADDR_GLOBAL},
        {"192.0.2.1", ADDR_GLOBAL},
        {"224.0.0.1", ADDR_OTHER},
        {"255.255.255.255", ADDR_OTHER},
        {"::1", ADDR_LOOPBACK},
        {"::", ADDR_LOOPBACK},
        {"::2", ADDR_LOOPBACK}, /* compatible: 0.0.0.2 */
        {"::ffff:127.0.0.1", ADDR_LOOPBACK},
        {"::ffff:192.168.0.1", ADDR_PRIVATE},
        {"::ffff:192.0.2.1", ADDR_GLOBAL},
        {"64:ff9b::7f00:1", ADDR_LOOPBACK},
        {"2002:7f00:1::1", ADDR_LOOPBACK},
        {"2002:c000:201::1", ADDR_GLOBAL},
        {"fe80::1", ADDR_LINK},
        {"fec0::1", ADDR_PRIVATE},
        {"fd00::1", ADDR_PRIVATE},
        {"fc00::1", ADDR_PRIVATE},
        {"ff02::1", ADDR_OTHER},
        {"2001:db8::1", ADDR_GLOBAL},
    };
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        CHECK_STR(addr_reach_name(reach(rows[i].text)), addr_reach_name(rows[i].reach));
    CHECK(addr_reach((struct sockaddr *)&un) == ADDR_OTHER);
}

TEST_MAIN
