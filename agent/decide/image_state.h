/* image_state.h - how much of an image is present. */
#ifndef AGENT_IMAGE_STATE_H
#define AGENT_IMAGE_STATE_H

/* Each state requires the one before. */
enum image_state {
    IMAGE_NO_RELEASE,
    IMAGE_NO_MANIFEST,
    IMAGE_NO_LAYERS,
    IMAGE_NO_PATCH, /* the other routes (agent/decide/route.h) */
    IMAGE_NO_TREE,
    IMAGE_NO_CHUNKS, /* fetched during the install */
    IMAGE_NOT_INSTALLED,
    IMAGE_INSTALLED,
    IMAGE_STATE_COUNT_
};
#endif
