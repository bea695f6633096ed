/* trojan.c - a library that an image's environment names (LD_PRELOAD). No program of the host may load it: it
 * leaves a mark. In a container it makes a program that is loaded there stay a while, to be looked at. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void)
{
    const char *mark = getenv("LIMPET_PROBE_MARK");
    int fd = mark ? open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd >= 0)
        (void)close(fd);
    if (getenv("LIMPET_PROBE_SLOW"))
        (void)usleep(30000);
}
