/* A tar archive, in steps whose length its last byte tells. */
#include "ota/layer/untar.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct untar AUTO_FREE(untar) *u = untar_new();
    struct err err = ERR_INIT;
    size_t step = len > 0 ? data[len - 1] * 7U + 1 : 1;
    uint64_t promised = 0;
    int r = 0;

    for (size_t at = 0; r >= 0 && at < len; at += step) {
        struct buf in = buf_of(data + at, step < len - at ? step : len - at), bytes = {NULL, 0};
        while ((r = untar_step(u, &in, &bytes, &err)) > UNTAR_NEED) {
            if (r == UNTAR_ENTRY) {
                struct entry e = *untar_entry(u);
                uint8_t wire[ENTRY_WIRE_BYTES];
                promised = e.kind == ENTRY_FILE ? e.size : 0;
                if (entry_classify(&e, &err) == 0 && entry_check(&e, &err) == 0)
                    FUZZ_CHECK(entry_encode(&e, wire) <= sizeof(wire));
            } else {
                FUZZ_CHECK(bytes.len <= promised);
                promised -= bytes.len;
            }
        }
    }
    if (r >= 0)
        err_ignore(untar_end(u, &err));
    return 0;
}
