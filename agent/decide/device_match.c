/* device_match.c - which device matches, and what to do about it. Pure. See device_match.h. */
#include "agent/decide/device_match.h"

#include <string.h>

bool device_match_same(const struct hot_dev *a, const struct hot_dev *b)
{
    return a->type == b->type && (!a->type || (a->major == b->major && a->minor == b->minor));
}

/* udev's name of a serial port may append its port number to what sysfs says about the interface. */
static bool is_id(const char *asked, const char *id)
{
    size_t n = strlen(id);

    return n > 0 && strncmp(asked, id, n) == 0 && (!asked[n] || strcmp(asked + n, "-port0") == 0);
}

bool device_match_matches(const struct want_device *w, const struct hot_node *n, const struct hot_dev *link)
{
    if (w->subsystem && strcmp(w->subsystem, n->subsystem) != 0)
        return false;
    switch (w->match) {
    case DEVICE_BY_ID:
        return link->type ? device_match_same(link, &n->dev) : is_id(w->name, n->id);
    case DEVICE_BY_PATH:
        return link->type ? device_match_same(link, &n->dev) : strcmp(w->name, n->path) == 0;
    case DEVICE_USB:
        return n->vendor == w->vendor && n->product == w->product && (n->vendor || n->product) &&
               (w->subsystem || strcmp(n->subsystem, "usb") != 0);
    case DEVICE_MAJOR:
        return n->dev.major == w->major && (w->minor < 0 || n->dev.minor == (uint32_t)w->minor);
    default:
        return false;
    }
}

bool device_match_is_better(const struct hot_dev *a, const struct hot_dev *b, const struct hot_dev *has)
{
    if (!b->type || device_match_same(a, has))
        return true;
    if (device_match_same(b, has))
        return false;
    if (a->type != b->type)
        return a->type > b->type; /* a disk has no character device; for the same number prefer the character
                                   * device */
    return a->major != b->major ? a->major < b->major : a->minor < b->minor;
}

enum hot_do device_match_decide(const struct hot_dev *found, const struct hot_dev *has)
{
    if (device_match_same(found, has))
        return HOT_NOTHING;
    return !has->type ? HOT_ADD : !found->type ? HOT_REMOVE : HOT_REPLACE;
}
