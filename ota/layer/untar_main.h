/* untar_main.h - the untar program as a function: it is a program of its own (agentd-untar) and a mode of
 * agentd-fetch. */
#ifndef OTA_UNTAR_MAIN_H
#define OTA_UNTAR_MAIN_H

/* argv[1] is "untar"; see untar_main.c. Returns the exit status. */
int untar_main(int argc, char **argv);
#endif
