/* image_jobs.h - the slow steps of bringing in images, and of collecting what is no longer needed. Errors of
 * all: those of what they read and of jobs_run; then no job runs. */
#ifndef AGENT_IMAGE_JOBS_H
#define AGENT_IMAGE_JOBS_H
#include "agent/images/images.h"

struct core;

/* Fetch what i, the image of w, lacks next. DENIED: over the manifest's byte budget; NOSPACE. */
NODISCARD int image_jobs_fetch(struct core *c, enum owner owner, const struct want *w, const struct image *i,
                               struct err *err);
/* Install it: everything is present, or is downloaded meanwhile. DENIED as above. */
NODISCARD int image_jobs_install(struct core *c, enum owner owner, const struct want *w,
                                 const struct image *i, struct err *err);
/* What is listed stays, with what it depends on; the rest is removed. */
NODISCARD int image_jobs_collect(struct core *c, const struct keep *keep, struct err *err);
#endif
