/* fetch_main.c - agentd-fetch: the sandboxed program that talks to registries and reads sticks (see fetch.h).
 * It gives up root, files and most system calls before the first untrusted byte arrives. */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "ota/doc/entry.h"
#include "ota/doc/field.h"
#include "ota/fetch/fetch_int.h"
#include "platform/clock.h"
#include "platform/fs.h"
#include "platform/sandbox.h"

#define REQUEST_FD 4
#define FIRST_BLOB 5
#define LIST_FD    6 /* list of chunks, if fd 5 is a pipe */
#define CA_BYTES   (1024 * 1024)
#define AUTH_BYTES 512
#define PATH_BYTES 1024
#define OPEN_FILES (32 + LIM_SOURCES * FETCH_BLOBS_MAX)
#define DATA_BYTES (64ULL << 20) /* address space; memory in use is limited by the cgroup */

/* What name resolution and TLS read after the sandbox is entered. Missing ones do not matter. */
static const char *const system_paths[] = {
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/localtime",
    "/etc/ssl/certs",
    "/usr/lib/ssl",
    "/etc/ssl/openssl.cnf",
    "/usr/share/ca-certificates",
    "/lib",
    "/usr/lib",
    "/lib64",
    "/dev/urandom",
    "/run/systemd/resolve",
};

static int read_item(const struct json_cur *at, struct fetch_item *it, struct err *err)
{
    int rc = field_digest(at, "digest", &it->digest, err);

    if (rc >= 0)
        rc = json_get_u64(at, "size", JSON_REQUIRED, 0, LIM_IMAGE_BYTES, &it->size, err);
    if (rc >= 0)
        rc = json_get_u64(at, "have", JSON_REQUIRED, 0, LIM_IMAGE_BYTES, &it->have, err);
    if (rc >= 0)
        rc = json_get_bool(at, "manifest", JSON_REQUIRED, &it->manifest, err);
    return rc >= 0 ? json_done(at, err) : rc;
}

static int read_lists(const struct json_cur *root, struct fetch_job *j, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(root, "sources", JSON_REQUIRED, LIM_SOURCES, &arr, err);

    for (; rc >= 0 && j->n_sources < json_len(&arr); j->n_sources++) {
        struct json_cur at = json_at(&arr, j->n_sources);
        rc = json_as_str(&at, SOURCE_BYTES, &j->names[j->n_sources], err);
        if (rc >= 0)
            rc = source_parse(j->names[j->n_sources], &j->sources[j->n_sources], err);
    }
    if (rc >= 0)
        rc = json_get_array(root, "blobs", JSON_REQUIRED, FETCH_BLOBS_MAX, &arr, err);
    for (; rc >= 0 && j->n_items < json_len(&arr); j->n_items++) {
        struct json_cur at = json_at(&arr, j->n_items);
        j->items[j->n_items].fd = FIRST_BLOB + (int)j->n_items;
        rc = read_item(&at, &j->items[j->n_items], err);
    }
    return rc;
}

/* An error in this device's settings is not the manifest's fault: once fixed, the same try succeeds. */
static int ours(const char *key, int r, struct err *err)
{
    if (r >= 0)
        return r;
    (void)err_wrap(err, "fetch.%s of the settings", key);
    err->kind = ERR_IO;
    return -(int)ERR_IO;
}

/* Files readable only by root are read now. */
static int read_file(const struct json_cur *root, const char *key, size_t most, char **ret, size_t *ret_len,
                     struct err *err)
{
    const char *path = NULL;
    int rc = json_get_str(root, key, JSON_OPTIONAL, PATH_BYTES, &path, err);

    return rc <= 0 ? rc : ours(key, fs_read(AT_FDCWD, path, most, (uint8_t **)ret, ret_len, err), err);
}

