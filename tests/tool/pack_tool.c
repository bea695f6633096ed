/* pack_tool.c - a test-only program that installs an image by a pack, as the agent's jobs do, without its
 * plan.
 *   pack-tool STORE RELEASE patch|chunks lz4|lzma OLD -- SOURCE...
 * RELEASE: a release envelope. OLD: the manifest digest of an image whose files may serve, or -. Manifest,
 * config and the pack's first blob must be held (ota-tool fetch). Prints "documents BYTES", "cost FETCH WRITE
 * OBJECTS",
 * "took FETCHED WRITTEN", "io BYTES" and "wrote BYTES" (what this process and its children wrote: to disk,
 * and in all) and
 * "peak KIB" (its memory), the last three by the kernel. Settings: FETCH, UNPACK (the
 * programs), JOB_UID, CA, AUTH, BUDGET. Errors go to stderr as "KIND: message", the exit status is the
 * kind. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "ota/doc/release.h"
#include "ota/fetch/fetch.h"
#include "ota/pack/codec.h"
#include "ota/store/store.h"
#include "platform/fs.h"

static char *env_or(const char *name, char *otherwise)
{
    char *v = getenv(name);

    return v ? v : otherwise;
}

static int read_release(const char *path, struct release *ret, struct err *err)
{
    AUTO_FREE(envelope) struct envelope *e = NULL;
    uint8_t AUTO_MEM *text = NULL;
    size_t len = 0;
    int r = fs_read(AT_FDCWD, path, LIM_ENVELOPE_BYTES, &text, &len, err);

    if (r >= 0)
        r = envelope_parse(buf_of(text, len), &e, err);
    return r < 0 ? r : release_parse(buf_of(e->payload, e->payload_len), ret, err);
}

static int find_pack(const struct release_platform *p, const char *route, const char *codec,
                     const struct release_pack **ret, struct err *err)
{
    bool patch = strcmp(route, "patch") == 0;

    for (unsigned i = 0; i < p->n_packs; i++)
        if ((p->packs[i].kind == RELEASE_PACK_PATCH) == patch &&
            p->packs[i].codec == pack_codec_parse(codec)) {
            *ret = &p->packs[i];
            return 0;
        }
    return err_set(err, ERR_NOTFOUND, "the release has no such pack");
}

static void print_one(const char *path, const char *key, const char *name)
{
    char text[4096], *at;

    if (fs_read_text(AT_FDCWD, path, text, sizeof(text), NULL) >= 0 && (at = strstr(text, key)) != NULL)
        printf("%s %llu\n", name, strtoull(at + strlen(key), NULL, 10));
}

static void print_costs(void)
{
    print_one("/proc/self/io", "\nwrite_bytes:", "io");
    print_one("/proc/self/io", "\nwchar:", "wrote");
    print_one("/proc/self/status", "\nVmHWM:", "peak");
}

static int install(struct store *s, const struct release_platform *p, const struct store_pack *pack,
                   struct err *err)
{
    struct store_install in = {
        .manifest = p->manifest, .max_bytes = p->unpacked_bytes, .max_inodes = p->inodes, .pack = pack};
    struct store_cost cost;
    uint64_t got = 0;
    int r = 0;

    if (store_has_image(s, &p->manifest))
        return 0;
    if (!pack->patch)
        r = store_pull_documents(s, pack, &got, err);

    if (r == 0 && !pack->patch) {
        printf("documents %llu\n", (unsigned long long)got);
        r = store_pack_cost(s, &p->manifest, pack, &cost, err);
        if (r == 0)
            printf("cost %llu %llu %llu\n", (unsigned long long)cost.fetch_bytes,
                   (unsigned long long)cost.write_bytes, (unsigned long long)cost.objects);
    }
    if (r == 0)
        r = store_install(s, &in, -1, err);
    printf("%stook %llu %llu\n", in.note, (unsigned long long)in.fetched_bytes,
           (unsigned long long)in.written_bytes);
    return r;
}

static int run(int argc, char **argv, struct err *err)
{
    static char fetch[] = "agentd-fetch", unpack[] = "agentd-unpack", mode[] = "unpack", nobody[] = "65534",
                none[] = "0";
    char *uid = env_or("JOB_UID", nobody), *unpack_argv[] = {env_or("UNPACK", unpack), mode, uid, uid, NULL};
    struct fetch_request request = {.sources = (const char *const *)(void *)(argv + 7),
                                    .n_sources = (unsigned)argc - 7,
                                    .program = env_or("FETCH", fetch),
                                    .ca_file = getenv("CA"),
                                    .auth_file = getenv("AUTH"),
                                    .uid = (uid_t)atoi(uid),
                                    .gid = (gid_t)atoi(uid),
                                    .budget_bytes = strtoull(env_or("BUDGET", none), NULL, 10),
                                    .deadline_ms = 600000};
    AUTO_FREE(store) struct store *s = NULL;
    struct release AUTO_MEM *rel = mem_need_zero(sizeof(*rel));
    const struct release_platform *p = &rel->platforms[0];
    const struct release_pack *k = NULL;
    int AUTO_FD dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct digest old = {{0}};

    int r = dir < 0 ? err_errno(err, errno, "open %s", argv[1]) : crypto_init(err);
    if (r == 0)
        r = read_release(argv[2], rel, err);
    if (r == 0)
        r = find_pack(p, argv[3], argv[4], &k, err);
    if (r == 0 && strcmp(argv[5], "-") != 0)
        r = digest_parse(argv[5], &old, err);
    if (r == 0)
        r = store_new(dir, &s, err);
    if (r < 0)
        return r;
    struct store_pack pack = {.patch = k->kind == RELEASE_PACK_PATCH,
                              .tree = p->tree.digest,
                              .tree_bytes = p->tree.bytes,
                              .pack = k->blob.digest,
                              .write_bytes = k->write_bytes,
                              .old_tree = k->from.digest,
                              .data = k->data.digest,
                              .data_bytes = k->data.bytes,
                              .old_image = old,
                              .fetch = &request,
                              .unpack_argv = unpack_argv};
    r = install(s, p, &pack, err);
    print_costs();
    return r;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;

    if (argc < 7) {
        fprintf(stderr, "usage: pack-tool STORE RELEASE patch|chunks lz4|lzma OLD -- SOURCE...\n");
        return 99;
    }
    if (run(argc, argv, &err) == 0)
        return 0;
    fprintf(stderr, "%s: %s\n", err_kind_name(err.kind), err.msg);
    return (int)err.kind;
}
