/* Which device of the host is meant, and what to do with the one that a box has; sysfs made of files. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/decide/device_match.h"
#include "platform/fs.h"
#include "tests/unit/check.h"

#define USB "devices/pci0000:00/usb1/1-1"

static int dir_fd;

static void put(const char *path, const char *text)
{
    char dir[300];
    int fd = -1;

    (void)str_copy(dir, sizeof(dir), path);
    *strrchr(dir, '/') = '\0';
    CHECK(fs_open_dir(dir_fd, dir, true, 0755, &fd, NULL) == 0);
    (void)close(fd);
    fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

static void link_to(const char *target, const char *path)
{
    char dir[300];
    int fd = -1;

    (void)str_copy(dir, sizeof(dir), path);
    *strrchr(dir, '/') = '\0';
    CHECK(fs_open_dir(dir_fd, dir, true, 0755, &fd, NULL) == 0);
    (void)close(fd);
    CHECK(symlinkat(target, dir_fd, path) == 0);
}

/* A serial adapter with two nodes, its raw one among them, and a disk. */
static void make_sysfs(void)
{
    put(USB "/idVendor", "0403\n");
    put(USB "/idProduct", "6001\n");
    put(USB "/serial", "A9 1\n");
    put(USB "/manufacturer", "FTDI\n");
    put(USB "/product", "FT232R USB/UART\n");
    put(USB "/1-1:1.0/bInterfaceNumber", "00\n");
    put(USB "/1-1:1.0/ttyUSB0/tty/ttyUSB0/dev", "188:0\n");
    link_to("../../../../class/tty", USB "/1-1:1.0/ttyUSB0/tty/ttyUSB0/subsystem");
    link_to("../../../bus/usb", USB "/subsystem");
    link_to("../../" USB "/1-1:1.0/ttyUSB0/tty/ttyUSB0", "dev/char/188:0");
    link_to("../../" USB, "dev/char/189:1");
    put("devices/virtual/block/loop7/dev", "7:7\n");
    link_to("../../../class/block", "devices/virtual/block/loop7/subsystem");
    link_to("../../devices/virtual/block/loop7", "dev/block/7:7");
    put("dev/block/nonsense", "");
}

struct pick {
    const struct want_device *want;
    struct hot_dev link, has, best;
    unsigned seen, matched;
};

static void visit(void *arg, const struct hot_node *n)
{
    struct pick *p = arg;

    p->seen++;
    if (!device_match_matches(p->want, n, &p->link))
        return;
    p->matched++;
    if (device_match_is_better(&n->dev, &p->best, &p->has))
        p->best = n->dev;
}

static struct pick pick(const struct want_device *w, struct hot_dev link)
{
    struct pick p = {.want = w, .link = link};

    device_scan(dir_fd, true, visit, &p);
    return p;
}

static bool is(struct hot_dev d, char type, uint32_t major, uint32_t minor)
{
    return device_match_same(&d, &(struct hot_dev){type, major, minor});
}

TEST(a_device_is_found_by_what_stays_the_same)
{
    static const struct hot_dev none;
    struct want_device usb = {.match = DEVICE_USB, .vendor = 0x0403, .product = 0x6001, .minor = -1};
    struct want_device id = {
        .match = DEVICE_BY_ID, .name = "usb-FTDI_FT232R_USB_UART_A9_1-if00-port0", .minor = -1};
    struct want_device path = {.match = DEVICE_BY_PATH, .name = "/devices/virtual/block/loop7", .minor = -1};
    struct want_device major = {.match = DEVICE_MAJOR, .major = 7, .minor = -1};
    char dir[] = "/tmp/limpet-match.XXXXXX";

    CHECK(mkdtemp(dir) != NULL);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    make_sysfs();
    struct pick p = pick(&usb, none);
    CHECK(p.seen == 3);
    CHECK(p.matched == 1 && is(p.best, 'c', 188, 0)); /* the raw node is not meant */
    usb.subsystem = "usb";
    CHECK(is(pick(&usb, none).best, 'c', 189, 1)); /* unless asked for */
    usb.product = 0x6002;
    CHECK(pick(&usb, none).matched == 0);
    CHECK(is(pick(&id, none).best, 'c', 188, 0)); /* as udev would name it */
    id.name = "usb-FTDI_FT232R_USB_UART_A9_1-if01";
    CHECK(pick(&id, none).matched == 0);
    CHECK(is(pick(&id, (struct hot_dev){'b', 7, 7}).best, 'b', 7, 7)); /* a link decides */
    CHECK(pick(&id, (struct hot_dev){'b', 7, 8}).matched == 0);        /* to what the kernel has */
    CHECK(is(pick(&path, none).best, 'b', 7, 7));
    path.name = "/devices/virtual/block/loop";
    CHECK(pick(&path, none).matched == 0);
    CHECK(is(pick(&major, none).best, 'b', 7, 7));
    major.minor = 8;
    CHECK(pick(&major, none).matched == 0);
    CHECK(is(device_scan_link(dir_fd, "by-id", "nothing"), 0, 0, 0));
    (void)close(dir_fd);
    CHECK(fs_remove_tree(AT_FDCWD, dir, NULL) == 0);
}

TEST(what_a_box_gets_and_loses)
{
    const struct hot_dev none = {0}, a = {'c', 188, 0}, b = {'c', 188, 1};

    CHECK(device_match_decide(&none, &none) == HOT_NOTHING && device_match_decide(&a, &a) == HOT_NOTHING);
    CHECK(device_match_decide(&a, &none) == HOT_ADD && device_match_decide(&none, &a) == HOT_REMOVE);
    CHECK(device_match_decide(&b, &a) == HOT_REPLACE);
    CHECK(device_match_is_better(&a, &b, &none) && !device_match_is_better(&b, &a, &none));
    CHECK(device_match_is_better(&b, &a, &b) && !device_match_is_better(&a, &b, &b)); /* what it has stays */
}

TEST_MAIN