static int read_numbers(const struct json_cur *root, struct fetch_job *j, struct err *err)
{
    uint64_t uid = 0, gid = 0;
    int rc = json_get_u64(root, "min_rate", JSON_REQUIRED, 1, 1 << 30, &j->min_rate, err);

    if (rc >= 0)
        rc = json_get_u64(root, "stall_s", JSON_REQUIRED, 1, 3600, &j->stall_s, err);
    if (rc >= 0)
        rc = json_get_u64(root, "chunks", JSON_REQUIRED, 0, LIM_CHUNKS, &j->n_chunks, err);
    if (rc >= 0)
        rc = json_get_u64(root, "rate", JSON_REQUIRED, 0, LIM_COUNTER, &j->rate, err);
    if (rc >= 0)
        rc = json_get_u64(root, "budget", JSON_REQUIRED, 0, LIM_COUNTER, &j->budget, err);
    if (rc >= 0)
        rc = json_get_u64(root, "deadline_ms", JSON_REQUIRED, 1, 1ULL << 40, &j->deadline_ms, err);
    if (rc >= 0)
        rc = json_get_u64(root, "uid", JSON_REQUIRED, 0, UINT32_MAX - 1, &uid, err);
    if (rc >= 0)
        rc = json_get_u64(root, "gid", JSON_REQUIRED, 0, UINT32_MAX - 1, &gid, err);
    j->uid = (uint32_t)uid;
    j->gid = (uint32_t)gid;
    j->deadline_ms += clock_boot_ms();
    if (j->rate && j->min_rate > (j->rate + 1) / 2)
        j->min_rate = (j->rate + 1) / 2; /* our own rate limit must not count as a stall */
    return rc;
}

/* "psk IDENTITY HEXKEY" */
static int take_psk(struct fetch_job *j, char *line, struct err *err)
{
    char *key = strrchr(line, ' ');

    if (!key || key == line)
        return err_set(err, ERR_INVALID, "auth: not \"psk IDENTITY HEXKEY\"");
    *key++ = '\0';
    j->psk_len = strlen(key) / 2;
    if (j->psk_len == 0 || j->psk_len > sizeof(j->psk) || strlen(key) % 2 ||
        !hex_decode(key, j->psk, j->psk_len))
        return err_set(err, ERR_INVALID, "auth: a psk has 1 to %zu bytes in hex", sizeof(j->psk));
    j->psk_identity = line;
    return 0;
}

/* Lines of the auth file: "user:password" for HTTP, "psk IDENTITY HEXKEY" for CoAPS. */
static int split_auth(struct fetch_job *j, struct err *err)
{
    char *rest = j->auth_text, *line;
    int rc = 0;

    while (rc == 0 && rest && (line = strsep(&rest, "\n")) != NULL) {
        line[strcspn(line, "\r")] = '\0';
        if (strncmp(line, "psk ", 4) == 0)
            rc = take_psk(j, line + 4, err);
        else if (line[0] && !j->auth)
            j->auth = line;
    }
    return rc;
}

static int read_request(const struct json_cur *root, struct fetch_job *j, struct err *err)
{
    size_t auth_len = 0;
    int rc = read_lists(root, j, err);

    if (rc >= 0)
        rc = read_numbers(root, j, err);
    if (rc >= 0)
        rc = read_file(root, "ca", CA_BYTES, &j->ca, &j->ca_len, err);
    if (rc >= 0)
        rc = json_get_str(root, "usb", JSON_OPTIONAL, PATH_BYTES, &j->usb_folder, err);
    if (rc >= 0)
        rc = json_get_str(root, "ca", JSON_OPTIONAL, PATH_BYTES, &j->ca_path, err);
    if (rc >= 0)
        rc = read_file(root, "auth", AUTH_BYTES, &j->auth_text, &auth_len, err);
    if (rc >= 0)
        rc = ours("auth", split_auth(j, err), err);
    return rc >= 0 ? json_done(root, err) : rc;
}

