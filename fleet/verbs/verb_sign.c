/* sign, forget: a signed document for a stick or a paste, and taking back what a target was given. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "fleet/verbs/change.h"
#include "fleet/verbs/verbs.h"
#include "platform/fs.h"
#include "platform/paste.h"

static int write_out(const char *file, const char *text, struct err *err)
{
    if (strcmp(file, "-") == 0) {
        term_lines(stdout, buf_str(text));
        return 0;
    }
    const char *slash = strrchr(file, '/');
    char dir[512];
    AUTO_FD int fd = -1;

    if (!str_fmt(dir, sizeof(dir), "%.*s", slash ? (int)(slash - file + 1) : 1, slash ? file : "."))
        return err_set(err, ERR_INVALID, "%s: path too long", file);
    if (fs_open_dir(AT_FDCWD, dir, false, 0, &fd, err) < 0 ||
        fs_write_durable(fd, slash ? slash + 1 : file, buf_str(text), 0644, err) < 0)
        return err_wrap(err, "%s", file);
    return 0;
}

static int sign(struct ctx *c, const struct args *a, struct change *ch, struct err *err)
{
    char AUTO_MEM *envelope = NULL, AUTO_MEM *lines = NULL;
    const char *file = args_str(a, OPT_OUT, "-");

    if (ctx_lock(c, err) < 0 || change_make_alone(c, a, ch, err) < 0 ||
        change_sign(c, ch, &envelope, err) < 0 || change_remember(c, ch, buf_str(envelope), err) < 0)
        return -(int)err->kind;
    lines = paste_fold(buf_str(envelope));
    if (write_out(file, lines, err) < 0)
        return -(int)err->kind;
    out_note("signed rev %" PRIu64
             " for %s %s; the broker was not asked: a device takes it if it has seen none "
             "from that on. On "
             "the device: agentctl apply FILE, or agentctl apply - and paste",
             ch->rev, ch->target.device ? "device" : "group",
             ch->target.device ? ch->target.device : ch->target.group);
    return EXIT_DONE;
}

int verb_sign(struct ctx *c, const struct args *a, struct err *err)
{
    struct change ch = {.mqtt = NULL};
    int rc = sign(c, a, &ch, err);

    change_done(&ch);
    return rc;
}

/* ---- forget ---- */

static bool is_confirmed(const struct args *a, const char *name)
{
    const char *given = args_str(a, OPT_CONFIRM, NULL);
    char line[LIM_NAME_BYTES + 2] = "";

    if (given || !isatty(STDIN_FILENO))
        return given && strcmp(given, name) == 0;
    out_note("type %s once more to continue:", name);
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return strcmp(line, name) == 0;
}

/* Somebody who hears it: the device when it is online, any device of the group. */
static bool is_heard(const struct change *ch)
{
    for (unsigned i = 0; i < ch->view.n; i++) {
        const struct view_device *d = ch->view.devices[i];
        if (view_in_target(d, &ch->target) && (ch->target.group || d->online))
            return true;
    }
    return false;
}

static int empty_topic(struct mqtt *m, const char *topic, struct err *err)
{
    const struct mqtt_msg msg = {.topic = topic, .retain = true};

    if (mqtt_publish(m, &msg, err) < 0)
        return -(int)err->kind;
    term_print(stdout, "forgotten  %s\n", topic);
    return 0;
}

/* Nobody hears: what is retained goes, and with it the row of the device. */
static int forget_all(const struct ctx *c, const struct change *ch, struct err *err)
{
    static const char *const parts[] = {"state", "online"};
    char topic[200];

    if (empty_topic(ch->mqtt, ch->view.desired_topic, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; ch->target.device && i < COUNT_OF(parts); i++) {
        (void)str_fmt(topic, sizeof(topic), MQTT_ROOT "/%s/d/%s/%s", c->fleet, ch->target.device, parts[i]);
        if (empty_topic(ch->mqtt, topic, err) < 0)
            return -(int)err->kind;
    }
    return EXIT_DONE;
}

/* Devices keep what they took, and an empty message changes nothing for them: a signed one does. */
static int withdraw(struct ctx *c, struct change *ch, struct err *err)
{
    char AUTO_MEM *envelope = NULL;
    struct mqtt_msg msg = {.topic = ch->view.desired_topic, .retain = true};

    if (change_sign(c, ch, &envelope, err) < 0 || change_remember(c, ch, buf_str(envelope), err) < 0)
        return -(int)err->kind;
    msg.payload = buf_str(envelope);
    if (mqtt_publish(ch->mqtt, &msg, err) < 0)
        return -(int)err->kind;
    term_print(stdout,
               "withdrawn  %s, rev %" PRIu64
               ": devices follow the next document that is for them; without one, "
               "what runs keeps running\n",
               ch->view.desired_topic, ch->rev);
    return EXIT_DONE;
}

static int forget(struct ctx *c, const struct args *a, struct change *ch, struct err *err)
{
    const char *name;
    bool heard;

    if (ctx_lock(c, err) < 0 || change_make_withdrawn(c, a, ch, err) < 0)
        return -(int)err->kind;
    name = ch->target.device ? ch->target.device : ch->target.group;
    heard = is_heard(ch);
    if (!heard && !ch->view.desired.len && !(ch->target.device && view_find(&ch->view, name)))
        return err_set(err, ERR_NOTFOUND, "the broker holds nothing of %s", name);
    out_note("%s %s: %s", ch->target.device ? "device" : "group", name,
             heard               ? "its document is withdrawn by a signed one; what it has reported stays"
             : ch->target.device ? "it is not online: its document and its last report go; if it comes back, "
                                   "it keeps what it had"
                                 : "no device has reported that it is in it: its document goes");
    if (!is_confirmed(a, name))
        return err_set(err, ERR_USAGE, "not confirmed: nothing was done (--confirm %s)", name);
    return heard ? withdraw(c, ch, err) : forget_all(c, ch, err);
}

int verb_forget(struct ctx *c, const struct args *a, struct err *err)
{
    struct change ch = {.mqtt = NULL};
    int rc = forget(c, a, &ch, err);

    change_done(&ch);
    return rc;
}
