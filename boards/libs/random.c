/* mbedtls asks glibc alone for random numbers, and opens /dev/urandom elsewhere, which a sandbox does not let it. */
#include <errno.h>
#include <stddef.h>
#include <sys/random.h>

int mbedtls_hardware_poll(void *unused, unsigned char *dst, size_t size, size_t *ret_len);

int mbedtls_hardware_poll(void *unused, unsigned char *dst, size_t size, size_t *ret_len)
{
    (void)unused;
    *ret_len = 0;
    while (*ret_len < size) {
        ssize_t n = getrandom(dst + *ret_len, size - *ret_len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        *ret_len += (size_t)n;
    }
    return 0;
}
