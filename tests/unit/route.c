/* The way to an image: cheapest first, consent, what failed before, memory and codecs. */
#include "agent/decide/route.h"
#include "ota/pack/codec.h"
#include "tests/unit/check.h"

static struct err err;

static struct release_platform platform(void)
{
    struct release_platform p = {
        .unpacked_bytes = 9000, .object_bytes = 8000, .tree = {{{1}}, 500}, .n_packs = 4};

    p.packs[0] = (struct release_pack){.kind = RELEASE_PACK_FULL,
                                       .codec = PACK_LZ4,
                                       .blob = {{{2}}, 50},
                                       .data = {{{3}}, 5000},
                                       .memory_bytes = 100};
    p.packs[1] = (struct release_pack){.kind = RELEASE_PACK_FULL,
                                       .codec = PACK_LZMA,
                                       .blob = {{{4}}, 50},
                                       .data = {{{5}}, 4000},
                                       .memory_bytes = 200};
    p.packs[2] = (struct release_pack){.kind = RELEASE_PACK_PATCH,
                                       .codec = PACK_LZ4,
                                       .blob = {{{6}}, 700},
                                       .memory_bytes = 300,
                                       .write_bytes = 900};
    p.packs[3] = (struct release_pack){.kind = RELEASE_PACK_PATCH,
                                       .codec = PACK_LZMA,
                                       .blob = {{{7}}, 400},
                                       .memory_bytes = 600,
                                       .write_bytes = 900};
    return p;
}

static struct route_facts facts(const struct release_platform *p)
{
    return (struct route_facts){.platform = p,
                                .layer_bytes = 4500,
                                .has_codec = {true, true, true, true},
                                .has_tree = {false, false, true, true},
                                .memory_bytes = 1000,
                                .full_fallback = true};
}

TEST(the_smallest_patch_wins)
{
    struct release_platform p = platform();
    struct route_facts f = facts(&p);
    struct route r;

    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_PATCH && r.pack == 3 && r.known && r.down_bytes == 400 && r.write_bytes == 1300 &&
          r.memory_bytes == 600);
    f.pack_have[3] = 150;
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.down_bytes == 250);
    f.memory_bytes = 500; /* LZMA's needs too much */
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_PATCH && r.pack == 2);
    f = facts(&p);
    f.has_codec[3] = false;
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_PATCH && r.pack == 2);
}

TEST(without_a_patch_chunks_are_asked_for_their_cost)
{
    struct release_platform p = platform();
    struct route_facts f = facts(&p);
    struct route r;

    f.no_patch = true;
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_CHUNKS && r.pack == 1 && !r.known);
    f.chunks_known = true;
    f.chunks = (struct store_cost){.fetch_bytes = 300, .write_bytes = 700};
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_CHUNKS && r.known && r.down_bytes == 300 && r.write_bytes == 700);
    f.chunks.fetch_bytes = 4600; /* more than the layers */
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_LAYERS && r.down_bytes == 4500);
    f.no_chunks = true;
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_LAYERS);
}

TEST(what_is_here_is_not_fetched)
{
    struct release_platform p = platform();
    struct route_facts f = facts(&p);
    struct route r;

    f.layer_bytes = 0; /* all layers are here */
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_LAYERS && r.down_bytes == 0);
    f.layer_bytes = 4500;
    f.tree_whole = true;
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_HELD && r.known && r.down_bytes == 0 && r.write_bytes == 0);
}

TEST(a_full_download_needs_consent_where_a_patch_was_promised)
{
    struct release_platform p = platform();
    struct route_facts f = facts(&p);
    struct route r = {.down_bytes = 77};

    f.full_fallback = false;
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_PATCH);
    r.down_bytes = 77;
    f.has_tree[2] = f.has_tree[3] = false;
    CHECK_ERR(route_choose(&f, &r, &err), ERR_DENIED, err);
    CHECK(r.down_bytes == 77);
    p.n_packs = 2; /* none was promised */
    CHECK_OK(route_choose(&f, &r, &err), err);
    CHECK(r.kind == ROUTE_CHUNKS);
}

TEST_MAIN
