#include "ota/fetch/fslabel.h"

#include "platform/mem.h"

#define EXT_AT    1024
#define ISO_AT    32768
#define DIR_BYTES 4096 /* of the root directory, searched for the label's entry */
#define DIR_ENTRY 32
#define FAT_LABEL 11

static uint32_t le(const uint8_t *p, unsigned bytes)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint32_t)p[i] << (8 * i);
    return v;
}

static void put_label(struct fslabel *ret, const uint8_t *p, size_t len)
{
    size_t n = 0;

    for (; n < len && n < sizeof(ret->label) - 1 && p[n]; n++)
        ret->label[n] = (char)p[n];
    while (n > 0 && ret->label[n - 1] == ' ')
        n--;
    ret->label[n] = '\0';
    (void)str_clean(ret->label);
}

static bool read_at(int fd, void *dst, size_t len, uint64_t at)
{
    return at < INT64_MAX && pread(fd, dst, len, (off_t)at) == (ssize_t)len;
}

/* The label that users set is an entry of the root directory; the one in the boot sector is often out of
 * date. */
static void fat_label(int fd, const uint8_t *boot, struct fslabel *ret)
{
    uint64_t sector = le(boot + 11, 2), cluster = boot[13], first = le(boot + 14, 2), fats = boot[16];
    bool is32 = le(boot + 22, 2) == 0;
    uint64_t root = first + fats * (is32 ? le(boot + 36, 4) : le(boot + 22, 2));
    uint8_t dir[DIR_BYTES];

    if (is32 && le(boot + 44, 4) >= 2)
        root += (uint64_t)(le(boot + 44, 4) - 2) * cluster;
    put_label(ret, boot + (is32 ? 71 : 43), FAT_LABEL);
    if (!read_at(fd, dir, sizeof(dir), root * sector))
        return;
    for (const uint8_t *e = dir; e < dir + sizeof(dir) && e[0]; e += DIR_ENTRY)
        if (e[0] != 0xe5 && (e[11] & 0x3f) == 0x08) /* not deleted; a label and not part of a long name */
            put_label(ret, e, FAT_LABEL);
}

static void exfat_label(int fd, const uint8_t *boot, struct fslabel *ret)
{
    unsigned sector = boot[108], cluster = boot[109];
    uint32_t root = le(boot + 96, 4);
    uint8_t dir[DIR_BYTES], name[FAT_LABEL];

    if (sector < 9 || sector > 12 || cluster > 16 || root < 2 ||
        !read_at(fd, dir, sizeof(dir), (le(boot + 88, 4) + ((uint64_t)(root - 2) << cluster)) << sector))
        return;
    for (const uint8_t *e = dir; e < dir + sizeof(dir) && e[0]; e += DIR_ENTRY)
        if (e[0] == 0x83 && e[1] <= FAT_LABEL) {
            for (unsigned i = 0; i < e[1]; i++) /* UTF-16 */
                name[i] = e[3 + 2 * i] == 0 ? e[2 + 2 * i] : '?';
            put_label(ret, name, e[1]);
        }
}

int fslabel_probe(int fd, struct fslabel *ret, struct err *err)
{
    uint8_t boot[512], ext[512], iso[512];

    *ret = (struct fslabel){0};
    if (!read_at(fd, boot, sizeof(boot), 0))
        return err_set(err, ERR_IO, "cannot be read");
    if (read_at(fd, ext, sizeof(ext), EXT_AT) && ext[56] == 0x53 && ext[57] == 0xef) {
        ret->type = "ext4";
        put_label(ret, ext + 120, 16);
    } else if (memcmp(boot + 3, "EXFAT   ", 8) == 0) {
        ret->type = "exfat";
        exfat_label(fd, boot, ret);
    } else if (boot[510] == 0x55 && boot[511] == 0xaa &&
               (memcmp(boot + 54, "FAT", 3) == 0 || memcmp(boot + 82, "FAT32", 5) == 0)) {
        ret->type = "vfat";
        fat_label(fd, boot, ret);
    } else if (read_at(fd, iso, sizeof(iso), ISO_AT) && memcmp(iso + 1, "CD001", 5) == 0) {
        ret->type = "iso9660";
        put_label(ret, iso + 40, 32);
    }
    return ret->type ? 0 : err_set(err, ERR_UNSUPPORTED, "no file system that a stick may have");
}
