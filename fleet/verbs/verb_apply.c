/* plan, apply, wait, explain: changing what devices run. */
#include <inttypes.h>
#include <string.h>

#include "fleet/doc/keyring.h"
#include "fleet/doc/schema.h"
#include "fleet/verbs/change.h"
#include "fleet/verbs/verbs.h"
#include "fleet/verbs/waiting.h"
#include "platform/clock.h"

#define TIMEOUT_MS (5 * 60 * 1000ULL)
#define SETTLE_MS  300ULL
#define ECHO_MS    10000ULL

int verb_plan(struct ctx *c, const struct args *a, struct err *err)
{
    struct change ch = {.mqtt = NULL};
    unsigned n = 0;
    int rc = change_make(c, a, &ch, err);

    if (rc == 0)
        n = change_print(c, &ch, stdout);
    change_done(&ch);
    if (rc < 0)
        return rc;
    return n && args_has(a, OPT_EXIT_CODE) ? EXIT_USAGE : EXIT_DONE;
}

static int dry_run(const struct change *ch)
{
    char AUTO_MEM *pretty = json_print(ch->next.node, true);

    term_json(stdout, pretty);
    out_note("dry run: nothing was signed or published");
    return EXIT_DONE;
}

/* A connection of its own: its answers do not queue behind the reports of a whole group. */
struct publishing {
    struct mqtt *mqtt;
    const char *topic;
    struct buf before; /* what was retained there when the change was planned; borrowed */
    struct buf seen;   /* and is now; owned */
};

static void on_topic(void *arg, const struct mqtt_msg *msg)
{
    struct publishing *p = arg;

    if (strcmp(msg->topic, p->topic) != 0)
        return;
    free((void *)p->seen.p);
    p->seen = buf_of(mem_need(msg->payload.len + 1), msg->payload.len);
    memcpy((void *)p->seen.p, msg->payload.p ? msg->payload.p : (const uint8_t *)"", msg->payload.len);
}

static int open_topic(const struct ctx *c, struct publishing *p, struct err *err)
{
    p->mqtt = mqtt_free(p->mqtt);
    if (mqtt_new(c, &p->mqtt, err) < 0)
        return -(int)err->kind;
    mqtt_on_message(p->mqtt, on_topic, p);
    return mqtt_retained(p->mqtt, &p->topic, 1, err);
}

/* Watch the topic for settle_ms, then read what is retained once more: it must be ours. The broker knows no
 * compare-and-swap, so the operator who is overwritten must learn of it. */
static int confirm_ours(const struct ctx *c, struct publishing *p, const char *envelope, uint64_t settle_ms,
                        struct err *err)
{
    uint64_t start = clock_boot_ms();
    int rc = 0;

    while (rc == 0 && clock_boot_ms() - start < settle_ms)
        rc = mqtt_poll(p->mqtt, 50, err);
    if (rc == 0)
        rc = mqtt_retained(p->mqtt, &p->topic, 1, err);
    if (rc < 0 && err->kind == ERR_NET)
        rc = open_topic(c, p, err);
    if (rc < 0)
        return rc;
    if (buf_eq(p->seen, p->before)) /* MQTT 3.1.1 does not tell a refusal */
        return err_set(err, ERR_DENIED, "%s: the broker did not take it (its ACL?)", p->topic);
    if (!buf_eq(p->seen, buf_str(envelope)))
        return err_set(err, ERR_CONFLICT,
                       "another operator published to %s at the same time: fleetctl plan, then decide",
                       p->topic);
    return 0;
}

/* It left us, and no answer says that it arrived: look. Out of reach (NET) is said only when it is not
 * there. */
static int find_out(const struct ctx *c, struct publishing *p, const char *envelope, struct err *err)
{
    struct err why = ERR_INIT;

    if (open_topic(c, p, &why) < 0)
        return err_set(
            err, ERR_TIMEOUT,
            "the document was sent, and the broker was lost before it said that it has it: it may be in "
            "force: fleetctl get manifest (%s)",
            why.msg);
    return buf_eq(p->seen, buf_str(envelope)) ? 0 : -(int)err->kind;
}

static int publish_on(struct ctx *c, struct publishing *p, struct change *ch, const char *envelope,
                      uint64_t settle_ms, struct err *err)
{
    struct mqtt_msg msg = {.topic = p->topic, .retain = true, .payload = buf_str(envelope)};

    if (open_topic(c, p, err) < 0)
        return -(int)err->kind;
    if (!buf_eq(p->seen, p->before))
        return err_set(err, ERR_CONFLICT,
                       "another operator published to %s meanwhile: fleetctl plan, then decide", p->topic);
    if (change_remember(c, ch, msg.payload, err) < 0)
        return -(int)err->kind;
    if (mqtt_publish(p->mqtt, &msg, err) < 0 && (err->kind != ERR_NET || find_out(c, p, envelope, err) < 0))
        return -(int)err->kind;
    if (confirm_ours(c, p, envelope, settle_ms, err) < 0)
        return err->kind == ERR_NET
                   ? err_set(err, ERR_TIMEOUT,
                             "published rev %" PRIu64 ", then the broker was lost: fleetctl get manifest",
                             ch->rev)
                   : -(int)err->kind;
    return 0;
}

