/* What link says to core: nothing of it is taken but words of this device. */
#include "agent/turn/uplink_said.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct config config = {
        .device = "gw-1", .fleet = "demo", .groups = {"line-a"}, .n_groups = 1};
    char AUTO_MEM *msg = mem_need(len + 1);
    struct said s = {.source = UINT32_MAX};
    char text[LIM_NAME_BYTES + 8];

    memcpy(msg, data, len);
    if (uplink_said_parse(&config, msg, len, &s, NULL) < 0) {
        FUZZ_CHECK(s.source == UINT32_MAX); /* untouched */
        return 0;
    }
    FUZZ_CHECK(s.source < SAID_SOURCES && uplink_said_source_text(&config, s.source, text, sizeof(text)));
    if (s.word == SAID_CMD)
        FUZZ_CHECK(str_is_name(s.command.verb) && str_is_name(s.command.reply));
    return 0;
}
