#include "fleet/verbs/change.h"

#include <inttypes.h>
#include <pwd.h>
#include <string.h>

#include "fleet/doc/keyring.h"
#include "platform/clock.h"

#define YEAR_MS (365ULL * 86400ULL * 1000ULL)

void change_done(struct change *ch)
{
    ch->mqtt = mqtt_free(ch->mqtt);
    view_done(&ch->view);
    ch->old.node = json_free(ch->old.node);
    ch->next.node = json_free(ch->next.node);
    free(ch->text);
    ch->text = NULL;
}

static void last_name(const struct target *t, char dst[100])
{
    (void)str_fmt(dst, 100, "desired/%c-%s.json", t->device ? 'd' : 'g', t->device ? t->device : t->group);
}

/* What we signed last for a target, also when the broker has forgotten it; ret->node stays NULL when there is
 * none. */
static void read_last(const struct ctx *c, const struct target *t, struct view_doc *ret)
{
    AUTO_BUF text = {NULL, 0};
    struct err why = ERR_INIT; /* none, or not ours */
    char name[100];

    last_name(t, name);
    if (ctx_read(c, name, LIM_ENVELOPE_BYTES, &text, &why) == 0)
        err_ignore(view_read_desired(c, text, ret, &why));
}

/* Its revision. A broker that lost what it kept, or dropped messages on the way here, has nothing to say of
 * it. */
static uint64_t last_signed(const struct ctx *c, const struct change *ch)
{
    const struct target *t = &ch->target;
    struct view_doc doc = {.node = NULL};
    uint64_t rev;

    read_last(c, t, &doc);
    rev = doc.node ? doc_u64(&doc.root, "rev") : 0;
    if (doc.node && !doc_bool(&doc.root, "withdrawn") && !ch->view.desired.len)
        out_note(
            "warning: the broker gave no document for %s, though this directory signed rev %" PRIu64
            " for it: it was "
            "only signed "
            "or was forgotten, else the broker lost it or dropped messages, and what it says may be a part",
            t->device ? t->device : t->group, rev);
    json_free(doc.node);
    return rev;
}

int change_remember(const struct ctx *c, const struct change *ch, struct buf envelope, struct err *err)
{
    char name[100];

    last_name(&ch->target, name);
    return ctx_replace(c, name, envelope, 0644, err);
}

int change_sign(const struct ctx *c, const struct change *ch, char **ret, struct err *err)
{
    char AUTO_MEM *envelope = NULL;

    if (keyring_sign(c, TRUST_FLEET, ENVELOPE_TYPE_DESIRED, buf_str(ch->text), &envelope, err) < 0)
        return -(int)err->kind;
    if (strlen(envelope) > LIM_ENVELOPE_BYTES)
        return err_set(err, ERR_NOSPACE, "the signed document has %zu bytes, devices take %d",
                       strlen(envelope), LIM_ENVELOPE_BYTES);
    *ret = steal_ptr(&envelope);
    return 0;
}

/* Above it nobody gets by counting: such a number of a key that counts no more is a theft's, and devices
 * start over. */
#define REV_ABSURD (1ULL << 52)

static bool is_signed_now(const struct ctx *c, struct buf envelope)
{
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct err why = ERR_INIT; /* by a key that is retired */

    return keyring_verify(c, TRUST_FLEET, ENVELOPE_TYPE_DESIRED, envelope, &env, &why) == 0;
}

/* The last revision: the highest of what is retained, what we signed and what the device says it has seen. A
 * device takes only a higher one. */
static void find_old(const struct ctx *c, struct change *ch)
{
    struct err why = ERR_INIT;
    const struct view_device *d = ch->target.device ? view_find(&ch->view, ch->target.device) : NULL;
    uint64_t more = last_signed(c, ch);

    if (ch->view.desired.len && view_read_desired(c, ch->view.desired, &ch->old, &why) < 0)
        out_note("warning: what the broker holds for this target is not this fleet's: %s", why.msg);
    if (ch->old.node)
        ch->old_rev = doc_u64(&ch->old.root, "rev");
    if (ch->old_rev >= REV_ABSURD && !is_signed_now(c, ch->view.desired)) {
        out_note("warning: rev %" PRIu64
                 " on the broker was signed by a key that is retired: revisions start again",
                 ch->old_rev);
        ch->old.node = json_free(ch->old.node);
        ch->old_rev = more;
        return;
    }
    ch->old_rev = more > ch->old_rev ? more : ch->old_rev;
    if (ch->old.node || !d || !d->state.node || strcmp(doc_str(&d->state.root, "source", ""), "device") != 0)
        return;
    more = doc_u64(&d->state.root, "want");
    if (more < REV_ABSURD)
        ch->old_rev = more > ch->old_rev ? more : ch->old_rev;
}