static int publish(struct ctx *c, struct change *ch, uint64_t settle_ms, struct err *err)
{
    char AUTO_MEM *envelope = NULL;
    struct publishing p = {.topic = ch->view.desired_topic, .before = ch->view.desired};
    int rc;

    if (change_sign(c, ch, &envelope, err) < 0)
        return -(int)err->kind;
    rc = publish_on(c, &p, ch, envelope, settle_ms, err);
    p.mqtt = mqtt_free(p.mqtt);
    free((void *)p.seen.p);
    return rc;
}

static int apply_change(struct ctx *c, const struct args *a, struct change *ch, struct err *err)
{
    uint64_t settle_ms = SETTLE_MS, timeout_ms = TIMEOUT_MS, expect = ch->old_rev;
    struct waiting w = {.ctx = c,
                        .mqtt = ch->mqtt,
                        .view = &ch->view,
                        .target = ch->target,
                        .rev = ch->rev,
                        .doc = &ch->next.root,
                        .start_ms = clock_boot_ms()};

    if (args_ms(a, OPT_SETTLE, &settle_ms, err) < 0 || args_ms(a, OPT_TIMEOUT, &timeout_ms, err) < 0 ||
        args_u64(a, OPT_EXPECT_REV, 0, LIM_COUNTER, &expect, err) < 0)
        return -(int)err->kind;
    if (expect != ch->old_rev)
        return err_set(err, ERR_CONFLICT,
                       "the last revision is %" PRIu64 ", not %" PRIu64 ": another operator was faster",
                       ch->old_rev, expect);
    if (args_has(a, OPT_DRY_RUN))
        return dry_run(ch);
    if (c->output != OUT_JSON)
        (void)change_print(c, ch, stdout);
    fflush(stdout);
    if (publish(c, ch, settle_ms, err) < 0)
        return -(int)err->kind;
    ctx_unlock(c); /* waiting must not block other commands */
    if (!args_has(a, OPT_WAIT)) {
        if (c->output == OUT_JSON)
            term_print(stdout, "{\"rev\": %" PRIu64 ", \"result\": \"published\"}\n", ch->rev);
        else
            term_print(stdout, "published rev %" PRIu64 "\n", ch->rev);
        return EXIT_DONE;
    }
    w.timeout_ms = timeout_ms;
    return waiting_all(&w, err);
}

int verb_apply(struct ctx *c, const struct args *a, struct err *err)
{
    struct change ch = {.mqtt = NULL};
    int rc = args_has(a, OPT_DRY_RUN) ? 0 : ctx_lock(c, err);

    if (rc == 0)
        rc = change_make(c, a, &ch, err);
    if (rc == 0)
        rc = apply_change(c, a, &ch, err);
    change_done(&ch);
    return rc;
}

static int wait_one(struct waiting *w, const char *id, struct err *err)
{
    struct view v = {.n = 0};
    int rc;

    if (!str_is_name(id))
        return err_set(err, ERR_USAGE, "invalid device id '%s'", id);
    w->view = &v;
    w->target = (struct target){.device = id};
    rc = mqtt_new(w->ctx, &w->mqtt, err);
    if (rc == 0)
        rc = view_watch(&v, w->mqtt, w->ctx, id, &w->target, err);
    if (rc == 0) {
        struct view_doc doc = {.node = NULL};
        /* what it was asked, even when it has not seen it yet; after a withdrawal whatever it follows */
        bool own = v.desired.len && view_read_desired(w->ctx, v.desired, &doc, err) == 0 &&
                   !doc_bool(&doc.root, "withdrawn");
        w->rev = own ? doc_u64(&doc.root, "rev") : 0;
        json_free(doc.node);
        rc = waiting_all(w, err);
    }
    w->mqtt = mqtt_free(w->mqtt);
    view_done(&v);
    return rc;
}

int verb_wait(struct ctx *c, const struct args *a, struct err *err)
{
    const char *what = args_str(a, OPT_FOR, "phase=converged");
    struct waiting w = {.ctx = c, .timeout_ms = TIMEOUT_MS, .start_ms = clock_boot_ms()};
    int worst = EXIT_DONE;

    if (strncmp(what, "phase=", 6) != 0 || !what[6])
        return err_set(err, ERR_USAGE, "usage: --for phase=WORD");
    w.want_phase = what + 6;
    if (args_ms(a, OPT_TIMEOUT, &w.timeout_ms, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < a->n_pos; i++) {
        int rc = wait_one(&w, a->pos[i], err);
        if (rc < 0)
            return rc;
        worst = rc > worst ? rc : worst;
    }
    return worst;
}

int verb_explain(struct ctx *none, const struct args *a, struct err *err)
{
    enum out_format output;

    (void)none;
    if (out_format_parse(args_str(a, OPT_OUTPUT, NULL), &output, err) < 0)
        return -(int)err->kind;
    if (output == OUT_JSON && a->n_pos)
        return err_set(err, ERR_USAGE, "-o json is the whole JSON Schema: name no field");
    if (output == OUT_JSON) {
        out_json(schema_json());
        return 0;
    }
    return schema_explain(a->n_pos ? a->pos[0] : NULL, err);
}
