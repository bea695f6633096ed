#include "fleet/pack_patch.h"

int pack_patch_make(const struct pack_patch *p, struct pack_patch_sum *ret, struct err *err)
{
    (void)p;
    (void)ret;
    return err_set(err, ERR_UNSUPPORTED, "no patches yet");
}
