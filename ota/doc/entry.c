#include "ota/doc/entry.h"

#include <limits.h>

#define WH      ".wh."
#define WH_META ".wh..wh."
#define WH_OPQ  ".wh..wh..opq"
#define SHOWN   120

static void put(uint8_t *p, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

size_t entry_encode(const struct entry *e, uint8_t *dst)
{
    size_t path_len = strlen(e->path), link_len = strlen(e->link);

    memset(dst, 0, ENTRY_HEAD_BYTES);
    dst[0] = (uint8_t)e->kind;
    dst[1] = (uint8_t)e->flags;
    put(dst + 2, path_len, 2);
    put(dst + 4, link_len, 2);
    put(dst + 8, e->mode, 4);
    put(dst + 12, e->uid, 4);
    put(dst + 16, e->gid, 4);
    put(dst + 24, e->size, 8);
    memcpy(dst + ENTRY_HEAD_BYTES, e->path, path_len);
    memcpy(dst + ENTRY_HEAD_BYTES + path_len, e->link, link_len);
    return ENTRY_HEAD_BYTES + path_len + link_len;
}

int entry_decode_head(const uint8_t head[ENTRY_HEAD_BYTES], struct entry *ret, size_t *ret_path_len,
                      size_t *ret_link_len, struct err *err)
{
    size_t path_len = get(head + 2, 2), link_len = get(head + 4, 2);

    if (head[0] >= ENTRY_KIND_COUNT_)
        return err_set(err, ERR_INVALID, "entry of unknown kind %u", head[0]);
    if (path_len >= LIM_PATH_BYTES || link_len >= LIM_PATH_BYTES)
        return err_set(err, ERR_INVALID, "entry with a name of %zu bytes",
                       path_len > link_len ? path_len : link_len);
    ret->kind = (enum entry_kind)head[0];
    ret->flags = head[1];
    ret->mode = (uint32_t)get(head + 8, 4);
    ret->uid = (uint32_t)get(head + 12, 4);
    ret->gid = (uint32_t)get(head + 16, 4);
    ret->size = get(head + 24, 8);
    *ret_path_len = path_len;
    *ret_link_len = link_len;
    return 0;
}

int entry_decode_names(const uint8_t *names, size_t path_len, size_t link_len, struct entry *ret,
                       struct err *err)
{
    if (memchr(names, 0, path_len + link_len))
        return err_set(err, ERR_INVALID, "entry with NUL in its name");
    memcpy(ret->path, names, path_len);
    ret->path[path_len] = '\0';
    memcpy(ret->link, names + path_len, link_len);
    ret->link[link_len] = '\0';
    return 0;
}

char *entry_printable(const char *text, char *dst, size_t size)
{
    size_t n = 0;

    for (; text[n] && n + 1 < size; n++)
        dst[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    dst[n] = '\0';
    return dst;
}

static int refuse(struct err *err, const char *path, const char *why)
{
    char shown[SHOWN];

    return err_set(err, ERR_INVALID, "%s: %s", entry_printable(path, shown, sizeof(shown)), why);
}

/* Does any part of the path belong to aufs itself? */
static bool is_aufs(const char *path)
{
    static const char *const own[] = {WH_META "plnk", WH_META "orph", WH_META "aufs"};

    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        for (size_t i = 0; i < COUNT_OF(own); i++) {
            size_t n = strlen(own[i]);
            if (strncmp(p, own[i], n) == 0 && (p[n] == '\0' || p[n] == '/'))
                return true;
        }
    return false;
}

int entry_classify(struct entry *e, struct err *err)
{
    char *slash = strrchr(e->path, '/');
    char *base = slash ? slash + 1 : e->path;

    if (is_aufs(e->path))
        return 1;
    if (strncmp(base, WH, strlen(WH)) != 0)
        return 0;
    if (e->kind != ENTRY_FILE || e->size != 0)
        return refuse(err, e->path, "a whiteout that is not an empty file");
    if (strcmp(base, WH_OPQ) == 0) {
        e->kind = ENTRY_OPAQUE;
        *(slash ? slash : e->path) = '\0';
        if (!slash)
            strcpy(e->path, "./");
        return 0;
    }
    const char *name = base + strlen(WH);
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        strncmp(name, WH, strlen(WH)) == 0)
        return refuse(err, e->path, "a whiteout of nothing");
    e->kind = ENTRY_WHITEOUT;
    memmove(base, name, strlen(name) + 1);
    return 0;
}

/* Normalise to the canonical spelling; returns why it is invalid, or NULL. */
static const char *normalise(char *path)
{
    unsigned depth = 0;
    size_t len;

    if (strcmp(path, "/") == 0) /* the root itself, as umoci insert writes it */
        path[0] = '\0';
    if (path[0] == '/')
        return "an absolute path";
    while (path[0] == '.' && path[1] == '/')
        memmove(path, path + 2, strlen(path) - 1);
    if (strcmp(path, ".") == 0)
        path[0] = '\0';
    len = strlen(path);
    if (len > 1 && path[len - 1] == '/')
        path[len - 1] = '\0';
    if (path[0] == '\0')
        return NULL;
    for (char *p = path, *end; p; p = *end ? end + 1 : NULL) {
        end = p + strcspn(p, "/");
        size_t n = (size_t)(end - p);
        if (n == 0)
            return "an empty part in the path";
        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return "\".\" or \"..\" in the path";
        if (n > NAME_MAX)
            return "a part of the path is longer than 255 bytes";
        if (strncmp(p, WH, strlen(WH)) == 0)
            return "a name of the whiteouts";
        if (++depth > LIM_PATH_DEPTH)
            return "too deep";
    }
    return NULL;
}

static const char *check_link(struct entry *e)
{
    if (e->kind == ENTRY_SYMLINK)
        return e->link[0] ? NULL : "a link to nothing";
    if (e->kind != ENTRY_HARDLINK)
        return e->link[0] ? "a link text without a link" : NULL;
    const char *why = normalise(e->link);
    if (!why && e->link[0] == '\0')
        why = "a hard link to the root directory";
    size_t len = strlen(e->path);
    if (!why && strncmp(e->link, e->path, len) == 0 && (e->link[len] == '\0' || e->link[len] == '/'))
        why = "a hard link to itself, or to what it would replace";
    return why;
}

int entry_check(struct entry *e, struct err *err)
{
    char shown[SHOWN];

    (void)entry_printable(e->path, shown, sizeof(shown));
    /* a directory's "" is the canonical root, as in records */
    if (e->path[0] == '\0' && e->kind != ENTRY_DIR && e->kind != ENTRY_OPAQUE)
        return err_set(err, ERR_INVALID, "entry without a name");
    const char *why = normalise(e->path);
    if (!why)
        why = check_link(e);
    if (!why && e->path[0] == '\0' && e->kind != ENTRY_DIR && e->kind != ENTRY_OPAQUE)
        why = "the root directory can only be a directory";
    if (!why && (e->uid == UINT32_MAX || e->gid == UINT32_MAX))
        why = "owner -1";
    if (!why && e->size != 0 && e->kind != ENTRY_FILE)
        why = "content without a file";
    if (!why && (e->mode & ~(uint32_t)ENTRY_MODE_MASK))
        why = "unknown mode bits";
    return why ? err_set(err, ERR_INVALID, "%s: %s", shown, why) : 0;
}
