/* image_jobs.h - the slow steps that bring an image further, and what nothing needs any more out. Errors
 * of all: those of what they look at and of jobs_run; then no job runs. */
#ifndef AGENT_IMAGE_JOBS_H
#define AGENT_IMAGE_JOBS_H
#include "agent/images/images.h"

struct core;

/* The next that i, the image of w, lacks. DENIED: the manifest's byte budget does not reach; NOSPACE. */
NODISCARD int image_jobs_fetch(struct core *c, enum owner owner, const struct want *w, const struct image *i,
                               struct err *err);
/* All of it is here, or comes as it is installed. DENIED as above. */
NODISCARD int image_jobs_install(struct core *c, enum owner owner, const struct want *w,
                                 const struct image *i, struct err *err);
/* What is listed stays, with what it needs; the rest goes. */
NODISCARD int image_jobs_collect(struct core *c, const struct keep *keep, struct err *err);
#endif
