#include "ota/doc/oci.h"

#include "ota/layer/layer.h"
#include "tests/unit/check.h"

#define D0              "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define D1              "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2              "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define OCI             "application/vnd.oci.image."
#define DOCKER          "application/vnd.docker."
#define SIZE            ",\"size\":7,\"x\":1" /* x: other members are passed over */
#define CONFIG          "\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"" D0 "\"" SIZE "}"
#define LAYER(media, d) "{\"mediaType\":\"" media "\",\"digest\":\"" d "\",\"size\":9}"
#define ENTRY(d, platform) \
    "{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"" d "\",\"size\":9" platform "}"
#define PLATFORM(arch, variant) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"" variant "}"

TEST(manifests_of_both_kinds_are_read)
{
    static struct oci_manifest m;
    struct err err = ERR_INIT;
    char text[SHA256_TEXT];

    CHECK_OK(
        oci_manifest_parse(buf_str("{\"schemaVersion\":2,\"annotations\":{\"a\":\"b\"}," CONFIG
                                   ",\"layers\":[" LAYER(OCI "layer.v1.tar+gzip", D1) "," LAYER(
                                       OCI "layer.v1.tar", D2) "," LAYER(OCI "layer.v1.tar+zstd", D2) "]}"),
                           &m, &err),
        err);
    CHECK(m.n_layers == 3 && m.layers[0].codec == OCI_TAR_GZIP && m.layers[1].codec == OCI_TAR &&
          m.layers[2].codec == OCI_TAR_ZSTD && m.config.size_bytes == 7 && m.layers[1].size_bytes == 9);
    CHECK_STR(digest_text(&m.layers[0].digest, text), D1);
    CHECK_OK(oci_manifest_parse(buf_str("{\"schemaVersion\":2,\"mediaType\":\"" DOCKER
                                        "distribution.manifest.v2+json\","
                                        "\"config\":{\"mediaType\":\"" DOCKER
                                        "container.image.v1+json\",\"digest\":\"" D0 "\",\"size\":7},"
                                        "\"layers\":[" LAYER(DOCKER "image.rootfs.diff.tar.gzip", D1) "]}"),
                                &m, &err),
             err);
    CHECK(m.n_layers == 1 && m.layers[0].codec == OCI_TAR_GZIP);
    CHECK(layer_codec_parse("gzip") == OCI_TAR_GZIP && layer_codec_parse("xz") == -1);
}

TEST(odd_manifests_are_refused)
{
    static const struct {
        const char *json;
        enum err_kind kind;
    } cases[] = {
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[],\"manifests\":[]}", ERR_INVALID}, /* both at once */
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[]}", ERR_INVALID},
        {"{\"schemaVersion\":1," CONFIG ",\"layers\":[" LAYER(OCI "layer.v1.tar", D1) "]}", ERR_INVALID},
        {"{\"schemaVersion\":2,\"layers\":[" LAYER(OCI "layer.v1.tar", D1) "]}", ERR_INVALID},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER("text/plain", D1) "]}", ERR_UNSUPPORTED},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER(OCI "layer.nondistributable.v1.tar", D1) "]}",
         ERR_UNSUPPORTED},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER(OCI "layer.v1.tar", "sha256:../../etc") "]}",
         ERR_INVALID},
        {"{\"schemaVersion\":2," CONFIG ",\"layers\":[" LAYER(OCI "layer.v1.tar", D1 "0") "]}", ERR_INVALID},
        {"{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\"," CONFIG
         ",\"layers\":[" LAYER(OCI "layer.v1.tar", D1) "]}",
         ERR_UNSUPPORTED},
    };
    static struct oci_manifest m;
    struct err err = ERR_INIT;

    m.n_layers = 77;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        CHECK_ERR(oci_manifest_parse(buf_str(cases[i].json), &m, &err), cases[i].kind, err);
    CHECK(m.n_layers == 77);
}

