#include "agent/decide/keep.h"

void keep_add(struct keep *k, const struct digest *d)
{
    if (k->n < KEEP_MAX)
        k->list[k->n++] = *d;
    else
        k->full = true;
}
