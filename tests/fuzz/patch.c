/* A patch pack: the first byte chooses the old and the new executable and the codec, the rest is the one
 * segment of the stream, with its right hash, as a hostile maker of packs would have it. */
#include <sys/mman.h>

#include "fleet/pack/patch_make.h"
#include "platform/crypto.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/elf_sample.h"

#define MACHINES COUNT_OF(machines)

static struct made older[MACHINES], newer[MACHINES];
static int old_fd[MACHINES], pack_fd = -1;

static void prepare(void)
{
    struct err err = ERR_INIT;

    if (pack_fd >= 0)
        return;
    FUZZ_CHECK(crypto_init(&err) == 0);
    pack_fd = memfd_create("pack", MFD_CLOEXEC);
    for (unsigned i = 0; i < MACHINES; i++) {
        build(&machines[i], &older[i], false);
        build(&machines[i], &newer[i], true);
        old_fd[i] = memfd_create("old", MFD_CLOEXEC);
        FUZZ_CHECK(write(old_fd[i], older[i].b, older[i].len) == (ssize_t)older[i].len);
    }
}

static int sink(void *arg, struct buf bytes, struct err *err)
{
    size_t *total = arg;
    volatile uint8_t sum = 0;

    (void)err;
    FUZZ_CHECK(bytes.len <= PATCH_BLOCK);
    for (size_t i = 0; i < bytes.len; i++) /* the sanitizer looks at each */
        sum = (uint8_t)(sum + bytes.p[i]);
    *total += bytes.len;
    return 0;
}

static void put_pack(enum pack_codec codec, struct buf packed, uint32_t raw)
{
    struct patch_head h = {.codec = codec,
                           .props = CODEC_PROPS,
                           .predicted = true,
                           .segments = packed.len > 0,
                           .max_covers = 2000,
                           .max_pieces = 2000,
                           .raw_bytes = packed.len > 0 ? raw : 0};
    uint8_t head[PATCH_HEAD_BYTES + PATCH_SEGMENT_BYTES];
    struct err err = ERR_INIT;
    struct digest d;
    size_t n = packed.len > 0 ? sizeof(head) : PATCH_HEAD_BYTES;

    h.memory = (uint32_t)patch_memory(codec, h.max_covers, h.max_pieces, true);
    patch_head_encode(&h, head);
    put(head + PATCH_HEAD_BYTES, packed.len, 4);
    put(head + PATCH_HEAD_BYTES + 4, raw, 4);
    FUZZ_CHECK(sha256(packed, &d, &err) == 0);
    memcpy(head + PATCH_HEAD_BYTES + 8, d.b, sizeof(d.b));
    FUZZ_CHECK(ftruncate(pack_fd, 0) == 0);
    FUZZ_CHECK(pwrite(pack_fd, head, n, 0) == (ssize_t)n);
    FUZZ_CHECK(pwrite(pack_fd, packed.p, packed.len, (off_t)n) == (ssize_t)packed.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct patch AUTO_FREE(patch) *p = NULL;
    struct err err = ERR_INIT;
    size_t total = 0;

    prepare();
    if (len < 4 || len > LIM_SEGMENT_LZ4_RAW)
        return 0;
    unsigned i = data[0] % MACHINES, k = (i + 1) % MACHINES;
    enum pack_codec codec = (enum pack_codec)(data[0] >> 4 & 3);
    uint32_t raw = (uint32_t)data[1] | (uint32_t)data[2] << 8 | (uint32_t)data[3] << 16;
    if (codec > PACK_LZMA || !codec_known(codec))
        codec = PACK_RAW;
    put_pack(codec, buf_of(data + 4, len - 4), codec == PACK_RAW ? (uint32_t)len - 4 : raw);
    if (patch_new(pack_fd, &p, &err) < 0)
        return 0;
    struct patch_base bases[2] = {{old_fd[i], older[i].len}, {old_fd[k], older[k].len}};
    int r = patch_object(p, bases, data[0] & 0x80 ? 2 : 1, newer[i].len, sink, &total, &err);
    FUZZ_CHECK(r < 0 || total == newer[i].len);
    if (r == 0)
        err_ignore(patch_end(p, &err));
    return 0;
}

void fuzz_seeds(void (*fn)(const uint8_t *data, size_t len))
{
    static uint8_t pack[1 << 20];
    struct err err = ERR_INIT;

    prepare();
    for (unsigned way = 0; way < 4 * MACHINES; way++) {
        unsigned i = way % MACHINES, k = (i + 1) % MACHINES;
        enum pack_codec codec = (enum pack_codec)(way / MACHINES % 3);
        struct patch_make AUTO_FREE(patch_make) *m = NULL;
        struct patch_cost cost;
        uint64_t bytes = 0;
        struct buf bases[2] = {{older[i].b, older[i].len}, {older[k].b, older[k].len}};
        bool two = way / MACHINES == 3;
        FUZZ_CHECK(ftruncate(pack_fd, 0) == 0 && lseek(pack_fd, 0, SEEK_SET) == 0);
        FUZZ_CHECK(patch_make_new(codec, pack_fd, &m, &err) == 0);
        patch_make_predict(m, i != 0 || !two);
        FUZZ_CHECK(patch_make_object(m, bases, two ? 2 : 1, buf_of(newer[i].b, newer[i].len), &cost, &err) ==
                   0);
        FUZZ_CHECK(patch_make_end(m, &bytes, &err) == 0);
        FUZZ_CHECK(pread(pack_fd, pack, sizeof(pack), 0) == (ssize_t)bytes);
        size_t at = PATCH_HEAD_BYTES + PATCH_SEGMENT_BYTES - 4;
        pack[at] = (uint8_t)(i | (unsigned)codec << 4 | (two ? 0x80U : 0U));
        put(pack + at + 1, cost.raw_bytes, 3);
        fn(pack + at, bytes - at);
    }
}
