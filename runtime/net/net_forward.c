/* net_forward.c - see net_forward.h. */
#include "runtime/net/net_forward.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "platform/fs.h"
#include "runtime/net/net.h"

#define FORWARD4 "/proc/sys/net/ipv4/ip_forward"
#define CONF6    "/proc/sys/net/ipv6/conf"
#define FORWARD6 CONF6 "/all/forwarding"
#define NOTE     "limpet: was off:" /* followed by "v4", "v6", and interfaces whose accept_ra was 1 */

static bool reads(const char *path, const char *value)
{
    char now[16] = "";

    return fs_read_text(AT_FDCWD, path, now, sizeof(now), NULL) > 0 && strcmp(now, value) == 0;
}

bool net_forward_has6(void)
{
    return reads(CONF6 "/all/disable_ipv6", "0") && reads(CONF6 "/default/disable_ipv6", "0");
}

/* Is this word in the note? */
static bool has_word(const char *note, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = note; (at = strstr(at, word)); at += len)
        if (at > note && at[-1] == ' ' && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

static void add_word(char *note, size_t size, const char *word)
{
    size_t len = strlen(note);

    if (!has_word(note, word) && len + strlen(word) + 2 <= size)
        (void)snprintf(note + len, size - len, " %s", word);
}

/* For each interface that accepts router advertisements: add it to the note (first), or let it keep accepting
 * them. */
static void each_listener(char *note, size_t size)
{
    DIR *d = opendir(CONF6);
    char path[320];

    for (struct dirent *e; d && (e = readdir(d));) {
        (void)snprintf(path, sizeof(path), CONF6 "/%s/accept_ra", e->d_name);
        if (e->d_name[0] == '.' || strcmp(e->d_name, "all") == 0 || strcmp(e->d_name, "default") == 0 ||
            strcmp(e->d_name, "lo") == 0 || strncmp(e->d_name, "limpet", 6) == 0 ||
            strncmp(e->d_name, NET_NAMED, strlen(NET_NAMED)) == 0 || !reads(path, "1"))
            continue;
        if (note)
            add_word(note, size, e->d_name);
        else
            err_ignore(fs_write_text(AT_FDCWD, path, "2", NULL));
    }
    if (d)
        (void)closedir(d);
}

int net_forward_open(int nl, const char *alias, bool v6, struct err *err)
{
    bool off4 = reads(FORWARD4, "0"), off6 = v6 && reads(FORWARD6, "0");
    char note[128];
    int rc = 0;

    if (!off4 && !off6)
        return 0;
    (void)snprintf(note, sizeof(note), "%s", strncmp(alias, NOTE, strlen(NOTE)) == 0 ? alias : NOTE);
    if (off4)
        add_word(note, sizeof(note), "v4");
    if (off6) {
        add_word(note, sizeof(note), "v6");
        each_listener(note, sizeof(note));
    }
    if ((rc = netlink_set_alias(nl, NET_BRIDGE, note)) < 0)
        return err_errno(err, -rc, "note on " NET_BRIDGE);
    if (off4 && (rc = fs_write_text(AT_FDCWD, FORWARD4, "1", err)) < 0)
        return rc;
    if (off6)
        each_listener(NULL, 0);
    rc = off6 ? fs_write_text(AT_FDCWD, FORWARD6, "1", err) : 0;
    return rc < 0 ? rc : 0;
}

void net_forward_restore(const char *alias)
{
    char words[128], path[200], *save = NULL;

    if (strncmp(alias, NOTE, strlen(NOTE)) != 0)
        return;
    (void)str_copy(words, sizeof(words), alias + strlen(NOTE));
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        if (strcmp(w, "v4") == 0)
            err_ignore(fs_write_text(AT_FDCWD, FORWARD4, "0", NULL));
        else if (strcmp(w, "v6") == 0)
            err_ignore(fs_write_text(AT_FDCWD, FORWARD6, "0", NULL));
        else if (!strchr(w, '/') && str_fmt(path, sizeof(path), CONF6 "/%s/accept_ra", w) && reads(path, "2"))
            err_ignore(fs_write_text(AT_FDCWD, path, "1", NULL));
    }
}
