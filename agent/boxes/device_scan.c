/* device_scan.c - devices as found in sysfs and the links of /dev; needs no udev. See device_match.h. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/decide/device_match.h"
#include "platform/fs.h"

static DIR *open_folder(int dir_fd, const char *path)
{
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d && fd >= 0)
        (void)close(fd);
    return d;
}

/* Read a file in a device's directory or one above it; "" if there is none. */
static bool read_word(int sys_fd, const char *dir, const char *file, char *dst, size_t size)
{
    char path[480];

    return str_fmt(path, sizeof(path), ".%s/%s", dir, file) &&
           fs_read_text(sys_fd, path, dst, size, NULL) > 0;
}

/* As udev does: replaces characters unsafe in file names by "_". */
static void make_plain(char *s)
{
    for (; *s; s++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789#+-.:=@_", *s))
            *s = '_';
}

static void read_id(int sys_fd, const char *usb, const char *interface, struct hot_node *n)
{
    char vendor[64], product[64], serial[64], number[8];

    if (!interface[0] || !read_word(sys_fd, usb, "serial", serial, sizeof(serial)) ||
        !read_word(sys_fd, interface, "bInterfaceNumber", number, sizeof(number)))
        return;
    if (!read_word(sys_fd, usb, "manufacturer", vendor, sizeof(vendor)))
        (void)str_fmt(vendor, sizeof(vendor), "%04x", n->vendor);
    if (!read_word(sys_fd, usb, "product", product, sizeof(product)))
        (void)str_fmt(product, sizeof(product), "%04x", n->product);
    if (!str_fmt(n->id, sizeof(n->id), "usb-%s_%s_%s-if%s", vendor, product, serial, number))
        n->id[0] = '\0';
    make_plain(n->id);
}

/* Walk up from the device's own directory to that of the USB device. */
static void read_usb(int sys_fd, struct hot_node *n)
{
    char dir[400], interface[400] = "", word[16];
    unsigned v, p;

    (void)str_copy(dir, sizeof(dir), n->path);
    for (char *slash; (slash = strrchr(dir, '/')) != NULL && slash != dir; *slash = '\0') {
        if (!interface[0] && read_word(sys_fd, dir, "bInterfaceNumber", word, sizeof(word)))
            (void)str_copy(interface, sizeof(interface), dir);
        if (!read_word(sys_fd, dir, "idVendor", word, sizeof(word)) || sscanf(word, "%4x", &v) != 1 ||
            !read_word(sys_fd, dir, "idProduct", word, sizeof(word)) || sscanf(word, "%4x", &p) != 1)
            continue;
        n->vendor = (uint16_t)v;
        n->product = (uint16_t)p;
        read_id(sys_fd, dir, interface, n);
        return;
    }
}

/* "../../devices/virtual/block/loop7" of sys/dev/block/7:7. */
static bool read_node(int sys_fd, int dir_fd, char type, const char *name, bool usb, struct hot_node *n)
{
    char link[400], path[480];

    *n = (struct hot_node){.dev = {.type = type}};
    ssize_t len = readlinkat(dir_fd, name, link, sizeof(link) - 1);
    if (sscanf(name, "%u:%u", &n->dev.major, &n->dev.minor) != 2 || len <= 0)
        return false;
    link[len] = '\0';
    const char *at = strstr(link, "/devices/");
    if (!at || !str_copy(n->path, sizeof(n->path), at))
        return false;
    (void)str_fmt(path, sizeof(path), ".%s/subsystem", n->path);
    len = readlinkat(sys_fd, path, link, sizeof(link) - 1);
    link[len > 0 ? len : 0] = '\0';
    const char *last = strrchr(link, '/');
    (void)str_copy(n->subsystem, sizeof(n->subsystem), last ? last + 1 : "");
    if (usb && strstr(n->path, "/usb"))
        read_usb(sys_fd, n);
    return true;
}

void device_scan(int sys_fd, bool usb, void (*visit)(void *arg, const struct hot_node *n), void *arg)
{
    static const struct {
        const char *dir;
        char type;
    } kinds[] = {{"dev/char", 'c'}, {"dev/block", 'b'}};
    struct hot_node n;

    for (unsigned i = 0; i < COUNT_OF(kinds); i++) {
        DIR *d = open_folder(sys_fd, kinds[i].dir);
        struct dirent *e;
        while (d && (e = readdir(d)) != NULL)
            if (read_node(sys_fd, dirfd(d), kinds[i].type, e->d_name, usb, &n))
                visit(arg, &n);
        if (d)
            (void)closedir(d);
    }
}

struct hot_dev device_scan_link(int dev_fd, const char *directory, const char *name)
{
    struct hot_dev found = {0};
    DIR *d = open_folder(dev_fd, ".");
    struct dirent *e;
    struct stat st;
    char path[LIM_TEXT_BYTES + 300];

    while (d && !found.type && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.' && str_fmt(path, sizeof(path), "%s/%s/%s", e->d_name, directory, name) &&
            fstatat(dev_fd, path, &st, 0) == 0 && (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)))
            found = (struct hot_dev){S_ISBLK(st.st_mode) ? 'b' : 'c', major(st.st_rdev), minor(st.st_rdev)};
    if (d)
        (void)closedir(d);
    return found;
}
