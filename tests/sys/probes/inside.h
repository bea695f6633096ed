/* inside.h - the hostile program of the probes: runs as a container's program (static, so that it needs
 * nothing of the image) or beside it. Each verb prints what it could do, "end" last: without that line the
 * control has failed. */
#ifndef TESTS_SYS_PROBES_INSIDE_H
#define TESTS_SYS_PROBES_INSIDE_H

/* Tries each call of a table; "NAME: passed", an errno's name or "signal N". */
int inside_calls(char **argv);
/* Name of an errno value. */
const char *strerrorname_(int e);
/* Writes to files of /proc and /sys (40 paths, and all of /sys), control groups, devices. */
int inside_writes(char **argv);
int inside_sys(char **argv);
int inside_cgroup(char **argv);
int inside_devices(char **argv);
#endif
