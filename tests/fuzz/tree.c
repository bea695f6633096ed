/* A tree document, and its entries by offset. */
#include "ota/pack/tree.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct tree_at t;
    static struct entry e;
    struct buf tree = buf_of(data, len);
    struct digest d;
    struct err err = ERR_INIT;

    memset(&t, 0, sizeof(t));
    while (tree_next(tree, &t, &e, &d, &err) > 0) {
        FUZZ_CHECK(t.at > t.entry_at && t.at <= len);
        FUZZ_CHECK(e.path[0] != '/' && strlen(e.path) < LIM_PATH_BYTES);
        if (e.kind == ENTRY_FILE && e.size > 0)
            FUZZ_CHECK(tree_file_at(tree, t.entry_at, &e, &d, &err) == 0);
    }
    for (size_t at = 0; at < len && at < 64; at++)
        err_ignore(tree_file_at(tree, at, &e, &d, &err));
    return 0;
}
