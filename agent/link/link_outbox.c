#include "agent/link/link_outbox.h"

#include "platform/err.h"

static bool is_command(const char *source)
{
    return strcmp(source, "cmd") == 0;
}

static struct outbox_item *find(struct outbox *o, const char *key)
{
    for (struct outbox_item *i = o->first_; i; i = i->next_)
        if (strcmp(i->key, key) == 0)
            return i;
    return NULL;
}

static struct outbox_item *append(struct outbox *o, const char *source, const char *key)
{
    struct outbox_item **at = &o->first_, *i = mem_need_zero(sizeof(*i));

    while (*at)
        at = &(*at)->next_;
    *at = i;
    (void)str_copy(i->source, sizeof(i->source), source);
    (void)str_copy(i->key, sizeof(i->key), key);
    o->n++;
    o->n_commands += is_command(source);
    return i;
}

void link_outbox_put(struct outbox *o, const char *source, const char *key, struct buf payload, bool retained)
{
    struct outbox_item *i = is_command(source) ? NULL : find(o, key);

    if (is_command(source) && o->n_commands == OUTBOX_COMMANDS) {
        o->dropped_commands++;
        return;
    }
    if (!i)
        i = append(o, source, key);
    free(i->bytes);
    i->bytes = mem_need(payload.len + 1);
    if (payload.len)
        memcpy(i->bytes, payload.p, payload.len);
    i->len = payload.len;
    i->retained = retained;
}

void link_outbox_state(struct outbox *o, const char *text)
{
    (void)str_fmt(o->state, sizeof(o->state), "%s", text); /* only the reason's end may be cut */
}

void link_outbox_ack(struct outbox *o, uint32_t id, int code)
{
    if (o->n_acks == OUTBOX_ACKS) { /* core has fewer outstanding; it resends what is never acknowledged */
        memmove(&o->acks[0], &o->acks[1], (OUTBOX_ACKS - 1) * sizeof(o->acks[0]));
        o->n_acks--;
    }
    o->acks[o->n_acks].id = id;
    o->acks[o->n_acks++].code = code;
}

static char *place_of(struct outbox *o, const char *source)
{
    for (unsigned i = 0; i < COUNT_OF(o->under_way); i++)
        if (strcmp(o->under_way[i], source) == 0)
            return o->under_way[i];
    return NULL;
}

void link_outbox_next(struct outbox *o, const char *source)
{
    char *place = place_of(o, source);

    if (place && source[0])
        place[0] = '\0';
}

bool link_outbox_is_full(const struct outbox *o)
{
    return o->n >= OUTBOX_FULL;
}

static void drop(struct outbox *o, struct outbox_item **at)
{
    struct outbox_item *i = *at;

    *at = i->next_;
    o->n--;
    o->n_commands -= is_command(i->source);
    free(i->bytes);
    free(i);
}

static bool flush_words(struct outbox *o, const struct outbox_calls *calls)
{
    char text[80];
    unsigned sent = 0;
    bool room = true;

    if (o->state[0] && (room = calls->say(calls->arg, o->state)))
        o->state[0] = '\0';
    while (room && sent < o->n_acks) {
        (void)str_fmt(text, sizeof(text), "ack %u %d", o->acks[sent].id, o->acks[sent].code);
        room = calls->say(calls->arg, text);
        sent += room;
    }
    o->n_acks -= sent;
    memmove(&o->acks[0], &o->acks[sent], o->n_acks * sizeof(o->acks[0]));
    return room;
}

/* Dropped commands are reported once, in place of a command. */
static bool flush_dropped(struct outbox *o, const struct outbox_calls *calls)
{
    char text[80], *place = place_of(o, "");

    if (!o->dropped_commands || place_of(o, "cmd") || !place)
        return true;
    (void)str_fmt(text, sizeof(text), "bad cmd too many commands at once: %u left out", o->dropped_commands);
    if (!calls->say(calls->arg, text))
        return false;
    (void)str_copy(place, sizeof(o->under_way[0]), "cmd");
    o->dropped_commands = 0;
    return true;
}

/* A document signed with keys of a pending trust document is judged after it. */
static bool waits_for_trust(struct outbox *o, const struct outbox_item *i)
{
    if (is_command(i->source) || strcmp(i->source, "trust") == 0)
        return false;
    if (place_of(o, "trust"))
        return true;
    for (const struct outbox_item *k = o->first_; k; k = k->next_)
        if (strcmp(k->source, "trust") == 0)
            return true;
    return false;
}

bool link_outbox_flush(struct outbox *o, const struct outbox_calls *calls)
{
    struct outbox_item **at = &o->first_;

    if (!flush_words(o, calls))
        return true;
    while (*at) {
        char *place = place_of(o, "");
        if (place_of(o, (*at)->source) || !place || waits_for_trust(o, *at)) {
            at = &(*at)->next_;
            continue;
        }
        if (!calls->pass_on(calls->arg, *at))
            return true;
        (void)str_copy(place, sizeof(o->under_way[0]), (*at)->source);
        drop(o, at);
    }
    return !flush_dropped(o, calls);
}
