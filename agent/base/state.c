#include "agent/base/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "platform/fs.h"

#define PACKED_MAX (2 * LIM_ENVELOPE_BYTES)
#define READ_TRIES 5

/* Conclusions from an unreadable file are saved, so a disk that fails for a moment is given more than one
 * chance. */
static int read_patiently(int dir_fd, const char *name, size_t max_bytes, uint8_t **ret, size_t *ret_len,
                          struct err *err)
{
    const struct timespec pause_200ms = {0, 200000000};
    struct err why = ERR_INIT;
    int rc = -(int)ERR_IO;

    for (int i = 0; i < READ_TRIES && rc < 0; i++) {
        rc = fs_read(dir_fd, name, max_bytes, ret, ret_len, &why);
        if (rc == 0 || !err_may_retry(why.kind))
            break;
        (void)nanosleep(&pause_200ms, NULL);
    }
    return rc < 0 ? err_set(err, why.kind, "%s", why.msg) : 0;
}

int state_open(int state_dir_fd, struct state *ret, char note[200], struct err *err)
{
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    struct err why = ERR_INIT;

    mem_clear(ret, sizeof(*ret));
    note[0] = '\0';
    int rc = fs_open_dir(state_dir_fd, "state", true, 0700, &ret->dir_fd, err);
    if (rc < 0)
        return rc;
    rc = read_patiently(ret->dir_fd, "ledger", LIM_ENVELOPE_BYTES, &text, &len, &why);
    if (rc == 0)
        rc = ledger_parse(buf_of(text, len), &ret->ledger, &why);
    else if (why.kind == ERR_NOTFOUND && faccessat(ret->dir_fd, "desired", F_OK, 0) < 0)
        return 0; /* first start of this device */
    if (rc < 0) {
        (void)str_fmt(note, 200,
                      "the ledger could not be read (%.120s); its counters are taken from what is saved",
                      why.msg);
        (void)renameat(ret->dir_fd, "ledger", ret->dir_fd, "ledger.bad");
        mem_clear(&ret->ledger, sizeof(ret->ledger));
        ret->lost = true;
    }
    return 0;
}

void state_close(struct state *s)
{
    if (s->dir_fd > 0)
        (void)close(s->dir_fd);
    s->dir_fd = -1;
}

int state_save(struct state *s, struct err *err)
{
    struct cJSON *o = ledger_build(&s->ledger);
    char AUTO_MEM *text = json_print(o, false);

    (void)json_free(o);
    return fs_write_durable(s->dir_fd, "ledger", buf_str(text), 0600, err);
}

static int load(const struct state *s, const char *name, struct envelope **ret, struct err *err)
{
    uint8_t AUTO_MEM *bytes = NULL;
    size_t len;
    int rc = read_patiently(s->dir_fd, name, PACKED_MAX, &bytes, &len, err);

    return rc < 0 ? rc : envelope_unpack(buf_of(bytes, len), ret, err);
}

static int store(struct state *s, const char *name, const struct envelope *e, struct err *err)
{
    size_t len;
    uint8_t AUTO_MEM *bytes = envelope_pack(e, &len);

    return fs_write_durable(s->dir_fd, name, buf_of(bytes, len), 0600, err);
}

int state_load(const struct state *s, enum state_slot slot, struct envelope **ret, struct err *err)
{
    return load(s, ledger_slot_name(slot), ret, err);
}

int state_store(struct state *s, enum state_slot slot, const struct envelope *e, struct err *err)
{
    return store(s, ledger_slot_name(slot), e, err);
}

int state_copy(struct state *s, enum state_slot from, enum state_slot to, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    int rc = state_load(s, from, &e, err);

    return rc < 0 ? rc : state_store(s, to, e, err);
}

static void set_aside(struct state *s, const char *name)
{
    char bad[STATE_SOURCE + 16];

    if (str_fmt(bad, sizeof(bad), "%s.bad", name))
        (void)renameat(s->dir_fd, name, s->dir_fd, bad);
}

void state_set_aside(struct state *s, enum state_slot slot)
{
    set_aside(s, ledger_slot_name(slot));
}

/* Sources are "device" and "group:NAME", from the agent's settings: never a path. */
static const char *doc_name(const char *source, char dst[STATE_SOURCE + 8])
{
    (void)str_fmt(dst, STATE_SOURCE + 8, "doc.%s", source);
    return dst;
}

int state_doc_load(const struct state *s, const char *source, struct envelope **ret, struct err *err)
{
    char name[STATE_SOURCE + 8];

    return load(s, doc_name(source, name), ret, err);
}

int state_doc_store(struct state *s, const char *source, const struct envelope *e, struct err *err)
{
    char name[STATE_SOURCE + 8];

    return store(s, doc_name(source, name), e, err);
}

void state_doc_drop(struct state *s, const char *source)
{
    char name[STATE_SOURCE + 8];

    (void)unlinkat(s->dir_fd, doc_name(source, name), 0);
}