static int enter_sandbox(const struct fetch_job *j, struct err *err)
{
    const char *read_paths[COUNT_OF(system_paths) + 2] = {NULL};
    static const char *const none[] = {NULL};
    unsigned n = 0;
    char missing[128];
    struct sandbox box = {.uid = j->uid,
                          .gid = j->gid,
                          .data_bytes = DATA_BYTES,
                          .file_bytes = LIM_ENVELOPE_BYTES,
                          .open_files = FIRST_BLOB + FETCH_BLOBS_MAX + OPEN_FILES,
                          .network = true,
                          .read_paths = read_paths,
                          .write_paths = none};

    for (; n < COUNT_OF(system_paths); n++)
        read_paths[n] = system_paths[n];
    read_paths[n] = j->ca_path;
    for (unsigned i = 0; i < j->n_items; i++)
        if (j->items[i].size > box.file_bytes)
            box.file_bytes = j->items[i].size;
#ifdef LIMPET_SANITIZED
    box.data_bytes = 0; /* the sanitizer's shadow memory counts as data */
#endif
    return sandbox_enter(&box, missing, sizeof(missing), err);
}

/* Chunks are for a waiting job: without it there is nothing to write to. Changing the user cleared the
 * parent-death signal, and the parent may have exited meanwhile. */
static int follow_parent(const struct fetch_job *j, struct err *err)
{
    struct pollfd out = {.fd = FIRST_BLOB, .events = POLLOUT};

    if (j->n_chunks == 0)
        return 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR) ? err_set(err, ERR_IO, "nobody reads") : 0;
}

static int run(struct fetch_job *j, struct err *err)
{
    static uint8_t text[FETCH_REQUEST_BYTES];
    struct json_cur root;
    const struct json_limits lim = {sizeof(text), LIM_JSON_DEPTH, LIM_JSON_TOKENS, false};

    if (lseek(REQUEST_FD, 0, SEEK_SET) < 0)
        return err_set(err, ERR_IO, "no request");
    ssize_t n = fs_read_full(REQUEST_FD, text, sizeof(text), err);
    int rc = n < 0 ? (int)n : json_parse(buf_of(text, (size_t)n), &lim, &root, err);
    if (rc < 0)
        return rc;
    AUTO_JSON struct cJSON *doc = root.node;
    (void)doc;
    rc = read_request(&root, j, err);
    if (rc >= 0)
        rc = crypto_init(err);
    if (rc >= 0 && j->n_chunks > 0)
        rc = j->n_items == 1 ? fetch_list(&j->items[0], LIST_FD, j->n_chunks, err)
                             : err_set(err, ERR_INVALID, "chunks of %u blobs", j->n_items);
    if (rc >= 0)
        fetch_dir_open(j);
    if (rc >= 0)
        fetch_usb_open(j);
    if (rc >= 0)
        rc = fetch_http_init(j, err);
#ifdef LIMPET_COAP
    if (rc >= 0)
        rc = fetch_coap_init(j, err);
#endif
    if (rc >= 0)
        rc = enter_sandbox(j, err);
    if (rc >= 0)
        rc = follow_parent(j, err);
    if (rc >= 0)
        rc = fetch_run(j, err);
    fetch_http_done(j);
#ifdef LIMPET_COAP
    fetch_coap_done(j);
#endif
    return rc;
}

int main(int argc, char **argv)
{
    static struct fetch_job job;
    struct err err = ERR_INIT;
    char shown[ERR_MSG_BYTES];

    if (argc != 2 || strcmp(argv[1], "fetch") != 0) {
        fprintf(stderr, "usage: agentd-fetch fetch (started by agentd)\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* a closed reader is reported as an error */
    int rc = run(&job, &err);
    fetch_tell(&job, true); /* what was received counts, even if it was useless */
    if (rc < 0)
        job_line(FETCH_LINE_FD, "err %s %s", err_kind_name(err.kind),
                 entry_printable(err.msg, shown, sizeof(shown)));
    else
        job_line(FETCH_LINE_FD, "ok %" PRIu64, job.fetched);
    free(job.ca);
    free(job.auth_text);
    return rc < 0;
}
