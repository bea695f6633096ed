/* Sources of blobs as texts, and the list of chunks as bytes. */
#include "ota/doc/source.h"
#include "check.h"
#include "ota/fetch/fetch.h"

TEST(kinds_are_known)
{
    static const struct {
        const char *text, *at, *label;
        enum source_kind kind;
    } good[] = {
        {"http://127.0.0.1:5055/demo/web", "http://127.0.0.1:5055/demo/web", "", SOURCE_REGISTRY},
        {"https://reg.example/w", "https://reg.example/w", "", SOURCE_REGISTRY},
        {"layout+https://cdn.example/a/b", "https://cdn.example/a/b", "", SOURCE_LAYOUT},
        {"layout+http://cdn.example", "http://cdn.example", "", SOURCE_LAYOUT},
        {"coap://[::1]:5683/img", "coap://[::1]:5683/img", "", SOURCE_COAP},
        {"coaps://host", "coaps://host", "", SOURCE_COAP},
        {"dir:/media/usb", "/media/usb", "", SOURCE_FOLDER},
        {"file:/media/usb", "/media/usb", "", SOURCE_FOLDER},
        {"usb:MY STICK/img", "/img", "MY STICK", SOURCE_STICK},
        {"usb:*/", "/", "*", SOURCE_STICK},
    };
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct source s;
        CHECK_OK(source_parse(good[i].text, &s, &err), err);
        CHECK(s.kind == good[i].kind);
        CHECK_STR(s.at, good[i].at);
        CHECK_STR(s.label, good[i].label);
    }
}

TEST(others_are_refused)
{
    static const char *const bad[] = {"",
                                      "ftp://host/a",
                                      "http://",
                                      "http:///name",
                                      "https://host",
                                      "https://host/",
                                      "http://user@host/name",
                                      "http://host/name?x=1",
                                      "http://host/na me",
                                      "http://host/name\n",
                                      "http://:80/name",
                                      "http://host:/name",
                                      "coap:///x",
                                      "layout+coap://host/x",
                                      "layout+dir:/x",
                                      "dir:relative",
                                      "usb:/path",
                                      "usb:LABEL",
                                      "usb:a-label-that-is-longer-than-any-file-system-has/x",
                                      "DIR:/x"};
    struct err err = ERR_INIT;
    char text[SOURCE_BYTES + 32];

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_ERR(source_parse(bad[i], NULL, &err), ERR_INVALID, err);
    memset(text, 'a', sizeof(text));
    memcpy(text, "dir:/", 5);
    text[sizeof(text) - 1] = '\0';
    CHECK_ERR(source_parse(text, NULL, &err), ERR_INVALID, err);
}

TEST(chunks_come_back_as_they_were)
{
    struct fetch_chunk c = {.at = 0x1122334455667788, .len = 0x10203, .check = {1, 2, 3, 4, 5, 6, 7, 8}}, d;
    uint8_t bytes[FETCH_CHUNK_RECORD];

    fetch_chunk_put(&c, bytes);
    CHECK(bytes[0] == 0x88 && bytes[7] == 0x11 && bytes[8] == 3 && bytes[11] == 0 && bytes[12] == 0 &&
          bytes[16] == 1 && bytes[23] == 8);
    fetch_chunk_get(bytes, &d);
    CHECK(d.at == c.at && d.len == c.len && memcmp(d.check, c.check, sizeof(d.check)) == 0);
}

TEST_MAIN
