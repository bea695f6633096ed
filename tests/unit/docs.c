#include "ota/doc/release.h"
#include "ota/doc/trust.h"
#include "ota/pack/codec.h"

#include "tests/unit/check.h"

enum { ROOT1, ROOT2, ROOT3, RELEASE, FLEET, OTHER, N_KEYS };
static uint8_t priv[N_KEYS][P256_PRIV_BYTES];
static struct p256_pub pub[N_KEYS];

static void keys(void)
{
    static bool done;
    struct err err = ERR_INIT;

    if (done)
        return;
    CHECK_OK(crypto_init(&err), err);
    for (int i = 0; i < N_KEYS; i++)
        CHECK_OK(p256_generate(priv[i], &pub[i], &err), err);
    done = true;
}

static struct trust trust_v(uint64_t version, int root_a, int root_b, unsigned threshold)
{
    struct trust t = {.fleet = "demo", .version = version, .issued_s = 1000, .expires_s = 2000};

    keys();
    t.roles[TRUST_ROOT].threshold = threshold;
    t.roles[TRUST_ROOT].keys[t.roles[TRUST_ROOT].n_keys++] = pub[root_a];
    if (root_b >= 0)
        t.roles[TRUST_ROOT].keys[t.roles[TRUST_ROOT].n_keys++] = pub[root_b];
    t.roles[TRUST_RELEASE].threshold = t.roles[TRUST_FLEET].threshold = 1;
    t.roles[TRUST_RELEASE].keys[t.roles[TRUST_RELEASE].n_keys++] = pub[RELEASE];
    t.roles[TRUST_FLEET].keys[t.roles[TRUST_FLEET].n_keys++] = pub[FLEET];
    return t;
}

static struct envelope *sign(const char *type, struct buf payload, const int *who, unsigned n)
{
    uint8_t privs[LIM_SIGNATURES][P256_PRIV_BYTES];
    struct envelope *e = NULL;
    struct err err = ERR_INIT;

    for (unsigned i = 0; i < n; i++)
        memcpy(privs[i], priv[who[i]], P256_PRIV_BYTES);
    CHECK_OK(envelope_sign(type, payload, (const uint8_t(*)[P256_PRIV_BYTES])privs, n, &e, &err), err);
    return e;
}

static struct envelope *sign_trust(const struct trust *t, const int *who, unsigned n)
{
    char AUTO_MEM *text = trust_build(t);

    return sign(ENVELOPE_TYPE_TRUST, buf_str(text), who, n);
}

TEST(trust_is_read_back_as_built)
{
    struct err err = ERR_INIT;
    struct trust t = trust_v(3, ROOT1, ROOT2, 2), back = {0};
    char AUTO_MEM *text = trust_build(&t);

    CHECK_OK(trust_parse(buf_str(text), &back, &err), err);
    CHECK(memcmp(&t, &back, sizeof(t)) == 0);
}

