#include "fleet/schema.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "fleet/doc.h"
#include "ota/source.h"
#include "platform/crypto.h"
#include "platform/limits.h"

#define MAX_NUMBER (1ULL << 53)
#define DAY_MS     86400000ULL
#define END         \
    {               \
        .key = NULL \
    }

static const char *const enforce_words[] = {"required", "best-effort", NULL};
static const char *const switch_words[] = {"required", "best-effort", "off", NULL};
static const char *const net_words[] = {"none", "host", "bridge", NULL};
static const char *const protocol_words[] = {"tcp", "udp", NULL};
static const char *const mount_words[] = {"tmpfs", "volume", NULL};
static const char *const restart_words[] = {"always", "on-failure", "no", NULL};
static const char *const action_words[] = {"restart", "none", NULL};
static const char *const signal_words[] = {"TERM", "INT",  "QUIT",  "HUP", "USR1",
                                           "USR2", "KILL", "WINCH", NULL};
/* Without those that would open the host to the app. */
static const char *const cap_words[] = {
    "CHOWN",        "DAC_OVERRIDE",   "FOWNER",          "FSETID",           "KILL",          "SETGID",
    "SETUID",       "SETPCAP",        "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN",
    "NET_RAW",      "IPC_LOCK",       "IPC_OWNER",       "SYS_CHROOT",       "SYS_PTRACE",    "SYS_NICE",
    "SYS_RESOURCE", "SYS_TTY_CONFIG", "LEASE",           "AUDIT_WRITE",      "SETFCAP",       NULL};

static const struct rule release_rules[] = {
    {.key = "name", .type = RULE_NAME, .need = JSON_REQUIRED, .help = "name of the release"},
    {.key = "counter",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = MAX_NUMBER,
     .help = "its version counter"},
    {.key = "digest", .type = RULE_DIGEST, .need = JSON_REQUIRED, .help = "of the signed release envelope"},
    {.key = "size",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = LIM_ENVELOPE_BYTES,
     .help = "bytes of the envelope"},
    END};
static const struct rule memory_rules[] = {
    {.key = "max_bytes",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 65536,
     .max = 1ULL << 40,
     .help = "ceiling; above it the app is killed"},
    {.key = "swap_bytes", .type = RULE_NUMBER, .max = 1ULL << 40, .help = "swap beside it (0)"},
    {.key = "enforce",
     .type = RULE_WORD,
     .words = enforce_words,
     .help = "required: refuse the app where the kernel cannot"},
    END};
static const char *const privileges_words[] = {"strip", "refuse", NULL};
static const struct rule cpu_rules[] = {{.key = "percent",
                                         .type = RULE_NUMBER,
                                         .need = JSON_REQUIRED,
                                         .min = 1,
                                         .max = 25600,
                                         .help = "of one core"},
                                        {.key = "enforce",
                                         .type = RULE_WORD,
                                         .words = enforce_words,
                                         .help = "required: refuse the app where the kernel cannot"},
                                        END};
static const struct rule pids_rules[] = {{.key = "max",
                                          .type = RULE_NUMBER,
                                          .need = JSON_REQUIRED,
                                          .min = 1,
                                          .max = 1 << 22,
                                          .help = "processes and threads"},
                                         {.key = "enforce",
                                          .type = RULE_WORD,
                                          .words = enforce_words,
                                          .help = "required: refuse the app where the kernel cannot"},
                                         END};
static const struct rule port_rules[] = {
    {.key = "host",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = 65535,
     .help = "port of the device"},
    {.key = "container",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = 65535,
     .help = "port of the app"},
    {.key = "protocol", .type = RULE_WORD, .words = protocol_words, .help = "tcp by default"},
    {.key = "address", .type = RULE_ADDRESS, .help = "only on this address of the device (all)"},
    END};
static const struct rule network_rules[] = {{.key = "mode",
                                             .type = RULE_WORD,
                                             .need = JSON_REQUIRED,
                                             .words = net_words,
                                             .help = "none (loopback only), host, or bridge"},
                                            {.key = "ports",
                                             .type = RULE_OBJECTS,
                                             .max = LIM_PORTS,
                                             .members = port_rules,
                                             .help = "published ports, with mode bridge"},
                                            END};
