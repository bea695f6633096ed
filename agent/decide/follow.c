#include "agent/decide/follow.h"

#include <inttypes.h>

#include "platform/clock.h"

static void add(struct follow *f, const char *prefix, const char *name)
{
    char source[FOLLOW_SOURCE];

    (void)str_fmt(source, sizeof(source), "%s%s", prefix, name);
    if (f->n < FOLLOW_DOCS && !follow_find(f, source))
        (void)str_copy(f->docs[f->n++].source, sizeof(source), source);
}

void follow_init(struct follow *f, const struct config *config)
{
    mem_clear(f, sizeof(*f));
    add(f, "device", "");
    for (unsigned i = 0; i < config->n_groups; i++)
        if (strcmp(config->groups[i], "all") != 0)
            add(f, "group:", config->groups[i]);
    add(f, "group:", "all");
}

struct follow_doc *follow_find(struct follow *f, const char *source)
{
    for (unsigned i = 0; i < f->n; i++)
        if (strcmp(f->docs[i].source, source) == 0)
            return &f->docs[i];
    return NULL;
}

unsigned follow_rank(const struct follow *f, const char *source)
{
    unsigned i = 0;

    while (i < f->n && strcmp(f->docs[i].source, source) != 0)
        i++;
    return i;
}

char *follow_source(const struct desired *d, char *dst)
{
    (void)str_fmt(dst, FOLLOW_SOURCE, "%s%s", d->group ? "group:" : "device", d->group ? d->group : "");
    return dst;
}

void follow_set(struct follow_doc *doc, const struct desired *d, const struct digest *digest,
                const char *device, bool at_once)
{
    doc->known = true;
    doc->withdrawn = d->withdrawn;
    doc->rev = d->rev;
    doc->digest = *digest;
    doc->shut = false;
    doc->at_once = at_once;
    doc->begins_s = 0;
    doc->closed[0] = '\0';
    if (!d->has_rollout || at_once)
        return;
    unsigned slot = manifest_slot(d->salt, device);
    doc->shut = slot >= d->slots;
    doc->begins_s = manifest_begins_s(d, device);
    (void)str_fmt(doc->closed, sizeof(doc->closed),
                  "rev %" PRIu64 ": slot %u of rollout %.64s, open to %" PRIu64, d->rev, slot, d->salt,
                  d->slots);
}

void follow_choose(struct follow *f, uint64_t now_s, struct follow_choice *ret)
{
    char when[24];

    *ret = (struct follow_choice){.doc = NULL};
    for (unsigned i = 0; i < f->n && !ret->doc; i++)
        if (f->docs[i].known && !f->docs[i].withdrawn)
            ret->doc = &f->docs[i];
    if (!ret->doc)
        return;
    ret->held = ret->doc->shut || ret->doc->begins_s > now_s;
    if (ret->doc->shut)
        (void)str_copy(ret->why, sizeof(ret->why), ret->doc->closed);
    else if (ret->held)
        (void)str_fmt(ret->why, sizeof(ret->why),
                      "rev %" PRIu64 ": this device's turn of the rollout is at %s", ret->doc->rev,
                      clock_rfc3339(ret->doc->begins_s, when, sizeof(when)));
}

bool follow_unsaved(const struct follow *f)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->docs[i].unsaved)
            return true;
    return false;
}
