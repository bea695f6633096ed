/* source.h - where blobs lie, as manifests and commands write it:
 *   http://HOST[:PORT]/NAME  https://...                an OCI registry
 *   layout+http://HOST[:PORT]/PATH  layout+https://...  an OCI layout on any web server: GET
 *                                                       PATH/blobs/sha256/HEX
 *   coap://HOST[:PORT]/PATH  coaps://...                the same over CoAP (Block2) and over DTLS
 *   dir:/PATH  file:/PATH                               an OCI layout in a directory
 *   usb:LABEL/PATH  usb:* /PATH (without the blank)     an OCI layout in PATH of the stick with this label,
 *                                                       of any
 * Pure. */
#ifndef OTA_SOURCE_H
#define OTA_SOURCE_H
#include <stddef.h>

#include "platform/err.h"

enum source_kind { SOURCE_REGISTRY, SOURCE_LAYOUT, SOURCE_COAP, SOURCE_FOLDER, SOURCE_STICK };

#define SOURCE_BYTES       1024
#define SOURCE_LABEL_BYTES 33 /* the longest, ISO 9660, has 32 */

struct source {
    enum source_kind kind;
    /* points into the parsed text: the URL ("http://host/...", also for a layout); the directory ("/path");
     * for a stick the path after the label ("/path") */
    const char *at;
    char label[SOURCE_LABEL_BYTES]; /* label of a stick; "*": any */
};
/* ret may be NULL. Errors: INVALID (unknown kind, no host, user or query in a URL, spaces, too long). */
NODISCARD int source_parse(const char *text, struct source *ret, struct err *err);
/* Length of scheme and host of a URL: for "http://host:1/a" that of "http://host:1". */
size_t source_host_len(const char *url);
#endif