static const struct rule mount_rules[] = {
    {.key = "type",
     .type = RULE_WORD,
     .need = JSON_REQUIRED,
     .words = mount_words,
     .help = "tmpfs, or a volume that outlives the app"},
    {.key = "name", .type = RULE_NAME, .help = "of a volume"},
    {.key = "target", .type = RULE_PATH, .need = JSON_REQUIRED, .help = "folder in the container"},
    {.key = "size_bytes", .type = RULE_NUMBER, .min = 4096, .max = 1ULL << 40, .help = "of a tmpfs (1 MiB)"},
    {.key = "read_only", .type = RULE_BOOL, .help = "false by default"},
    END};
static const struct rule restart_rules[] = {
    {.key = "policy",
     .type = RULE_WORD,
     .need = JSON_REQUIRED,
     .words = restart_words,
     .help = "always by default"},
    {.key = "delay_ms",
     .type = RULE_NUMBER,
     .min = 10,
     .max = 3600000,
     .help = "first pause, doubled each time (1000)"},
    {.key = "max_delay_ms", .type = RULE_NUMBER, .min = 10, .max = DAY_MS, .help = "longest pause (300000)"},
    {.key = "stable_ms",
     .type = RULE_NUMBER,
     .max = DAY_MS,
     .help = "runs that long: the pause starts small again (60000)"},
    {.key = "max_tries", .type = RULE_NUMBER, .max = 1000000, .help = "0: for ever"},
    END};
static const struct rule http_rules[] = {
    {.key = "port",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = 65535,
     .help = "port in the container"},
    {.key = "path", .type = RULE_PATH, .help = "must answer 200 to 399 (/)"},
    END};
static const struct rule tcp_rules[] = {{.key = "port",
                                         .type = RULE_NUMBER,
                                         .need = JSON_REQUIRED,
                                         .min = 1,
                                         .max = 65535,
                                         .help = "port in the container that must accept"},
                                        END};
static const struct rule health_rules[] = {
    {.key = "exec",
     .type = RULE_TEXTS,
     .max = LIM_ARGS,
     .one_of = 1,
     .help = "program in the container that must end with 0"},
    {.key = "http", .type = RULE_OBJECT, .members = http_rules, .one_of = 1, .help = "HTTP request"},
    {.key = "tcp", .type = RULE_OBJECT, .members = tcp_rules, .one_of = 1, .help = "TCP connection"},
    {.key = "interval_ms",
     .type = RULE_NUMBER,
     .min = 100,
     .max = DAY_MS,
     .help = "between two checks (30000)"},
    {.key = "timeout_ms", .type = RULE_NUMBER, .min = 50, .max = 600000, .help = "of one check (5000)"},
    {.key = "start_grace_ms",
     .type = RULE_NUMBER,
     .max = DAY_MS,
     .help = "failures before that do not count (10000)"},
    {.key = "retries",
     .type = RULE_NUMBER,
     .min = 1,
     .max = 1000,
     .help = "failures in a row that make it bad (3)"},
    {.key = "action",
     .type = RULE_WORD,
     .words = action_words,
     .help = "when it is bad: restart (default) or none"},
    END};
static const struct rule stop_rules[] = {
    {.key = "signal", .type = RULE_WORD, .words = signal_words, .help = "the image's, else TERM"},
    {.key = "grace_ms", .type = RULE_NUMBER, .max = 600000, .help = "until it is killed (10000)"},
    END};
static const struct rule log_rules[] = {{.key = "max_bytes",
                                         .type = RULE_NUMBER,
                                         .need = JSON_REQUIRED,
                                         .min = 4096,
                                         .max = LIM_LOG_RING_MAX_BYTES,
                                         .help = "kept of its output (65536)"},
                                        END};