TEST(an_index_is_chosen_from)
{
    static const char index[] =
        "{\"schemaVersion\":2,\"manifests\":[" ENTRY(D0, PLATFORM("amd64", "")) "," ENTRY(
            D1,
            PLATFORM("arm",
                     ",\"variant\":\"v6\"")) "," ENTRY(D2,
                                                       PLATFORM("arm",
                                                                ",\"variant\":\"v7\"")) ",{\"mediaType\":\"a/"
                                                                                        "b\",\"digest\":"
                                                                                        "\"x\",\"size\":1}]}";
    static const struct {
        const char *arch, *variant, *want;
    } cases[] = {{"amd64", "", D0}, {"arm", "v7", D2}, {"arm", "v6", D1}};
    struct err err = ERR_INIT;
    struct oci_blob b;
    char text[SHA256_TEXT];

    CHECK(oci_is_index(buf_str(index), &err) == 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_OK(oci_index_choose(buf_str(index), cases[i].arch, cases[i].variant, &b, &err), err);
        CHECK_STR(digest_text(&b.digest, text), cases[i].want);
    }
    CHECK_ERR(oci_index_choose(buf_str(index), "riscv64", "", &b, &err), ERR_NOTFOUND, err);
    CHECK_MSG(err, "linux/amd64, linux/arm/v6, linux/arm/v7");
    CHECK_OK(oci_index_choose(buf_str("{\"schemaVersion\":2,\"manifests\":[" ENTRY(D1, "") "]}"), "arm64",
                              "v8", &b, &err),
             err);
}

TEST(configs_give_what_runs)
{
    AUTO_FREE(arena) struct arena *a = arena_new(65536);
    struct oci_config c = {0};
    struct err err = ERR_INIT;

    CHECK_OK(
        oci_config_parse(
            buf_str(
                "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v7\",\"created\":\"x\",\"config\":{"
                "\"Entrypoint\":[\"/bin/web\",\"-p\"],\"Cmd\":null,\"Env\":[\"A=1\"],\"User\":\"5:6\","
                "\"WorkingDir\":\"/srv\",\"StopSignal\":\"SIGQUIT\",\"Labels\":null},"
                "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D1 "\",\"" D2
                "\"]},\"history\":[{\"f\":1.5}]}"),
            a, &c, &err),
        err);
    CHECK(c.entrypoint && c.entrypoint[2] == NULL && c.cmd == NULL && c.n_diff_ids == 2);
    CHECK_STR(c.entrypoint[1], "-p");
    CHECK_STR(c.env[0], "A=1");
    CHECK_STR(c.user, "5:6");
    CHECK_STR(c.working_dir, "/srv");
    CHECK_STR(c.stop_signal, "SIGQUIT");
    CHECK_OK(oci_config_parse(buf_str("{\"architecture\":\"arm\",\"os\":\"linux\",\"config\":null,"
                                      "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}"),
                              a, &c, &err),
             err);
    CHECK(c.entrypoint == NULL && c.user == NULL && c.n_diff_ids == 0);
}

TEST(odd_configs_are_refused)
{
    static const char *const bad[] = {
        "{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
        "{\"architecture\":\"arm\",\"os\":\"linux\"}",
        "{\"architecture\":\"arm\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:"
        "1\"]}}",
        "{\"architecture\":\"arm\",\"os\":\"linux\",\"config\":{\"Cmd\":\"sh\"},\"rootfs\":{\"type\":"
        "\"layers\",\"diff_ids\":[]}}",
        "{\"architecture\":\"arm\",\"os\":\"linux\",\"config\":{\"Env\":[1]},\"rootfs\":{\"type\":\"layers\","
        "\"diff_ids\":[]}}",
        "{\"architecture\":\"arm\",\"os\":\"linux\",\"config\":{\"User\":7},\"rootfs\":{\"type\":\"layers\","
        "\"diff_ids\":[]}}",
    };
    AUTO_FREE(arena) struct arena *a = arena_new(65536);
    struct oci_config c;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        CHECK_ERR(oci_config_parse(buf_str(bad[i]), a, &c, &err), ERR_INVALID, err);
    AUTO_FREE(arena) struct arena *tiny = arena_new(4);
    CHECK_ERR(oci_config_parse(buf_str("{\"architecture\":\"arm64\",\"os\":\"linux\",\"rootfs\":{\"type\":"
                                       "\"layers\",\"diff_ids\":[]}}"),
                               tiny, &c, &err),
              ERR_NOMEM, err);
}

TEST_MAIN
