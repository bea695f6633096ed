/* untar_prog.c - agentd-untar: the untar program alone, without the network library that agentd-fetch brings
 * along. */
#include <string.h>

#include "ota/layer/untar_main.h"

int main(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "untar") == 0 ? untar_main(argc, argv) : 2;
}