static const struct rule app_rules[] = {
    {.key = "name", .type = RULE_NAME, .need = JSON_REQUIRED, .help = "name of the app on the device"},
    {.key = "release",
     .type = RULE_OBJECT,
     .need = JSON_REQUIRED,
     .members = release_rules,
     .help = "in a file for apply also \"web:1.4.2\", \"web:latest\" or \"web@2\""},
    {.key = "sources",
     .type = RULE_TEXTS,
     .item = RULE_SOURCE,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = LIM_SOURCES,
     .help = "where the image lies: http(s)://, layout+http(s)://, coap(s)://, dir:/, usb: (apply: where it "
             "was published)"},
    {.key = "args", .type = RULE_TEXTS, .max = LIM_ARGS, .help = "command line (the image's)"},
    {.key = "env", .type = RULE_MAP, .max = LIM_ENVS, .help = "variables beside the image's"},
    {.key = "cwd", .type = RULE_PATH, .help = "working folder (the image's)"},
    {.key = "user",
     .type = RULE_TEXT,
     .max = LIM_TEXT_BYTES,
     .help = "\"1000\" or \"1000:1000\" (the image's)"},
    {.key = "memory", .type = RULE_OBJECT, .members = memory_rules, .help = "memory ceiling"},
    {.key = "cpu", .type = RULE_OBJECT, .members = cpu_rules, .help = "share of the processor"},
    {.key = "pids", .type = RULE_OBJECT, .members = pids_rules, .help = "number of processes"},
    {.key = "userns", .type = RULE_WORD, .words = switch_words, .help = "own user ids (best-effort)"},
    {.key = "seccomp",
     .type = RULE_WORD,
     .words = switch_words,
     .help = "filter of system calls (best-effort)"},
    {.key = "capabilities",
     .type = RULE_TEXTS,
     .item = RULE_WORD,
     .max = 32,
     .words = cap_words,
     .help = "none by default; NET_BIND_SERVICE, not CAP_..."},
    {.key = "read_only", .type = RULE_BOOL, .help = "root file system: true (false is not possible yet)"},
    {.key = "image_privileges",
     .type = RULE_WORD,
     .words = privileges_words,
     .help = "set-id bits, xattrs, devices of the image: strip (default), refuse"},
    {.key = "network", .type = RULE_OBJECT, .members = network_rules, .help = "none by default"},
    {.key = "mounts",
     .type = RULE_OBJECTS,
     .max = LIM_MOUNTS,
     .members = mount_rules,
     .help = "writable places"},
    {.key = "restart", .type = RULE_OBJECT, .members = restart_rules, .help = "when it ends"},
    {.key = "health", .type = RULE_OBJECT, .members = health_rules, .help = "how to know that it works"},
    {.key = "stop", .type = RULE_OBJECT, .members = stop_rules, .help = "how to end it"},
    {.key = "log", .type = RULE_OBJECT, .members = log_rules, .help = "its output"},
    END};
static const struct rule target_rules[] = {
    {.key = "device", .type = RULE_NAME, .one_of = 1, .help = "this device"},
    {.key = "group",
     .type = RULE_NAME,
     .one_of = 1,
     .help = "every device of this group that has no document of its own"},
    END};
static const struct rule download_rules[] = {
    {.key = "max_bytes",
     .type = RULE_NUMBER,
     .min = 1,
     .max = MAX_NUMBER,
     .help = "byte budget over the network; what needs more is rejected"},
    {.key = "rate_bytes_s",
     .type = RULE_NUMBER,
     .min = 1024,
     .max = MAX_NUMBER,
     .help = "not faster than this"},
    {.key = "window", .type = RULE_TEXT, .max = 16, .help = "downloads only then, UTC: 01:30-05:00"},
    {.key = "full_fallback", .type = RULE_BOOL, .help = "a full download where a patch was promised (true)"},
    END};
static const struct rule update_rules[] = {
    {.key = "probation_ms", .type = RULE_NUMBER, .max = DAY_MS, .help = "works that long: good (60000)"},
    {.key = "download", .type = RULE_OBJECT, .members = download_rules, .help = "what the way here may cost"},
    END};
static const struct rule rollout_rules[] = {
    {.key = "salt",
     .type = RULE_TEXT,
     .need = JSON_REQUIRED,
     .max = LIM_TEXT_BYTES,
     .help = "shuffles the devices"},
    {.key = "slots",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .max = 10000,
     .help = "open slots of 10000: 100 is one percent"},
    {.key = "spread_ms",
     .type = RULE_NUMBER,
     .max = 30 * DAY_MS,
     .help = "devices begin at random within it"},
    {.key = "not_before", .type = RULE_NUMBER, .max = MAX_NUMBER, .help = "seconds since 1970"},
    END};
static const struct rule bundle_rules[] = {
    {.key = "digest", .type = RULE_DIGEST, .need = JSON_REQUIRED, .help = "of the bundle's bytes"},
    {.key = "size",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = LIM_IMAGE_BYTES,
     .help = "bytes"},
    END};
static const struct rule os_rules[] = {
    {.key = "version", .type = RULE_NAME, .need = JSON_REQUIRED, .help = "of the system, for people"},
    {.key = "bundle",
     .type = RULE_OBJECT,
     .need = JSON_REQUIRED,
     .members = bundle_rules,
     .help = "a bundle of RAUC or SWUpdate"},
    {.key = "sources",
     .type = RULE_TEXTS,
     .item = RULE_SOURCE,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = LIM_SOURCES,
     .help = "where it lies, as a blob"},
    END};
