/* device_match.h - devices that come and go: which node of the host is meant, and what to do with the one
 * that a box has. Identities are those that outlive a plug: udev's links where a udev is, sysfs' own words
 * (path, vendor and product, a serial number) where none is. device_match.c is pure, device_scan.c reads
 * sysfs below a descriptor, devices.c acts. */
#ifndef AGENT_DEVICE_MATCH_H
#define AGENT_DEVICE_MATCH_H
#include "agent/manifest/manifest.h"

/* A node's numbers. type 0: none. */
struct hot_dev {
    char type; /* 'c', 'b' */
    uint32_t major, minor;
};
/* A device of the host, as in sysfs. */
struct hot_node {
    struct hot_dev dev;
    char path[400];           /* below /sys: "/devices/virtual/block/loop7" */
    char subsystem[32];       /* "tty", "block" */
    uint16_t vendor, product; /* of the USB device that it belongs to; 0: of none */
    char
        id[200]; /* what udev would call it in /dev/serial/by-id; "": no USB interface with a serial number */
};
bool device_match_same(const struct hot_dev *a, const struct hot_dev *b);
/* Is this the one that is meant? link: where the by-id or by-path link of that name points to, type 0:
 * there is none. A USB device's raw node (subsystem "usb") is meant only when it is asked for by
 * subsystem. Pure. */
bool device_match_matches(const struct want_device *w, const struct hot_node *n, const struct hot_dev *link);
/* Of two that match: the one that the box has (it stays), then the lower number. Pure. */
bool device_match_is_better(const struct hot_dev *a, const struct hot_dev *b, const struct hot_dev *has);

enum hot_do { HOT_NOTHING, HOT_ADD, HOT_REMOVE, HOT_REPLACE };
/* found: the host's, has: the box's; type 0: none. Pure. */
enum hot_do device_match_decide(const struct hot_dev *found, const struct hot_dev *has);

/* All nodes of /sys/dev/block and /sys/dev/char. sys_fd: "/sys". usb: look for vendor, product and id too. */
void device_scan(int sys_fd, bool usb, void (*visit)(void *arg, const struct hot_node *n), void *arg);
/* The link dev_fd/<any>/by-id/NAME or by-path: type 0 when there is none. dev_fd: "/dev". */
struct hot_dev device_scan_link(int dev_fd, const char *directory, const char *name);
#endif