/* Replace the first `from` of the built document by `to` and see it refused with the path in the message. */
static void refuse_trust(const char *from, const char *to, const char *message)
{
    struct err err = ERR_INIT;
    struct trust t = trust_v(1, ROOT1, ROOT2, 2), out = {.version = 77};
    char AUTO_MEM *text = trust_build(&t);
    char *at = strstr(text, from);
    char bad[8192];

    CHECK(at != NULL);
    if (!at)
        return;
    (void)snprintf(bad, sizeof(bad), "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    CHECK_ERR(trust_parse(buf_str(bad), &out, &err), ERR_INVALID, err);
    CHECK_MSG(err, message);
    CHECK(out.version == 77);
}

/* Eight of eight, all replaced at once: sixteen signatures, read back as they travel. */
TEST(every_threshold_can_be_rotated)
{
    struct err err = ERR_INIT;
    uint8_t privs[2 * LIM_THRESHOLD][P256_PRIV_BYTES];
    struct trust old = trust_v(1, ROOT1, -1, 1), next = trust_v(2, ROOT1, -1, 1), ret;
    bool changed[TRUST_ROLE_COUNT_];
    AUTO_FREE(envelope) struct envelope *e = NULL, *back = NULL;

    for (unsigned i = 0; i < LIM_THRESHOLD; i++) {
        CHECK_OK(p256_generate(privs[i], &old.roles[TRUST_ROOT].keys[i], &err), err);
        CHECK_OK(p256_generate(privs[LIM_THRESHOLD + i], &next.roles[TRUST_ROOT].keys[i], &err), err);
    }
    old.roles[TRUST_ROOT].n_keys = old.roles[TRUST_ROOT].threshold = LIM_THRESHOLD;
    next.roles[TRUST_ROOT].n_keys = next.roles[TRUST_ROOT].threshold = LIM_THRESHOLD;
    char AUTO_MEM *text = trust_build(&next);
    CHECK_OK(envelope_sign(ENVELOPE_TYPE_TRUST, buf_str(text), (const uint8_t(*)[P256_PRIV_BYTES])privs,
                           2 * LIM_THRESHOLD, &e, &err),
             err);
    char AUTO_MEM *json = envelope_build(e, NULL);
    CHECK_OK(envelope_parse(buf_str(json), &back, &err), err);
    CHECK_OK(trust_step(&old, back, &ret, &err), err);
    back->n_sigs--;
    CHECK_ERR(trust_step(&old, back, &ret, &err), ERR_DENIED, err);
    trust_changes(&old, &next, changed);
    CHECK(changed[TRUST_ROOT] && !changed[TRUST_RELEASE] && !changed[TRUST_FLEET]);
    char AUTO_MEM *built = trust_build(&old);
    char *at = strstr(built, "\"threshold\":8");
    CHECK(at != NULL);
    if (at)
        at[12] = '9';
    CHECK_ERR(trust_parse(buf_str(built), &ret, &err), ERR_INVALID, err);
    CHECK_MSG(err, "threshold 9 of 8");
}

TEST(a_key_that_is_no_point_of_the_curve_is_refused)
{
    struct err err = ERR_INIT;
    struct trust t = trust_v(1, ROOT1, -1, 1), out = {.version = 77};

    t.roles[TRUST_FLEET].keys[0].b[64] ^= 1; /* y alone */
    char AUTO_MEM *text = trust_build(&t);
    CHECK_ERR(trust_parse(buf_str(text), &out, &err), ERR_INVALID, err);
    CHECK_MSG(err, "public: not base64 of an uncompressed P-256 point");
    CHECK(out.version == 77);
}

TEST(wrong_trust_is_refused_with_its_place)
{
    refuse_trust("limpet.trust/1", "limpet.trust/2", "schema");
    refuse_trust("\"fleet\":\"demo\"", "\"fleet\":\"De/mo\"", "fleet");
    refuse_trust("\"version\":1", "\"version\":0", "version");
    refuse_trust("\"version\":1", "\"version\":-1", "version");
    refuse_trust("\"version\":1", "\"version\":1,\"extra\":1", "extra");
    refuse_trust("\"expires\":2000", "\"expires\":1000", "expires");
    refuse_trust("\"expires\":2000", "\"expires\":\"2000\"", "expires");
    refuse_trust("\"threshold\":2", "\"threshold\":3", "threshold 3 of 2");
    refuse_trust("\"threshold\":2", "\"threshold\":0", "threshold");
    refuse_trust("\"public\":\"B", "\"public\":\"A", "keys[0]");
    refuse_trust("\"roles\":{\"root\"", "\"roles\":{\"boot\"", "root");
}

TEST(each_key_has_exactly_one_role)
{
    struct err err = ERR_INIT;
    struct trust out;
    struct trust t = trust_v(1, ROOT1, ROOT2, 1);

    t.roles[TRUST_FLEET].keys[0] = pub[ROOT1]; /* the same bytes twice */
    char AUTO_MEM *twice = trust_build(&t);
    CHECK_ERR(trust_parse(buf_str(twice), &out, &err), ERR_INVALID, err);
    CHECK_MSG(err, "keys[3]");
    t.roles[TRUST_FLEET].keys[0] = pub[FLEET];
    t.roles[TRUST_ROOT].keys[1] = pub[ROOT1];
    char AUTO_MEM *root_twice = trust_build(&t);
    CHECK_ERR(trust_parse(buf_str(root_twice), &out, &err), ERR_INVALID, err);
    CHECK_MSG(err, "keys[1]");

    char a[17], b[17], from[64], to[64];
    (void)snprintf(from, sizeof(from), "\"threshold\":1,\"keys\":[\"%s\"]", trust_key_id(&pub[FLEET], a));
    (void)snprintf(to, sizeof(to), "\"threshold\":1,\"keys\":[\"%s\"]", trust_key_id(&pub[RELEASE], b));
    refuse_trust(from, to, "serves twice");
    (void)snprintf(to, sizeof(to), "\"threshold\":1,\"keys\":[]");
    refuse_trust(from, to, "threshold 1 of 0");
}

TEST(expiry_is_a_refusal)
{
    struct err err = ERR_INIT;
    struct trust t = trust_v(3, ROOT1, -1, 1);

    CHECK_OK(trust_is_valid(&t, 1999, &err), err);
    CHECK_ERR(trust_is_valid(&t, 2000, &err), ERR_DENIED, err);
    CHECK_MSG(err, "trust version 3 expired 1970-01-01T00:33:20Z");
}

TEST(rotation_needs_old_and_new_roots)
{
    struct err err = ERR_INIT;
    struct trust one = trust_v(1, ROOT1, -1, 1), two = trust_v(2, ROOT2, ROOT3, 2), out;
    static const struct {
        int who[3];
        unsigned n;
        bool good;
    } cases[] = {
        {{ROOT1, ROOT2, ROOT3}, 3, true},
        {{ROOT3, ROOT2, ROOT1}, 3, true},
        {{ROOT1}, 1, false},
        {{ROOT1, ROOT2}, 2, false},
        {{ROOT2, ROOT3}, 2, false},
        {{ROOT1, ROOT2, ROOT2}, 3, false},
        {{RELEASE, FLEET}, 2, false},
        {{ROOT1}, 0, false},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_FREE(envelope) struct envelope *e = sign_trust(&two, cases[i].who, cases[i].n);
        int r = trust_step(&one, e, &out, &err);
        CHECK(r == (cases[i].good ? 0 : -ERR_DENIED));
        if (r == 0)
            CHECK(memcmp(&out, &two, sizeof(out)) == 0);
    }
}

TEST(first_trust_needs_its_own_roots)
{
    struct err err = ERR_INIT;
    struct trust one = trust_v(1, ROOT1, ROOT2, 2), out;
    AUTO_FREE(envelope) struct envelope *good = sign_trust(&one, (const int[]){ROOT2, ROOT1}, 2);
    AUTO_FREE(envelope) struct envelope *bad = sign_trust(&one, (const int[]){ROOT2}, 1);

    CHECK_OK(trust_step(NULL, good, &out, &err), err);
    CHECK_ERR(trust_step(NULL, bad, &out, &err), ERR_DENIED, err);
    CHECK_MSG(err, "1 of 2 signatures");
}

TEST(steps_go_up_by_one_in_the_same_fleet)
{
    struct err err = ERR_INIT;
    struct trust cur = trust_v(5, ROOT1, -1, 1), out;
    static const uint64_t versions[] = {1, 4, 5, 7, 1ULL << 49};

    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct trust next = trust_v(versions[i], ROOT1, -1, 1);
        AUTO_FREE(envelope) struct envelope *e = sign_trust(&next, (const int[]){ROOT1}, 1);
        CHECK_ERR(trust_step(&cur, e, &out, &err), ERR_DENIED, err);
    }
    struct trust other = trust_v(6, ROOT1, -1, 1);
    strcpy(other.fleet, "other");
    AUTO_FREE(envelope) struct envelope *e = sign_trust(&other, (const int[]){ROOT1}, 1);
    CHECK_ERR(trust_step(&cur, e, &out, &err), ERR_DENIED, err);
    CHECK_MSG(err, "fleet");
}

