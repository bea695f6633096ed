/* image_state.h - how far an image has come. */
#ifndef AGENT_IMAGE_STATE_H
#define AGENT_IMAGE_STATE_H

/* Each needs the one before. */
enum image_state {
    IMAGE_NO_RELEASE,
    IMAGE_NO_MANIFEST,
    IMAGE_NO_LAYERS,
    IMAGE_NO_PATCH, /* the other ways (agent/decide/route.h) */
    IMAGE_NO_TREE,
    IMAGE_NO_CHUNKS, /* fetched while it is installed */
    IMAGE_NOT_INSTALLED,
    IMAGE_INSTALLED,
    IMAGE_STATE_COUNT_
};
#endif
