/* preview.h - what would be done if a manifest were the candidate. Pure. */
#ifndef AGENT_PREVIEW_H
#define AGENT_PREVIEW_H
#include "agent/decide/plan.h"

/* The facts for plan_make with d as the candidate, from what is known now: of an image what a current set
 * knows of the same release, of devices what one knows of the same app with the same settings; the rest is
 * unknown. window_ms: until d allows downloads. *ret borrows d and the last good set. */
void preview_facts(const struct observed *now, const struct desired *d, uint64_t window_ms,
                   struct observed *ret);
#endif