static const struct rule agent_rules[] = {
    {.key = "release",
     .type = RULE_OBJECT,
     .need = JSON_REQUIRED,
     .members = release_rules,
     .help = "in a file for apply also \"agent:0.2.0\" or \"agent:latest\""},
    {.key = "sources",
     .type = RULE_TEXTS,
     .item = RULE_SOURCE,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = LIM_SOURCES,
     .help = "where the image lies: http(s)://, layout+http(s)://, coap(s)://, dir:/, usb: (apply: where it "
             "was published)"},
    {.key = "confirm_s", .type = RULE_NUMBER, .min = 5, .max = 3600, .help = "else back (60)"},
    END};
const struct rule schema_desired[] = {
    {.key = "schema",
     .type = RULE_TEXT,
     .need = JSON_REQUIRED,
     .max = 64,
     .help = "limpet.desired/1 (apply fills it)"},
    {.key = "fleet", .type = RULE_NAME, .need = JSON_REQUIRED, .help = "the fleet (apply fills it)"},
    {.key = "target",
     .type = RULE_OBJECT,
     .need = JSON_REQUIRED,
     .members = target_rules,
     .help = "device or group (apply fills it)"},
    {.key = "rev",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = MAX_NUMBER,
     .help = "rises with each apply (apply fills it)"},
    {.key = "issued",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = MAX_NUMBER,
     .help = "seconds since 1970 (apply fills it)"},
    {.key = "expires",
     .type = RULE_NUMBER,
     .need = JSON_REQUIRED,
     .min = 1,
     .max = MAX_NUMBER,
     .help = "seconds since 1970 (apply fills it)"},
    {.key = "id", .type = RULE_TEXT, .max = LIM_TEXT_BYTES, .help = "for people"},
    {.key = "by", .type = RULE_TEXT, .max = LIM_TEXT_BYTES, .help = "for people (apply fills it)"},
    {.key = "apps",
     .type = RULE_OBJECTS,
     .need = JSON_REQUIRED,
     .max = LIM_APPS,
     .members = app_rules,
     .help = "all that runs; [] stops everything"},
    {.key = "update", .type = RULE_OBJECT, .members = update_rules, .help = "how to judge an update"},
    {.key = "os", .type = RULE_OBJECT, .members = os_rules, .help = "the device's own system"},
    {.key = "agent", .type = RULE_OBJECT, .members = agent_rules, .help = "the agent's own programs"},
    {.key = "rollout", .type = RULE_OBJECT, .members = rollout_rules, .help = "groups: how many devices act"},
    END};

static bool is_path(const char *s)
{
    size_t n = strlen(s);

    return s[0] == '/' && n <= 255 && !strstr(s, "/../") && !(n >= 3 && strcmp(s + n - 3, "/..") == 0);
}

static int check_word(const struct json_cur *c, const char *s, const struct rule *r, struct err *err)
{
    char list[300] = "";

    for (const char *const *w = r->words; *w; w++) {
        size_t len = strlen(list);
        if (strcmp(*w, s) == 0)
            return 0;
        (void)str_fmt(list + len, sizeof(list) - len, "%s%s", len ? ", " : "", *w);
    }
    return json_fail(c, err, ERR_INVALID, "\"%.40s\" is none of %s", s, list);
}

static int check_text(const struct json_cur *c, enum rule_type type, const struct rule *r, struct err *err)
{
    struct in_addr ip;
    struct digest d;
    struct err why = ERR_INIT;
    const char *s;

    if (json_as_str(c, LIM_TEXT_BYTES, &s, err) < 0)
        return -(int)err->kind;
    if (type == RULE_WORD)
        return check_word(c, s, r, err);
    if (type == RULE_NAME && !str_is_name(s))
        return json_fail(c, err, ERR_INVALID, "\"%.60s\" is no name: small letters, digits, . _ -", s);
    if (type == RULE_PATH && !is_path(s))
        return json_fail(c, err, ERR_INVALID, "\"%.60s\" is no absolute path without \"..\"", s);
    if (type == RULE_DIGEST && digest_parse(s, &d, NULL) < 0)
        return json_fail(c, err, ERR_INVALID, "\"%.80s\" is no sha256: digest", s);
    if (type == RULE_ADDRESS && inet_pton(AF_INET, s, &ip) != 1)
        return json_fail(c, err, ERR_INVALID, "\"%.40s\" is no IPv4 address", s);
    if (type == RULE_SOURCE && source_parse(s, NULL, &why) < 0)
        return json_fail(c, err, ERR_INVALID, "%s", why.msg);
    if (type == RULE_TEXT && r->max && strlen(s) > r->max)
        return json_fail(c, err, ERR_INVALID, "more than %llu bytes", (unsigned long long)r->max);
    return 0;
}

