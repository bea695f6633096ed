#include "fleet/repo/repo_releases.h"

#include <string.h>

#include "fleet/base/doc.h"
#include "fleet/doc/keyring.h"
#include "ota/doc/envelope.h"
#include "ota/doc/oci.h"
#include "ota/doc/release.h"
#include "ota/doc/trust.h"
#include "platform/limits.h"

#define TAG_BYTES 136

struct tags {
    char (*list)[TAG_BYTES];
    unsigned n, more; /* more: there was no room for */
    bool any;
    const struct rel *known;
    unsigned n_known;
};

static bool is_known(const struct tags *t, const char *tag)
{
    char text[REPO_RELEASE_TAG_BYTES];

    for (unsigned i = 0; i < t->n_known; i++)
        if (strcmp(repo_release_tag(&t->known[i].digest, text), tag) == 0)
            return true;
    return false;
}

static void take_tag(void *arg, const char *tag)
{
    struct tags *t = arg;
    size_t len = strlen(tag);
    bool release = strncmp(tag, "sha256-", 7) == 0 && len > 8 && strcmp(tag + len - 8, ".release") == 0;

    if ((!t->any && !release) || len >= TAG_BYTES || is_known(t, tag))
        return;
    if (t->n == BESIDE_RELEASES)
        t->more++;
    else
        (void)str_copy(t->list[t->n++], TAG_BYTES, tag);
}

/* The first layer of a release's artifact; false: the manifest is none. */
static bool find_envelope(struct buf text, struct digest *ret, uint64_t *ret_size)
{
    struct json_cur root, layers, first;
    const char *digest = NULL;
    bool found = false;

    if (json_parse(text, &json_limits_oci, &root, NULL) < 0)
        return false;
    if (strcmp(doc_str(&root, "artifactType", ""), REPO_TYPE_RELEASE) == 0 &&
        json_get_array(&root, "layers", JSON_REQUIRED, 4096, &layers, NULL) == 1 && json_len(&layers)) {
        first = json_at(&layers, 0);
        found = json_get_str(&first, "digest", JSON_REQUIRED, SHA256_TEXT - 1, &digest, NULL) == 1 &&
                digest_parse(digest, ret, NULL) == 0 &&
                json_get_u64(&first, "size", JSON_REQUIRED, 1, LIM_ENVELOPE_BYTES, ret_size, NULL) == 1;
    }
    json_free(root.node);
    return found;
}

/* 0: *ret_own may be empty, then the tag names no release. */
static int read_envelope(struct repo *r, const char *tag, struct buf *ret_own, struct err *err)
{
    struct repo_doc doc;
    struct digest d;
    uint64_t size = 0;
    bool found;

    if (repo_manifest(r, tag, &doc, err) < 0)
        return -(int)err->kind;
    found = find_envelope(doc.text, &d, &size);
    free((void *)doc.text.p);
    return found ? repo_blob_read(r, &d, size, ret_own, err) : 0;
}

/* What no key of this fleet has signed is another fleet's, or a stranger's: it takes no counter. */
static void take_envelope(const struct ctx *c, const char *name, struct buf text, struct beside *ret)
{
    AUTO_FREE(envelope) struct envelope *env = NULL;
    struct release AUTO_MEM *rel = mem_need_zero(sizeof(*rel));
    struct err ignored = ERR_INIT;

    if (keyring_verify_ever(c, TRUST_RELEASE, ENVELOPE_TYPE_RELEASE, text, &env, &ignored) < 0)
        return;
    if (release_parse(buf_of(env->payload, env->payload_len), rel, &ignored) < 0)
        ret->unread++;
    else if (strcmp(rel->name, name) == 0)
        ret->counters[ret->n++] = rel->counter;
}

int repo_releases_look(const struct ctx *c, struct repo *r, const char *name, bool any_tag,
                       const struct rel *known, unsigned n_known, struct beside *ret, struct err *err)
{
    char AUTO_MEM(*list)[TAG_BYTES] = mem_need_zero(BESIDE_RELEASES * TAG_BYTES);
    struct tags tags = {.list = list, .any = any_tag, .known = known, .n_known = n_known};

    memset(ret, 0, sizeof(*ret));
    if (repo_tags(r, take_tag, &tags, err) < 0)
        return -(int)err->kind;
    ret->unread = tags.more;
    for (unsigned i = 0; i < tags.n; i++) {
        AUTO_BUF text = {NULL, 0};
        struct err refused = ERR_INIT;
        int rc = read_envelope(r, list[i], &text, &refused);
        if (rc == -ERR_NET)
            return err_set(err, ERR_NET, "%s", refused.msg);
        if (rc < 0)
            ret->unread++;
        else if (text.len)
            take_envelope(c, name, text, ret);
    }
    return 0;
}
