/* coap_files.c - a small CoAP server for the files of a directory: block-wise GET, stateless, on loopback.
 *   coap-files FOLDER PORT [--psk IDENTITY HEXKEY] [--cert CERT KEY] [--szx N] [--lie WHAT N]
 * With a key or a certificate it speaks DTLS only. --lie makes it a bad server from its N-th answer on: "gap"
 * (the block behind the one asked for), "overlap" (the one before), "etag" (another one each time), "size" (a
 * total that is one more), "short" (half a block), "code" (5.03), "silent". For tests and try-outs; not
 * installed. */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "platform/crypto.h"
#include "platform/fs.h"

static struct {
    int dir_fd;
    unsigned szx, lie_from, answers;
    const char *lie, *psk_id, *cert, *key;
    uint8_t psk[64];
    size_t psk_len;
} s = {.dir_fd = -1, .szx = 6, .lie = ""};
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
    (void)sig;
    stop = 1;
}

static bool lies(const char *what)
{
    return strcmp(s.lie, what) == 0 && s.answers >= s.lie_from;
}

static int open_asked(const coap_pdu_t *request, struct stat *st)
{
    coap_string_t *path = coap_get_uri_path(request);
    char text[1024];
    int fd = -1;

    if (path && str_fmt(text, sizeof(text), "%.*s", (int)path->length, (const char *)path->s))
        err_ignore(fs_open_below(s.dir_fd, text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, &fd, NULL));
    coap_delete_string(path);
    if (fd >= 0 && (fstat(fd, st) < 0 || !S_ISREG(st->st_mode))) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void put_number(coap_pdu_t *pdu, coap_option_num_t option, uint64_t value)
{
    uint8_t bytes[8];

    (void)coap_add_option(pdu, option, coap_encode_var_safe8(bytes, sizeof(bytes), value), bytes);
}

static void on_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
    coap_block_t b = {.szx = s.szx};
    uint8_t data[1024];
    struct stat st;
    int AUTO_FD fd = open_asked(request, &st);

    (void)resource;
    (void)session;
    (void)query;
    s.answers++;
    if (fd < 0 || lies("code")) {
        coap_pdu_set_code(response,
                          fd < 0 ? COAP_RESPONSE_CODE_NOT_FOUND : COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE);
        return;
    }
    (void)coap_get_block(request, COAP_OPTION_BLOCK2, &b);
    uint64_t at = (uint64_t)b.num << (b.szx + 4), size = (uint64_t)st.st_size;
    unsigned szx = b.szx > s.szx ? s.szx : b.szx;
    if (lies("gap"))
        at += 1ULL << (szx + 4);
    if (lies("overlap") && at > 0)
        at -= 1ULL << (szx + 4);
    size_t len = (size_t)1 << (szx + 4);
    ssize_t n = pread(fd, data, len, (off_t)at);
    if (n < 0 || (n == 0 && at > 0)) {
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_BAD_OPTION);
        return;
    }
    if (lies("short"))
        n /= 2;
    coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
    put_number(response, COAP_OPTION_ETAG,
               (uint64_t)st.st_mtime << 20 ^ size ^ (lies("etag") ? s.answers : 0));
    bool more = at + (uint64_t)n < size;
    put_number(response, COAP_OPTION_BLOCK2, (at >> (szx + 4)) << 4 | (more ? 8 : 0) | szx);
    put_number(response, COAP_OPTION_SIZE2, size + lies("size"));
    (void)coap_add_data(response, (size_t)n, data);
}

static const coap_bin_const_t *on_identity(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
    static coap_bin_const_t key;

    (void)session;
    (void)arg;
    key = (coap_bin_const_t){s.psk_len, s.psk};
    return buf_eq(buf_of(identity->s, identity->length), buf_str(s.psk_id)) ? &key : NULL;
}

static bool set_security(coap_context_t *ctx)
{
    coap_dtls_spsk_t psk = {.version = COAP_DTLS_SPSK_SETUP_VERSION,
                            .validate_id_call_back = on_identity,
                            .psk_info.key = {s.psk_len, s.psk}};
    coap_dtls_pki_t pki = {
        .version = COAP_DTLS_PKI_SETUP_VERSION,
        .pki_key = {.key_type = COAP_PKI_KEY_PEM, .key.pem = {.public_cert = s.cert, .private_key = s.key}}};

    if (s.psk_len)
        return coap_context_set_psk2(ctx, &psk) == 1;
    return !s.cert || coap_context_set_pki(ctx, &pki) == 1;
}

static int serve(uint16_t port)
{
    coap_context_t *ctx = coap_new_context(NULL);
    coap_resource_t *all = coap_resource_unknown_init2(on_get, 0);
    coap_address_t at;

    if (!ctx || !set_security(ctx))
        return 1;
    coap_address_init(&at);
    at.size = sizeof(at.addr.sin);
    at.addr.sin = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!coap_new_endpoint(ctx, &at, s.psk_len || s.cert ? COAP_PROTO_DTLS : COAP_PROTO_UDP)) {
        fprintf(stderr, "coap-files: port %u cannot be had\n", port);
        return 1;
    }
    coap_register_request_handler(all, COAP_REQUEST_GET, on_get);
    coap_add_resource(ctx, all);
    printf("ready\n");
    (void)fflush(stdout);
    while (!stop && !lies("silent"))
        (void)coap_io_process(ctx, 500);
    while (!stop)
        (void)sleep(1);
    coap_free_context(ctx);
    return 0;
}

static bool read_options(int argc, char **argv)
{
    for (int i = 3; i < argc; i++) {
        uint64_t n = 0;
        if (strcmp(argv[i], "--psk") == 0 && i + 2 < argc) {
            s.psk_id = argv[i + 1];
            s.psk_len = strlen(argv[i + 2]) / 2;
            if (s.psk_len == 0 || s.psk_len > sizeof(s.psk) || !hex_decode(argv[i + 2], s.psk, s.psk_len))
                return false;
            i += 2;
        } else if (strcmp(argv[i], "--cert") == 0 && i + 2 < argc) {
            s.cert = argv[++i];
            s.key = argv[++i];
        } else if (strcmp(argv[i], "--szx") == 0 && i + 1 < argc && str_u64(argv[i + 1], 0, 6, &n)) {
            s.szx = (unsigned)n;
            i++;
        } else if (strcmp(argv[i], "--lie") == 0 && i + 2 < argc && str_u64(argv[i + 2], 0, 1 << 30, &n)) {
            s.lie = argv[i + 1];
            s.lie_from = (unsigned)n;
            i += 2;
        } else {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct sigaction end = {.sa_handler = on_signal};
    uint64_t port = 0;

    if (argc < 3 || !str_u64(argv[2], 1, 65535, &port) || !read_options(argc, argv)) {
        fprintf(stderr, "usage: coap-files FOLDER PORT [--psk IDENTITY HEXKEY] [--cert CERT KEY] [--szx N] "
                        "[--lie WHAT N]\n");
        return 2;
    }
    s.dir_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s.dir_fd < 0) {
        perror(argv[1]);
        return 1;
    }
    (void)sigaction(SIGTERM, &end, NULL);
    (void)sigaction(SIGINT, &end, NULL);
    coap_startup();
    coap_set_log_level(LOG_EMERG);
    int rc = serve((uint16_t)port);
    coap_cleanup();
    return rc;
}