static int check_map(const struct json_cur *c, const struct rule *r, struct err *err)
{
    const char *s;

    if (json_is_object(c, err) < 0)
        return -(int)err->kind;
    if (json_len(c) > r->max)
        return json_fail(c, err, ERR_INVALID, "%u entries, at most %llu", json_len(c),
                         (unsigned long long)r->max);
    for (unsigned i = 0; i < json_len(c); i++) {
        struct json_cur m = json_member(c, i);
        if (json_as_str(&m, LIM_TEXT_BYTES, &s, err) < 0)
            return -(int)err->kind;
        if (!m.key[0] || strchr(m.key, '='))
            return json_fail(&m, err, ERR_INVALID, "no name for a variable");
    }
    return 0;
}

static int check_list(const struct json_cur *c, const struct rule *r, struct err *err)
{
    if (json_len(c) < r->min)
        return json_fail(c, err, ERR_INVALID, "at least %llu", (unsigned long long)r->min);
    for (unsigned i = 0; i < json_len(c); i++) {
        struct json_cur e = json_at(c, i);
        int rc =
            r->type == RULE_OBJECTS ? schema_check(&e, r->members, err) : check_text(&e, r->item, r, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* One member against its rule: 1 there, 0 absent. */
static int check_member(const struct json_cur *o, const struct rule *r, struct err *err)
{
    bool b;
    uint64_t n;
    struct json_cur c;
    int rc;

    switch (r->type) {
    case RULE_NUMBER:
        return json_get_u64(o, r->key, r->need, r->min, r->max, &n, err);
    case RULE_BOOL:
        return json_get_bool(o, r->key, r->need, &b, err);
    case RULE_OBJECTS:
    case RULE_TEXTS:
        rc = json_get_array(o, r->key, r->need, (unsigned)r->max, &c, err);
        return rc <= 0 ? rc : (check_list(&c, r, err) < 0 ? -(int)err->kind : 1);
    case RULE_OBJECT:
        rc = json_get_object(o, r->key, r->need, &c, err);
        return rc <= 0 ? rc : (schema_check(&c, r->members, err) < 0 ? -(int)err->kind : 1);
    case RULE_MAP:
        rc = json_get(o, r->key, r->need, &c, err);
        return rc <= 0 ? rc : (check_map(&c, r, err) < 0 ? -(int)err->kind : 1);
    default:
        rc = json_get(o, r->key, r->need, &c, err);
        return rc <= 0 ? rc : (check_text(&c, r->type, r, err) < 0 ? -(int)err->kind : 1);
    }
}

int schema_check(const struct json_cur *root, const struct rule *rules, struct err *err)
{
    unsigned chosen = 0;
    bool choice = false;

    if (json_is_object(root, err) < 0)
        return -(int)err->kind;
    for (const struct rule *r = rules; r->key; r++) {
        int rc = check_member(root, r, err);
        if (rc < 0)
            return rc;
        choice = choice || r->one_of;
        chosen += r->one_of && rc;
    }
    if (choice && chosen != 1) {
        char list[120] = "";
        for (const struct rule *r = rules; r->key; r++)
            if (r->one_of) {
                size_t len = strlen(list);
                (void)str_fmt(list + len, sizeof(list) - len, "%s%s", len ? ", " : "", r->key);
            }
        return json_fail(root, err, ERR_INVALID, "exactly one of %s is expected", list);
    }
    return json_done(root, err);
}

/* A host port that two apps publish, or published without a bridge. */
static int check_ports(const struct json_cur *apps, unsigned at, struct err *err)
{
    struct json_cur app = json_at(apps, at), net, ports;

    if (!doc_get(&app, "network", &net) || !doc_get(&net, "ports", &ports))
        return 0;
    if (strcmp(doc_str(&net, "mode", ""), "bridge") != 0)
        return json_fail(&ports, err, ERR_INVALID, "only mode \"bridge\" publishes ports");
    for (unsigned i = 0; i < json_len(&ports); i++) {
        struct json_cur p = json_at(&ports, i);
        for (unsigned k = 0; k < at; k++) {
            struct json_cur other = json_at(apps, k), onet, oports;
            if (!doc_get(&other, "network", &onet) || !doc_get(&onet, "ports", &oports))
                continue;
            for (unsigned j = 0; j < json_len(&oports); j++) {
                struct json_cur q = json_at(&oports, j);
                if (doc_u64(&p, "host") == doc_u64(&q, "host") &&
                    strcmp(doc_str(&p, "protocol", "tcp"), doc_str(&q, "protocol", "tcp")) == 0)
                    return json_fail(&p, err, ERR_INVALID, "host port %llu is %s's already",
                                     (unsigned long long)doc_u64(&p, "host"), doc_str(&other, "name", "?"));
            }
        }
    }
    return 0;
}

int schema_check_whole(const struct json_cur *root, struct err *err)
{
    struct json_cur apps, target, rollout, device, value;

    if (doc_get(root, "rollout", &rollout) && doc_get(root, "target", &target) &&
        doc_get(&target, "device", &device))
        return json_fail(&rollout, err, ERR_INVALID, "only a group's document has one");
    if (!doc_get(root, "apps", &apps))
        return 0;
    for (unsigned i = 0; i < json_len(&apps); i++) {
        struct json_cur app = json_at(&apps, i);
        for (unsigned k = 0; k < i; k++) {
            struct json_cur other = json_at(&apps, k);
            if (strcmp(doc_str(&app, "name", ""), doc_str(&other, "name", "")) == 0)
                return json_fail(&app, err, ERR_INVALID, "name \"%s\" is there twice",
                                 doc_str(&app, "name", ""));
        }
        if (doc_get(&app, "read_only", &value) && !doc_bool(&app, "read_only"))
            return json_fail(&value, err, ERR_INVALID,
                             "false is not possible yet; mount a tmpfs or a volume");
        if (check_ports(&apps, i, err) < 0)
            return -(int)err->kind;
    }
    return 0;
}

static void explain_type(const struct rule *r, char *dst, size_t size)
{
    static const char *const names[RULE_TYPE_COUNT_] = {[RULE_TEXT] = "text",
                                                        [RULE_NAME] = "name",
                                                        [RULE_PATH] = "path",
                                                        [RULE_SOURCE] = "source",
                                                        [RULE_DIGEST] = "digest",
                                                        [RULE_ADDRESS] = "IPv4",
                                                        [RULE_NUMBER] = "number",
                                                        [RULE_BOOL] = "true|false",
                                                        [RULE_WORD] = "word",
                                                        [RULE_OBJECT] = "object",
                                                        [RULE_OBJECTS] = "list of objects",
                                                        [RULE_TEXTS] = "list of texts",
                                                        [RULE_MAP] = "object of texts"};
    size_t len;

    if (r->type == RULE_NUMBER) {
        (void)str_fmt(dst, size, "%llu..%llu", (unsigned long long)r->min, (unsigned long long)r->max);
        return;
    }
    if (r->type != RULE_WORD) {
        (void)str_copy(dst, size, names[r->type]);
        return;
    }
    dst[0] = 0;
    for (const char *const *w = r->words; *w; w++) {
        len = strlen(dst);
        (void)str_fmt(dst + len, size - len, "%s%s", len ? "|" : "", *w);
    }
}

static void explain_rules(const struct rule *rules, unsigned depth, unsigned max_depth)
{
    char type[128], left[64];

    for (const struct rule *r = rules; r->key; r++) {
        explain_type(r, type, sizeof(type));
        (void)str_fmt(left, sizeof(left), "%*s%s%s", (int)depth * 2, "", r->key,
                      r->need == JSON_REQUIRED ? "*" : "");
        printf("%-20s %-26s %s\n", left, type, r->help);
        if (r->members && depth + 1 < max_depth)
            explain_rules(r->members, depth + 1, max_depth);
    }
}

int schema_explain(const char *path, struct err *err)
{
    const struct rule *rules = schema_desired, *r = NULL;
    char type[128];

    while (path && *path) {
        size_t len = strcspn(path, ".");
        for (r = rules; r && r->key && !(strlen(r->key) == len && strncmp(r->key, path, len) == 0); r++)
            ;
        if (!r || !r->key)
            return err_set(err, ERR_NOTFOUND, "a manifest has no '%s' there: fleetctl explain", path);
        rules = r->members;
        path += len + (path[len] == '.');
    }
    if (r) {
        explain_type(r, type, sizeof(type));
        printf("%s%s  %s\n%s\n", r->key, r->need == JSON_REQUIRED ? "*" : "", type, r->help);
    }
    if (rules)
        explain_rules(rules, r ? 1 : 0, r ? 2 : 8);
    return 0;
}
