/* libcoap for Linux and musl: a client over UDP and DTLS by mbedtls. */
#ifndef COAP_CONFIG_H_
#define COAP_CONFIG_H_

#define HAVE_ARPA_INET_H 1
#define HAVE_ASSERT_H 1
#define HAVE_GETADDRINFO 1
#define HAVE_INTTYPES_H 1
#define HAVE_MBEDTLS 1
#define HAVE_LIMITS_H 1
#define HAVE_MALLOC 1
#define HAVE_MEMORY_H 1
#define HAVE_MEMSET 1
#define HAVE_IF_NAMETOINDEX 1
#define HAVE_NETDB_H 1
#define HAVE_NET_IF_H 1
#define HAVE_NETINET_IN_H 1
#define HAVE_SELECT 1
#define HAVE_SOCKET 1
#define HAVE_STDINT_H 1
#define HAVE_STDLIB_H 1
#define HAVE_STRCASECMP 1
#define HAVE_STRINGS_H 1
#define HAVE_STRING_H 1
#define HAVE_STRNLEN 1
#define HAVE_STRRCHR 1
#define HAVE_STRUCT_CMSGHDR 1
#define HAVE_SYS_IOCTL_H 1
#define HAVE_SYS_SOCKET_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_SYS_UNISTD_H 1
#define HAVE_TIME_H 1
#define HAVE_UNISTD_H 1
#define HAVE_ERRNO_H 1
#define COAP_CLIENT_SUPPORT 1
#define COAP_DISABLE_TCP 1
#define MAX_LOGGING_LEVEL 4
#define PACKAGE_NAME "libcoap"
#define PACKAGE_STRING "libcoap 4.3.1"
#define PACKAGE_VERSION "4.3.1"

#endif
