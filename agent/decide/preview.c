#include "agent/decide/preview.h"

/* The facts of the same release, wherever it is in the set; NULL: not in the set. */
static const struct app_facts *find_release(const struct set_facts *f, const struct digest *release)
{
    for (unsigned i = 0; f->d && i < f->d->n; i++)
        if (digest_eq(&f->d->apps[i].release, release))
            return &f->apps[i];
    return NULL;
}

static const struct app_facts *find_same(const struct set_facts *f, const struct want *w)
{
    const struct want *same = manifest_find(f->d, w->name);

    return same && digest_eq(&same->hash, &w->hash) ? &f->apps[same - f->d->apps] : NULL;
}

static struct app_facts facts_of(const struct observed *now, const struct want *w)
{
    const struct set_facts *const sets[] = {&now->candidate, &now->good};
    const struct app_facts *image = NULL, *same = NULL;

    for (unsigned i = 0; i < COUNT_OF(sets); i++) {
        image = image ? image : find_release(sets[i], &w->release);
        same = same ? same : find_same(sets[i], w);
    }
    return (struct app_facts){.image = image ? image->image : IMAGE_NO_RELEASE,
                              .cost = image ? image->cost : (struct cost){.route = NULL},
                              .lack = same ? same->lack : (struct lack){.path = NULL}};
}

void preview_facts(const struct observed *now, const struct desired *d, uint64_t window_ms,
                   struct observed *ret)
{
    *ret = *now;
    ret->verdict = VERDICT_NONE;
    ret->fault = (struct fault){.kind = ERR_NONE};
    ret->window_ms = window_ms;
    ret->os = (struct os_facts){.memory = NULL}; /* decided once the set is good */
    ret->self = (struct self_facts){.memory = NULL};
    ret->candidate = (struct set_facts){.d = d};
    for (unsigned i = 0; i < d->n; i++)
        ret->candidate.apps[i] = facts_of(now, &d->apps[i]);
}