TEST(roles_open_only_their_own_door)
{
    struct err err = ERR_INIT;
    struct trust t = trust_v(1, ROOT1, -1, 1);

    for (int key = 0; key < N_KEYS; key++) {
        AUTO_FREE(envelope)
        struct envelope *e = sign(ENVELOPE_TYPE_DESIRED, BUF_LIT("{}"), (const int[]){key}, 1);
        CHECK(trust_verify(&t, TRUST_FLEET, e, ENVELOPE_TYPE_DESIRED, &err) ==
              (key == FLEET ? 0 : -ERR_DENIED));
        CHECK_ERR(trust_verify(&t, TRUST_RELEASE, e, ENVELOPE_TYPE_RELEASE, &err), ERR_DENIED, err);
    }
}

TEST(more_signatures_than_keys_are_not_looked_at)
{
    struct err err = ERR_INIT;
    struct trust t = trust_v(1, ROOT1, -1, 1);

    AUTO_FREE(envelope)
    struct envelope *e = sign(ENVELOPE_TYPE_DESIRED, BUF_LIT("{}"), (const int[]){FLEET, ROOT1}, 2);

    CHECK_ERR(trust_verify(&t, TRUST_FLEET, e, ENVELOPE_TYPE_DESIRED, &err), ERR_DENIED, err);
    CHECK_MSG(err, "2 signatures, there are 1 keys");
    t.roles[TRUST_FLEET].keys[t.roles[TRUST_FLEET].n_keys++] = pub[ROOT1];
    CHECK_OK(trust_verify(&t, TRUST_FLEET, e, ENVELOPE_TYPE_DESIRED, &err), err);
}

