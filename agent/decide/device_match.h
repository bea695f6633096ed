/* device_match.h - hotplugged devices: which device node of the host matches, and what to do with the one
 * that a box has. Identities survive replugging: udev's links where udev runs, else what sysfs says (path,
 * vendor and product, a serial number). device_match.c is pure, device_scan.c reads sysfs below a descriptor,
 * devices.c acts. */
#ifndef AGENT_DEVICE_MATCH_H
#define AGENT_DEVICE_MATCH_H
#include "agent/manifest/manifest.h"

/* Type and number of a device node. type 0: none. */
struct hot_dev {
    char type; /* 'c', 'b' */
    uint32_t major, minor;
};
/* A device of the host, as found in sysfs. */
struct hot_node {
    struct hot_dev dev;
    char path[400];           /* below /sys: "/devices/virtual/block/loop7" */
    char subsystem[32];       /* "tty", "block" */
    uint16_t vendor, product; /* of the parent USB device; 0: no USB device */
    char id[200]; /* its name in /dev/serial/by-id, as udev would build it; "": no USB interface with a serial
                  * number */
};
bool device_match_same(const struct hot_dev *a, const struct hot_dev *b);
/* Does this node match? link: target of the by-id or by-path link of that name, type 0: no such link. A USB
 * device's raw node (subsystem "usb") matches only when requested by subsystem. Pure. */
bool device_match_matches(const struct want_device *w, const struct hot_node *n, const struct hot_dev *link);
/* Of two matches: the one that the box has already (it stays), then the lower number. Pure. */
bool device_match_is_better(const struct hot_dev *a, const struct hot_dev *b, const struct hot_dev *has);

enum hot_do { HOT_NOTHING, HOT_ADD, HOT_REMOVE, HOT_REPLACE };
/* found: on the host, has: in the box; type 0: none. Pure. */
enum hot_do device_match_decide(const struct hot_dev *found, const struct hot_dev *has);

/* Visit all nodes of /sys/dev/block and /sys/dev/char. sys_fd: "/sys". usb: look up vendor, product and id
 * too. */
void device_scan(int sys_fd, bool usb, void (*visit)(void *arg, const struct hot_node *n), void *arg);
/* Target of dev_fd/<any>/by-id/NAME or by-path: type 0 if there is none. dev_fd: "/dev". */
struct hot_dev device_scan_link(int dev_fd, const char *directory, const char *name);
#endif