static const char *user_name(void)
{
    const char *sudo = getenv("SUDO_USER");
    struct passwd *pw = getpwuid(getuid());

    return sudo && *sudo ? sudo : (pw ? pw->pw_name : NULL);
}

/* The document with everything filled in, as text and parsed. */
static int fill_next(const struct ctx *c, struct buf text, const struct fill *f, struct change *ch,
                     struct err *err)
{
    ch->next.node = json_free(ch->next.node);
    free(steal_ptr(&ch->text));
    if (desired_fill(c, text, f, &ch->text, err) < 0 ||
        json_parse(buf_str(ch->text), &json_limits_signed, &ch->next.root, err) < 0)
        return -(int)err->kind;
    ch->next.node = ch->next.root.node;
    return 0;
}

/* Not before the keys that sign it: a device takes nothing from before the trust document that changed
 * them. */
static uint64_t issued_now(const struct ctx *c)
{
    struct trust_doc AUTO_MEM *t = mem_need_zero(sizeof(*t));
    uint64_t now = clock_wall_s();

    return keyring_trust_load(c, keyring_trust_last_version(c), t, NULL) == 0 && t->issued_s > now
               ? t->issued_s
               : now;
}

static int begin_fill(const struct ctx *c, const struct args *a, struct change *ch, struct fill *f,
                      struct err *err)
{
    uint64_t valid_ms = YEAR_MS;

    if (desired_target_parse(a, &ch->target, err) < 0 || args_ms(a, OPT_EXPIRES, &valid_ms, err) < 0)
        return -(int)err->kind;
    *f = (struct fill){.target = ch->target,
                       .rev = 1,
                       .issued_s = issued_now(c),
                       .by = args_str(a, OPT_BY, user_name()),
                       .retry = args_has(a, OPT_RETRY)};
    f->expires_s = f->issued_s + valid_ms / 1000;
    return 0;
}

/* The file of -f and what is filled into it: what is wrong with either shows before the broker is asked.
 * text: owner: caller. */
static int begin_file(const struct ctx *c, const struct args *a, struct change *ch, struct fill *f,
                      struct buf *text, struct err *err)
{
    const char *file = args_str(a, OPT_FILE, NULL);

    if (!file)
        return err_set(err, ERR_USAGE, "-f FILE is needed");
    if (begin_fill(c, a, ch, f, err) < 0 || desired_read(file, text, err) < 0)
        return -(int)err->kind;
    return fill_next(c, *text, f, ch, err) < 0 ? err_wrap(err, "%s", file) : 0;
}

/* The same with the revision that it gets and the document before it. */
static int end_file(const struct ctx *c, const struct args *a, struct change *ch, struct fill *f,
                    struct buf text, struct err *err)
{
    ch->rev = f->rev;
    f->old = ch->old.node ? &ch->old.root : NULL;
    return fill_next(c, text, f, ch, err) < 0 ? err_wrap(err, "%s", args_str(a, OPT_FILE, "")) : 0;
}

int change_make(struct ctx *c, const struct args *a, struct change *ch, struct err *err)
{
    AUTO_BUF text = {NULL, 0};
    struct fill fill;

    if (begin_file(c, a, ch, &fill, &text, err) < 0 || mqtt_new(c, &ch->mqtt, err) < 0 ||
        view_watch(&ch->view, ch->mqtt, c, ch->target.device, &ch->target, err) < 0)
        return -(int)err->kind;
    find_old(c, ch);
    fill.rev = ch->old_rev + 1;
    return end_file(c, a, ch, &fill, text, err);
}

int change_make_alone(struct ctx *c, const struct args *a, struct change *ch, struct err *err)
{
    AUTO_BUF text = {NULL, 0};
    struct fill fill;

    if (begin_file(c, a, ch, &fill, &text, err) < 0)
        return -(int)err->kind;
    read_last(c, &ch->target, &ch->old);
    ch->old_rev = ch->old.node ? doc_u64(&ch->old.root, "rev") : 0;
    fill.rev = ch->old_rev + 1;
    if (args_u64(a, OPT_REV, 1, REV_ABSURD, &fill.rev, err) < 0)
        return -(int)err->kind;
    return end_file(c, a, ch, &fill, text, err);
}

int change_make_withdrawn(struct ctx *c, const struct args *a, struct change *ch, struct err *err)
{
    struct fill fill;

    if (begin_fill(c, a, ch, &fill, err) < 0 || mqtt_new(c, &ch->mqtt, err) < 0 ||
        view_watch(&ch->view, ch->mqtt, c, ch->target.device, &ch->target, err) < 0)
        return -(int)err->kind;
    find_old(c, ch);
    fill.rev = ch->rev = ch->old_rev + 1;
    return fill_next(c, BUF_LIT("{\"withdrawn\":true}"), &fill, ch, err);
}