static struct release sample(void)
{
    struct release r = {.name = "web", .version = "1.4.2-rc1+b7", .counter = 2, .issued_s = 1000};
    static const char *const platforms[][2] = {{"amd64", ""}, {"arm", "v7"}, {"arm", "v6"}, {"arm64", "v8"}};

    for (size_t i = 0; i < COUNT_OF(platforms); i++) {
        struct release_platform *p = &r.platforms[r.n_platforms++];
        strcpy(p->os, "linux");
        strcpy(p->architecture, platforms[i][0]);
        strcpy(p->variant, platforms[i][1]);
        memset(p->manifest.b, (int)i + 1, sizeof(p->manifest.b));
        p->manifest_bytes = 500;
        p->packed_bytes = 1000000;
        p->unpacked_bytes = 3000000;
        p->inodes = 400;
    }
    struct release_platform *first = &r.platforms[0];
    first->tree = (struct release_blob){{{7}}, 9000};
    first->object_bytes = 2900000;
    first->n_packs = 2;
    first->packs[0] = (struct release_pack){.kind = RELEASE_PACK_FULL,
                                            .codec = PACK_LZ4,
                                            .blob = {{{8}}, 300},
                                            .data = {{{9}}, 1500000},
                                            .memory_bytes = 200000};
    first->packs[1] = (struct release_pack){.kind = RELEASE_PACK_PATCH,
                                            .codec = PACK_LZMA,
                                            .blob = {{{10}}, 4000},
                                            .from = {{{11}}, 8900},
                                            .memory_bytes = 600000,
                                            .write_bytes = 70000};
    return r;
}

TEST(release_is_read_back_as_built)
{
    struct err err = ERR_INIT;
    struct release r = sample(), back = {0};
    char AUTO_MEM *text = release_build(&r);

    CHECK_OK(release_parse(buf_str(text), &back, &err), err);
    CHECK(memcmp(&r, &back, sizeof(r)) == 0);
}

