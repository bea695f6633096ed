/* uplink_reply.c - commands from the broker, and their answers in pieces. An answer may be as long as a log:
 * it is sent as fast as link and broker take it, and the next command is asked for once it is out. */
#include <stdio.h>

#include "agent/turn/uplink_int.h"
#include "platform/clock.h"

#define REPLY_BYTES     16000
#define REPLY_UNDER_WAY 4
#define REPLY_EXPIRY_S  60

static bool send_piece(struct uplink *u)
{
    struct uplink_reply *r = &u->reply;
    char piece[REPLY_BYTES + 1], topic[LIM_NAME_BYTES + 8];
    struct cJSON *o = json_obj();

    (void)snprintf(piece, sizeof(piece), "%s", r->text + r->at);
    size_t len = strlen(piece);
    json_put_u64(o, "v", 1);
    json_put_str(o, "id", r->command.id);
    json_put_u64(o, "n", r->n);
    json_put_bool(o, "more", r->at + len < r->len);
    json_put_str(o, "out", piece);
    if (r->error) {
        struct cJSON *e = json_put(o, "error", json_obj());
        json_put_str(e, "kind", "invalid");
        json_put_str(e, "msg", r->error);
    }
    char AUTO_MEM *json = json_print(o, false);
    (void)json_free(o);
    (void)str_fmt(topic, sizeof(topic), "reply/%s", r->command.reply);
    if (!uplink_publish(u->core, topic, json, 1, false, REPLY_EXPIRY_S, UPLINK_REPLY_ID + r->n))
        return false;
    r->at += len;
    r->n++;
    r->under_way++;
    return true;
}

void uplink_reply_drop(struct uplink *u)
{
    free(u->reply.text);
    u->reply = (struct uplink_reply){.text = NULL};
}

void uplink_reply_go_on(struct uplink *u)
{
    struct uplink_reply *r = &u->reply;

    while (r->text && r->under_way < REPLY_UNDER_WAY && (r->n == 0 || r->at < r->len))
        if (!send_piece(u)) {
            if (!u->wants_room) /* it will never be sent */
                uplink_reply_drop(u);
            return;
        }
    if (r->text && r->under_way == 0)
        uplink_reply_drop(u);
}

void uplink_reply_acked(struct uplink *u, bool sent)
{
    struct uplink_reply *r = &u->reply;

    r->under_way -= r->under_way > 0;
    if (!sent)
        uplink_reply_drop(u);
    else
        uplink_reply_go_on(u);
}

void uplink_command(struct uplink *u, const struct said_command *k)
{
    struct uplink_reply *r = &u->reply;

    if (k->exp_s < clock_wall_s()) {
        events_add(u->core, "denied", NULL, "command %s %s had expired", k->verb, k->id);
        return;
    }
    uplink_reply_drop(u); /* none should be left: link sends no command before its answer is out */
    r->command = *k;
    r->text = u->calls.answer(u->core, k, &r->error);
    r->text = r->text ? r->text : mem_need_str("");
    r->len = strlen(r->text);
    uplink_reply_go_on(u);
}
