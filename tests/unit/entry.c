#include "ota/doc/entry.h"

#include "tests/unit/check.h"

static struct entry named(enum entry_kind kind, const char *path, const char *link)
{
    struct entry e = {.kind = kind, .mode = 0644};

    (void)str_copy(e.path, sizeof(e.path), path);
    (void)str_copy(e.link, sizeof(e.link), link);
    return e;
}

TEST(wire_goes_there_and_back)
{
    struct err err = ERR_INIT;
    struct entry e = named(ENTRY_SYMLINK, "usr/bin/x", "../y"), back = {0};
    uint8_t wire[ENTRY_WIRE_BYTES];
    size_t path_len = 0, link_len = 0;

    e.uid = 0x12345678;
    e.gid = 3;
    e.flags = ENTRY_HAD_XATTR;
    e.size = 0x123456789abcULL;
    CHECK(entry_encode(&e, wire) == ENTRY_HEAD_BYTES + 9 + 4);
    CHECK_OK(entry_decode_head(wire, &back, &path_len, &link_len, &err), err);
    CHECK_OK(entry_decode_names(wire + ENTRY_HEAD_BYTES, path_len, link_len, &back, &err), err);
    CHECK(back.kind == e.kind && back.uid == e.uid && back.gid == 3 && back.size == e.size &&
          back.mode == 0644);
    CHECK_STR(back.path, "usr/bin/x");
    CHECK_STR(back.link, "../y");
}

TEST(wrong_wire_is_refused)
{
    struct err err = ERR_INIT;
    struct entry e = named(ENTRY_FILE, "a", ""), back;
    uint8_t wire[ENTRY_WIRE_BYTES];
    size_t path_len = 0, link_len = 0;

    (void)entry_encode(&e, wire);
    wire[0] = ENTRY_KIND_COUNT_;
    CHECK_ERR(entry_decode_head(wire, &back, &path_len, &link_len, &err), ERR_INVALID, err);
    wire[0] = ENTRY_FILE;
    wire[3] = 0x40; /* a path of 16 KiB */
    CHECK_ERR(entry_decode_head(wire, &back, &path_len, &link_len, &err), ERR_INVALID, err);
    CHECK_ERR(entry_decode_names((const uint8_t *)"a\0b", 3, 0, &back, &err), ERR_INVALID, err);
}

TEST(names_come_to_one_spelling)
{
    static const char *const same[][2] = {
        {"a", "a"}, {"./a", "a"},        {"././a/b", "a/b"},     {"a/", "a"},      {"./", ""},
        {".", ""},  {"a/b/c/", "a/b/c"}, {"..a/b..", "..a/b.."}, {".whx", ".whx"}, {"\xff\x01", "\xff\x01"},
    };
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(same); i++) {
        struct entry e = named(ENTRY_DIR, same[i][0], "");
        CHECK_OK(entry_check(&e, &err), err);
        CHECK_STR(e.path, same[i][1]);
        CHECK_OK(entry_check(&e, &err), err); /* a record holds it in this spelling and is checked again */
        CHECK_STR(e.path, same[i][1]);
    }
}

TEST(names_without_a_place_are_refused)
{
    static const char *const bad[] = {
        "",     "/",        "/a",  "..",  "../a", "a/..",    "a/../b", "./../a",       "a//b",
        "//",   "a/./b",    "a/.", "a//", ".//a", "a/.wh.b", ".wh.",   ".wh..wh..opq", "x/.wh..wh..opq/y",
        "./..", "./.././a",
    };
    struct err err = ERR_INIT;
    char deep[LIM_PATH_BYTES] = "a", wide[400] = "";

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct entry e = named(ENTRY_FILE, bad[i], "");
        if (entry_check(&e, &err) != -ERR_INVALID)
            printf("accepted: \"%s\"\n", bad[i]);
        e = named(ENTRY_FILE, bad[i], "");
        CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
        e = named(ENTRY_HARDLINK, "fine", bad[i]);
        CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    }
    struct entry self = named(ENTRY_HARDLINK, "a/b", "./a/b"), below = named(ENTRY_HARDLINK, "a/b", "a/b/c"),
                 beside = named(ENTRY_HARDLINK, "a/b", "a/bc"), above = named(ENTRY_HARDLINK, "a/b", "a");
    CHECK_ERR(entry_check(&self, &err), ERR_INVALID, err);
    CHECK_ERR(entry_check(&below, &err), ERR_INVALID, err);
    CHECK_MSG(err, "what it would replace");
    CHECK_OK(entry_check(&beside, &err), err);
    CHECK_OK(entry_check(&above, &err), err);
    for (int i = 0; i < LIM_PATH_DEPTH; i++)
        strcat(deep, "/a");
    struct entry e = named(ENTRY_DIR, deep, "");
    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    CHECK_MSG(err, "too deep");
    memset(wide, 'w', 256);
    e = named(ENTRY_DIR, wide, "");
    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    wide[255] = '\0';
    e = named(ENTRY_DIR, wide, "");
    CHECK_OK(entry_check(&e, &err), err);
}