static void refuse_release(const char *from, const char *to, enum err_kind kind, const char *message)
{
    struct err err = ERR_INIT;
    struct release r = sample(), out = {.counter = 77};
    char AUTO_MEM *text = release_build(&r);
    char *at = strstr(text, from);
    char bad[8192];

    CHECK(at != NULL);
    if (!at)
        return;
    (void)snprintf(bad, sizeof(bad), "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    CHECK_ERR(release_parse(buf_str(bad), &out, &err), kind, err);
    CHECK_MSG(err, message);
    CHECK(out.counter == 77);
}

TEST(wrong_releases_are_refused_with_their_place)
{
    refuse_release("limpet.release/1", "limpet.trust/1", ERR_INVALID, "schema");
    refuse_release("\"name\":\"web\"", "\"name\":\"../web\"", ERR_INVALID, "name");
    refuse_release("\"counter\":2", "\"counter\":0", ERR_INVALID, "counter");
    refuse_release("\"counter\":2", "\"counter\":9007199254740993", ERR_INVALID, "");
    refuse_release("\"version\":\"1.4.2", "\"version\":\"1.4.2\\u001b", ERR_INVALID, "");
    refuse_release("\"variant\":\"v6\"", "\"variant\":\"v7\"", ERR_INVALID, "platforms[2]");
    refuse_release("sha256:0", "sha256:../", ERR_INVALID, "platforms[0].manifest.digest");
    refuse_release("sha256:01", "sha512:01", ERR_INVALID, "platforms[0].manifest.digest");
    refuse_release("\"unpacked_bytes\":3000000", "\"unpacked_bytes\":-1", ERR_INVALID, "unpacked_bytes");
    refuse_release("\"inodes\":400", "\"inodes\":400000000", ERR_INVALID, "platforms[0].inodes");
    refuse_release("\"tree\":{", "\"twig\":{", ERR_INVALID, "platforms[0].packs");
    refuse_release("\"size\":9000", "\"size\":0", ERR_INVALID, "platforms[0].tree.size");
    refuse_release("\"writes\":70000", "\"writes\":-1", ERR_INVALID, "platforms[0].packs[1].writes");
    refuse_release("\"from\":{", "\"of\":{", ERR_INVALID, "platforms[0].packs[1].from");
    refuse_release("\"data\":{", "\"more\":1,\"data\":{", ERR_INVALID, "platforms[0].packs[0].more");
}

TEST(a_release_of_the_system_is_a_bundle_and_no_image)
{
    struct err err = ERR_INIT;
    struct release *rel = mem_need_zero(sizeof(*rel)), *back = mem_need_zero(sizeof(*rel));

    (void)str_copy(rel->name, sizeof(rel->name), "os");
    (void)str_copy(rel->version, sizeof(rel->version), "2.1");
    rel->counter = 3;
    rel->bundle = (struct release_blob){{{7}}, 1 << 30};
    char AUTO_MEM *text = release_build(rel);
    CHECK_OK(release_parse(buf_str(text), back, &err), err);
    CHECK(memcmp(rel, back, sizeof(*rel)) == 0 && !release_choose(back, "amd64", ""));
    char both[1024];
    (void)str_fmt(both, sizeof(both), "%.*s,\"platforms\":[]}", (int)strlen(text) - 1, text);
    CHECK_ERR(release_parse(buf_str(both), back, &err), ERR_INVALID, err);
    CHECK_MSG(err, "platforms");
    free(rel), free(back);
}

TEST(packs_of_a_later_version_are_left_unused)
{
    struct err err = ERR_INIT;
    struct release r = sample(), back = {0};
    char AUTO_MEM *text = release_build(&r);
    char *kind = strstr(text, "\"full\""), *codec = strstr(text, "\"lzma\"");

    CHECK(kind && codec);
    memcpy(kind, "\"wide\"", 6);
    memcpy(codec, "\"zzzz\"", 6);
    CHECK_OK(release_parse(buf_str(text), &back, &err), err);
    CHECK(back.platforms[0].n_packs == 1);
    CHECK(back.platforms[0].packs[0].kind == RELEASE_PACK_PATCH && back.platforms[0].packs[0].codec == -1);
    char AUTO_MEM *again = release_build(&back);
    CHECK_OK(release_parse(buf_str(again), &back, &err), err);
    CHECK(back.platforms[0].n_packs == 1);
}

TEST(the_best_platform_is_chosen)
{
    struct release r = sample();
    static const struct {
        const char *arch, *variant;
        int want; /* index, -1 none */
    } cases[] = {
        {"amd64", "", 0},   {"arm", "v7", 1},  {"arm", "v6", 2},    {"arm", "v5", -1},  {"arm", "v8", 1},
        {"arm64", "v8", 3}, {"arm64", "", -1}, {"riscv64", "", -1}, {"amd64", "v2", 0},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct release_platform *p = release_choose(&r, cases[i].arch, cases[i].variant);
        CHECK((p ? (int)(p - r.platforms) : -1) == cases[i].want);
    }
    strcpy(r.platforms[0].os, "windows");
    CHECK(release_choose(&r, "amd64", "") == NULL);
}

TEST(the_machine_has_words)
{
    char arch[16], variant[8];

    CHECK(setenv("LIMPET_PLATFORM", "linux/arm/v7", 1) == 0);
    machine_words(arch, variant);
    CHECK_STR(arch, "arm");
    CHECK_STR(variant, "v7");
    CHECK(setenv("LIMPET_PLATFORM", "linux/riscv64", 1) == 0);
    machine_words(arch, variant);
    CHECK_STR(arch, "riscv64");
    CHECK_STR(variant, "");
    CHECK(unsetenv("LIMPET_PLATFORM") == 0);
    machine_words(arch, variant);
    CHECK(arch[0] != '\0');
}

TEST_MAIN
