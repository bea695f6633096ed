#include "ota/store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ota/pull/pull.h"
#include "platform/fs.h"
#include "tests/unit/check.h"

static char dir_path[64];
static int dir_fd = -1;

static void fresh(void)
{
    struct err err = ERR_INIT;

    CHECK_OK(crypto_init(&err), err);
    if (dir_fd >= 0) {
        CHECK_OK(fs_remove_tree(AT_FDCWD, dir_path, &err), err);
        (void)close(dir_fd);
    }
    strcpy(dir_path, "/tmp/unit-store-XXXXXX");
    CHECK(mkdtemp(dir_path) != NULL);
    dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void write_partial(struct store *s, const struct digest *d, uint64_t size, struct buf bytes)
{
    struct err err = ERR_INIT;
    int AUTO_FD fd = -1;

    CHECK_OK(store_partial_open(s, d, size, &fd, &err), err);
    CHECK_OK(fs_write_full(fd, bytes, &err), err);
}

TEST(a_partial_becomes_a_blob)
{
    AUTO_FREE(store) struct store *s = NULL;
    struct err err = ERR_INIT;
    struct digest d;
    uint8_t AUTO_MEM *back = NULL;
    size_t len = 0;

    fresh();
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK_OK(sha256(BUF_LIT("hello world"), &d, &err), err);
    write_partial(s, &d, 11, BUF_LIT("hello "));
    CHECK(store_partial_bytes(s, &d) == 6 && !store_has_blob(s, &d));
    s = store_free(s); /* as after a restart */
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK(store_partial_bytes(s, &d) == 6);
    write_partial(s, &d, 11, BUF_LIT("world"));
    CHECK_OK(store_partial_commit(s, &d, 11, &err), err);
    CHECK(store_has_blob(s, &d) == 1 && store_partial_bytes(s, &d) == 0 && store_has_layer(s, &d) == 1);
    CHECK_OK(store_partial_commit(s, &d, 11, &err), err); /* again: it is held */
    CHECK_OK(store_read_blob(s, &d, 100, &back, &len, &err), err);
    CHECK(len == 11 && memcmp(back, "hello world", 11) == 0);
    CHECK_ERR(store_read_blob(s, &d, 10, &back, &len, &err), ERR_INVALID, err);
}

TEST(wrong_bytes_never_get_the_name)
{
    AUTO_FREE(store) struct store *s = NULL;
    struct err err = ERR_INIT;
    struct digest d;

    fresh();
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK_OK(sha256(BUF_LIT("right"), &d, &err), err);
    write_partial(s, &d, 5, BUF_LIT("wrong"));
    CHECK_ERR(store_partial_commit(s, &d, 5, &err), ERR_INTEGRITY, err);
    CHECK(!store_has_blob(s, &d) && store_partial_bytes(s, &d) == 0);
    write_partial(s, &d, 5, BUF_LIT("right"));
    CHECK_ERR(store_partial_commit(s, &d, 6, &err), ERR_INTEGRITY, err); /* not the signed size */
    write_partial(s, &d, 5, BUF_LIT("much too much"));
    int AUTO_FD fd = -1;
    CHECK_OK(store_partial_open(s, &d, 5, &fd, &err), err);
    CHECK(store_partial_bytes(s, &d) == 0); /* more than was signed is garbage: it starts again */
    CHECK_ERR(store_partial_commit(s, &(struct digest){{9}}, 5, &err), ERR_NOTFOUND, err);
}

TEST(a_blob_that_went_bad_is_not_read)
{
    AUTO_FREE(store) struct store *s = NULL;
    struct err err = ERR_INIT;
    struct digest d;
    uint8_t AUTO_MEM *back = NULL;
    size_t len = 0;
    char hex[65], path[128];

    fresh();
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK_OK(sha256(BUF_LIT("hello"), &d, &err), err);
    write_partial(s, &d, 5, BUF_LIT("hello"));
    CHECK_OK(store_partial_commit(s, &d, 5, &err), err);
    (void)snprintf(path, sizeof(path), "blobs/%s", digest_hex(&d, hex));
    CHECK_OK(fs_write_atomic(dir_fd, path, BUF_LIT("hellO"), 0600, &err), err);
    CHECK_ERR(store_read_blob(s, &d, 100, &back, &len, &err), ERR_INTEGRITY, err);
    CHECK(back == NULL);
}

TEST(one_process_owns_the_store)
{
    AUTO_FREE(store) struct store *s = NULL;
    AUTO_FREE(store) struct store *other = NULL;
    struct err err = ERR_INIT;
    struct stat st;

    fresh();
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK_ERR(store_new(dir_fd, &other, &err), ERR_CONFLICT, err);
    s = store_free(s);
    CHECK(mkdirat(dir_fd, "tmp/leftover", 0700) == 0);
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK(fstatat(dir_fd, "tmp/leftover", &st, 0) < 0 && fstatat(dir_fd, "tmp", &st, 0) == 0);
    s = store_free(s);
    CHECK_OK(fs_write_atomic(dir_fd, "layout", BUF_LIT("limpet-store 2\n"), 0600, &err), err);
    CHECK_ERR(store_new(dir_fd, &s, &err), ERR_UNSUPPORTED, err);
    CHECK(s == NULL);
}

TEST(collect_keeps_what_it_was_told)
{
    AUTO_FREE(store) struct store *s = NULL;
    struct err err = ERR_INIT;
    struct digest keep, go, half;
    uint64_t freed = 0;

    fresh();
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK_OK(sha256(BUF_LIT("keep"), &keep, &err), err);
    CHECK_OK(sha256(BUF_LIT("go!"), &go, &err), err);
    CHECK_OK(sha256(BUF_LIT("half"), &half, &err), err);
    write_partial(s, &keep, 4, BUF_LIT("keep"));
    write_partial(s, &go, 3, BUF_LIT("go!"));
    write_partial(s, &half, 4, BUF_LIT("ha"));
    CHECK_OK(store_partial_commit(s, &keep, 4, &err), err);
    CHECK_OK(store_partial_commit(s, &go, 3, &err), err);
    CHECK_OK(store_collect(s, &(struct store_keep){&keep, 1}, &freed, &err), err);
    CHECK(freed == 5 && store_has_blob(s, &keep) && !store_has_blob(s, &go) &&
          store_partial_bytes(s, &half) == 0);
}

TEST(space_is_told_with_need_and_have)
{
    AUTO_FREE(store) struct store *s = NULL;
    struct err err = ERR_INIT;

    fresh();
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK_OK(store_check_space(s, 1, 1, &err), err);
    CHECK_ERR(store_check_space(s, UINT64_MAX, 0, &err), ERR_NOSPACE, err);
    CHECK_MSG(err, "needs 18446744073709551615 bytes, there are ");
    CHECK_ERR(store_install(s, &(struct store_install){.untar_argv = NULL}, -1, &err), ERR_NOTFOUND, err);
    s = store_free(s);
    CHECK_OK(fs_remove_tree(AT_FDCWD, dir_path, &err), err);
}

/* A small object under way has its final name: what a cut leaves of it must not pass for a whole one. */
TEST(a_staged_object_counts_when_it_was_finished)
{
    static const struct {
        const char *bytes;
        bool mode, finish, keep;
    } left[] = {
        {"right", true, true, true},  {"right", false, false, false}, {"right", true, false, false},
        {"righ", true, false, false}, {"wrong", true, true, false},
    };
    AUTO_FREE(store) struct store *s = NULL;
    struct entry e = {
        .kind = ENTRY_FILE, .size = 5, .mode = 0640, .uid = getuid(), .gid = getgid(), .path = "a"};
    struct err err = ERR_INIT;
    struct object_at at;
    struct digest d;
    char name[OBJECT_NAME_BYTES];

    fresh();
    CHECK_OK(store_new(dir_fd, &s, &err), err);
    CHECK_OK(sha256(BUF_LIT("right"), &d, &err), err);
    (void)object_name(&d, e.mode, e.uid, e.gid, name);
    for (unsigned i = 0; i < COUNT_OF(left); i++) {
        struct stage g;
        int AUTO_FD fd = -1;
        CHECK_OK(stage_open(s, &d, &g, &err), err);
        CHECK(!stage_find(&g, &e, &d, &at));
        CHECK_OK(stage_create(&g, name, left[i].mode ? 0640 : 0600, &fd, &err), err);
        CHECK_OK(fs_write_full(fd, buf_str(left[i].bytes), &err), err);
        if (left[i].finish)
            CHECK_OK(object_finish(fd, &e, &err), err);
        stage_close(&g); /* killed here */
        CHECK_OK(stage_open(s, &d, &g, &err), err);
        CHECK(stage_find(&g, &e, &d, &at) == left[i].keep);
        if (left[i].keep)
            CHECK(unlinkat(g.dir_fd, name, 0) == 0);
        stage_close(&g);
    }
}

TEST_MAIN