TEST(entries_that_contradict_themselves_are_refused)
{
    struct err err = ERR_INIT;
    struct entry e = named(ENTRY_FILE, "./", "");

    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    e = named(ENTRY_SYMLINK, "a", "");
    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    e = named(ENTRY_FILE, "a", "b");
    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    e = named(ENTRY_DIR, "a", "");
    e.size = 1;
    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    e = named(ENTRY_FILE, "a", "");
    e.uid = UINT32_MAX;
    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    e = named(ENTRY_FILE, "a", "");
    e.mode = 0100644;
    CHECK_ERR(entry_check(&e, &err), ERR_INVALID, err);
    e = named(ENTRY_SYMLINK, "a", "/etc/passwd"); /* only text: never followed by us */
    CHECK_OK(entry_check(&e, &err), err);
}

TEST(whiteouts_are_told_from_files)
{
    static const struct {
        const char *path;
        int returns;
        enum entry_kind kind;
        const char *target;
    } cases[] = {
        {"a/.wh.b", 0, ENTRY_WHITEOUT, "a/b"},
        {".wh.b", 0, ENTRY_WHITEOUT, "b"},
        {"a/.wh..wh..opq", 0, ENTRY_OPAQUE, "a"},
        {".wh..wh..opq", 0, ENTRY_OPAQUE, "./"},
        {".wh..wh.plnk", 1, ENTRY_FILE, NULL},
        {"a/.wh..wh.aufs/x", 1, ENTRY_FILE, NULL},
        {".wh..hidden", 0, ENTRY_WHITEOUT, ".hidden"},
        {"a.wh.b", 0, ENTRY_FILE, "a.wh.b"},
        {".wh.", -ERR_INVALID, 0, NULL},
        {".wh..", -ERR_INVALID, 0, NULL},
        {".wh...", -ERR_INVALID, 0, NULL},
        {"a/.wh...", -ERR_INVALID, 0, NULL},
        {".wh..wh.x", -ERR_INVALID, 0, NULL},
        {".wh..wh..opqx", -ERR_INVALID, 0, NULL},
    };
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct entry e = named(ENTRY_FILE, cases[i].path, "");
        int r = entry_classify(&e, &err);
        if (r != cases[i].returns)
            printf("%s: %d\n", cases[i].path, r);
        CHECK(r == cases[i].returns);
        if (r == 0) {
            CHECK(e.kind == cases[i].kind);
            CHECK_STR(e.path, cases[i].target);
        }
    }
    struct entry dir = named(ENTRY_DIR, ".wh.b", "");
    CHECK_ERR(entry_classify(&dir, &err), ERR_INVALID, err);
    struct entry full = named(ENTRY_FILE, ".wh.b", "");
    full.size = 1;
    CHECK_ERR(entry_classify(&full, &err), ERR_INVALID, err);
}

TEST(a_strangers_text_is_printed_harmlessly)
{
    char dst[8];

    CHECK_STR(entry_printable("a\033[2J\n\xc2\x9b", dst, sizeof(dst)), "a?[2J??");
    CHECK_STR(entry_printable("0123456789", dst, sizeof(dst)), "0123456");
}

TEST_MAIN
