/* A release document, which is built again from what was understood and must then be read the same. */
#include "ota/doc/release.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err err = ERR_INIT;
    struct release r, again;

    memset(&r, 0, sizeof(r));
    memset(&again, 0, sizeof(again));
    if (release_parse(buf_of(data, len), &r, &err) < 0)
        return 0;
    char AUTO_MEM *text = release_build(&r);
    FUZZ_CHECK(release_parse(buf_str(text), &again, &err) == 0);
    FUZZ_CHECK(r.counter == again.counter && r.n_platforms == again.n_platforms &&
               strcmp(r.name, again.name) == 0);
    return 0;
}
