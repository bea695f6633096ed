/* seccomp_tool.c - limpet-seccomp: reads the linux.seccomp object of a config.json from stdin, writes the
 * resulting filter to stdout as an array of struct sock_filter. The only place that uses libseccomp. It runs
 * once per profile: seccomp_cache.c keeps the result. Follows runtime-spec 1.2, config-linux.md, "Seccomp".
 * What concerns loading (flags, listenerPath, listenerMetadata) is left to the runtime; only the flags' names
 * are checked here. */
#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/fs.h"
#include "platform/json.h"

#define MAX_ARCHES 24
#define MAX_ERRNO  4095 /* the kernel's limit */

static const struct action {
    const char *name;
    uint32_t value;
    bool data; /* errnoRet goes into its lower half */
} actions[] = {
    {"SCMP_ACT_KILL", SCMP_ACT_KILL, false},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true},
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
    {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY, false},
};

static const char *const operators[] = {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
                                        "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};
static_assert(SCMP_CMP_MASKED_EQ - SCMP_CMP_NE + 1 == COUNT_OF(operators), "in libseccomp's order");

/* Those of the specification; one that this libseccomp does not know cannot be this machine's, and is
 * skipped. */
static const struct arch {
    const char *name, *short_name;
} arches[] = {
    {"SCMP_ARCH_X86", "x86"},
    {"SCMP_ARCH_X86_64", "x86_64"},
    {"SCMP_ARCH_X32", "x32"},
    {"SCMP_ARCH_ARM", "arm"},
    {"SCMP_ARCH_AARCH64", "aarch64"},
    {"SCMP_ARCH_MIPS", "mips"},
    {"SCMP_ARCH_MIPS64", "mips64"},
    {"SCMP_ARCH_MIPS64N32", "mips64n32"},
    {"SCMP_ARCH_MIPSEL", "mipsel"},
    {"SCMP_ARCH_MIPSEL64", "mipsel64"},
    {"SCMP_ARCH_MIPSEL64N32", "mipsel64n32"},
    {"SCMP_ARCH_PPC", "ppc"},
    {"SCMP_ARCH_PPC64", "ppc64"},
    {"SCMP_ARCH_PPC64LE", "ppc64le"},
    {"SCMP_ARCH_S390", "s390"},
    {"SCMP_ARCH_S390X", "s390x"},
    {"SCMP_ARCH_PARISC", "parisc"},
    {"SCMP_ARCH_PARISC64", "parisc64"},
    {"SCMP_ARCH_RISCV64", "riscv64"},
    {"SCMP_ARCH_LOONGARCH64", "loongarch64"},
    {"SCMP_ARCH_M68K", "m68k"},
    {"SCMP_ARCH_SH", "sh"},
    {"SCMP_ARCH_SHEB", "sheb"},
};

static const char *const flags[] = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                                    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};

struct profile {
    struct json_cur doc;
    scmp_filter_ctx ctx;
    uint32_t default_action;
    uint32_t arch[MAX_ARCHES]; /* libseccomp's tokens; the first is this machine's own */
    int newest[MAX_ARCHES];    /* the largest number that a rule uses there */
    unsigned n_arches;
};

/* ---- reading ---- */

/* An integer up to 2^64-1. JSON numbers are read as doubles, so above 2^53 only 2^64-1 itself, which means
 * "all bits", is accepted: any other might differ from the number in the text. */
static int get_u64(const struct json_cur *obj, const char *key, enum json_need need, uint64_t *ret,
                   struct err *err)
{
    struct json_cur c;
    AUTO_MEM char *text = NULL;
    int rc = json_get(obj, key, need, &c, err);

    if (rc != 1)
        return rc;
    text = json_print(c.node, false);
    if (text[0] != '"' && strtod(text, NULL) == 18446744073709551616.0) {
        *ret = UINT64_MAX;
        return 1;
    }
    rc = json_as_u64(&c, 0, UINT64_MAX, ret, err);
    return rc < 0 ? rc : 1;
}

/* An action and its errno, from two members of obj. */
static int get_action(const struct json_cur *obj, const char *key, const char *errno_key, uint32_t *ret,
                      struct err *err)
{
    const struct action *a = NULL;
    const char *name;
    uint64_t data = EPERM;
    int rc = json_get_str(obj, key, JSON_REQUIRED, 64, &name, err), given;

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (strcmp(actions[i].name, name) == 0)
            a = &actions[i];
    if (!a)
        return err_set(err, ERR_INVALID, "%s: unknown action \"%.40s\" (SCMP_ACT_...)", key, name);
    given = json_get_u64(obj, errno_key, JSON_OPTIONAL, 0, MAX_ERRNO, &data, err);
    if (given < 0)
        return given;
    if (given && !a->data)
        return err_set(err, ERR_INVALID, "%s: %s has no errno", errno_key, name);
    *ret = a->value | (a->data ? (uint32_t)data : 0);
    return 0;
}

static int read_flags(struct profile *p, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(&p->doc, "flags", JSON_OPTIONAL, 8, &arr, err);

    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        const char *name = "";
        bool known = false;
        if (json_as_str(&c, 64, &name, err) < 0)
            return -(int)err->kind;
        for (size_t f = 0; f < COUNT_OF(flags); f++)
            known |= strcmp(flags[f], name) == 0;
        if (!known)
            return json_fail(&c, err, ERR_INVALID, "unknown flag \"%s\" (SECCOMP_FILTER_FLAG_...)", name);
    }
    return rc < 0 ? rc : 0;
}

static int add_arch(struct profile *p, const struct json_cur *c, const char *name, struct err *err)
{
    const struct arch *a = NULL;
    uint32_t token;
    int rc;

    for (size_t i = 0; i < COUNT_OF(arches); i++)
        if (strcmp(arches[i].name, name) == 0)
            a = &arches[i];
    if (!a)
        return json_fail(c, err, ERR_INVALID, "unknown architecture \"%s\" (SCMP_ARCH_...)", name);
    token = seccomp_arch_resolve_name(a->short_name);
    if (token == 0)
        return 0;
    rc = seccomp_arch_add(p->ctx, token);
    if (rc == -EEXIST)
        return 0;
    if (rc < 0)
        return json_fail(c, err, ERR_UNSUPPORTED, "%s beside this machine's own: %s", name, strerror(-rc));
    p->arch[p->n_arches++] = token;
    return 0;
}

static int read_arches(struct profile *p, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(&p->doc, "architectures", JSON_OPTIONAL, MAX_ARCHES - 1, &arr, err);

    p->arch[p->n_arches++] = seccomp_arch_native();
    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        const char *name;
        if (json_as_str(&c, 64, &name, err) < 0 || add_arch(p, &c, name, err) < 0)
            return -(int)err->kind;
    }
    return rc < 0 ? rc : 0;
}

/* ---- rules ---- */

/* Numbers from here on do not continue the same list: x32 is x86-64 plus a bit, ARM has private calls. */
static uint32_t ordinary_end(uint32_t arch)
{
    return arch == SCMP_ARCH_X86_64 ? 0x40000000 : arch == SCMP_ARCH_ARM ? 0x000f0000 : UINT32_MAX;
}

struct rule {
    uint32_t action;
    struct scmp_arg_cmp args[6];
    unsigned n_args;
    /* an argument occurs twice: libseccomp only joins by "and", so each is its own rule */
    bool alternatives;
};

static int read_arg(const struct json_cur *c, struct rule *rule, struct err *err)
{
    uint64_t index, value, two = 0;
    int op;

    if (json_get_u64(c, "index", JSON_REQUIRED, 0, 5, &index, err) < 0 ||
        get_u64(c, "value", JSON_REQUIRED, &value, err) < 0 ||
        get_u64(c, "valueTwo", JSON_OPTIONAL, &two, err) < 0 ||
        json_get_enum(c, "op", JSON_REQUIRED, operators, COUNT_OF(operators), &op, err) < 0)
        return -(int)err->kind;
    for (unsigned i = 0; i < rule->n_args; i++)
        rule->alternatives |= rule->args[i].arg == index;
    /* masked: value is the mask, valueTwo the expected result */
    rule->args[rule->n_args++] =
        (struct scmp_arg_cmp){(unsigned)index, SCMP_CMP_NE + (enum scmp_compare)op, value, two};
    return 0;
}

static int add_rule(struct profile *p, const struct rule *rule, int nr, struct err *err)
{
    int rc = 0;

    if (!rule->alternatives)
        rc = seccomp_rule_add_array(p->ctx, rule->action, nr, rule->n_args, rule->args);
    for (unsigned i = 0; rc == 0 && rule->alternatives && i < rule->n_args; i++)
        rc = seccomp_rule_add_array(p->ctx, rule->action, nr, 1, &rule->args[i]);
    return rc == 0 ? 0 : err_errno(err, -rc, "libseccomp");
}

static int add_name(struct profile *p, const struct rule *rule, const struct json_cur *c, struct err *err)
{
    const char *name;
    int nr, rc = json_as_str(c, 64, &name, err);

    if (rc < 0)
        return rc;
    if (rule->action == SCMP_ACT_NOTIFY && strcmp(name, "write") == 0)
        return json_fail(c, err, ERR_INVALID,
                         "write cannot be SCMP_ACT_NOTIFY: the listener could not be sent");
    nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR) /* for another machine or a newer kernel: left to the default */
        return 0;
    for (unsigned i = 0; i < p->n_arches; i++) {
        int there = seccomp_syscall_resolve_name_arch(p->arch[i], name);
        if (there > p->newest[i] && (uint32_t)there < ordinary_end(p->arch[i]))
            p->newest[i] = there;
    }
    if (rule->action == p->default_action) /* libseccomp rejects rules without effect */
        return 0;
    return add_rule(p, rule, nr, err) < 0 ? err_wrap(err, "%s", name) : 0;
}

static int read_rule(struct profile *p, const struct json_cur *c, struct err *err)
{
    struct json_cur args, names;
    struct rule rule = {0};
    int rc = get_action(c, "action", "errnoRet", &rule.action, err);

    if (rc < 0 || (rc = json_get_array(c, "args", JSON_OPTIONAL, 6, &args, err)) < 0)
        return rc;
    for (unsigned i = 0; rc == 1 && i < json_len(&args); i++) {
        struct json_cur a = json_at(&args, i);
        if (read_arg(&a, &rule, err) < 0)
            return -(int)err->kind;
    }
    if (json_get_array(c, "names", JSON_REQUIRED, 4096, &names, err) < 0)
        return -(int)err->kind;
    if (json_len(&names) == 0)
        return json_fail(&names, err, ERR_INVALID, "at least one system call");
    for (unsigned i = 0; i < json_len(&names); i++) {
        struct json_cur n = json_at(&names, i);
        if (add_name(p, &rule, &n, err) < 0)
            return -(int)err->kind;
    }
    return 0;
}

static int read_rules(struct profile *p, struct err *err)
{
    struct json_cur arr;
    int rc = json_get_array(&p->doc, "syscalls", JSON_OPTIONAL, 4096, &arr, err);

    for (unsigned i = 0; rc == 1 && i < json_len(&arr); i++) {
        struct json_cur c = json_at(&arr, i);
        if (read_rule(p, &c, err) < 0)
            return err_wrap(err, "syscalls[%u]", i);
    }
    return rc < 0 ? rc : 0;
}

/* ---- writing ---- */

struct program {
    struct sock_filter code[BPF_MAXINSNS];
    unsigned n;
};

static void emit(struct program *out, uint16_t code, uint8_t yes, uint8_t no, uint32_t k)
{
    out->code[out->n++] = (struct sock_filter){code, yes, no, k};
}

/* A call newer than the profile gets ENOSYS, not the default EPERM: a libc newer than the profile then uses
 * the older call, as on an older kernel; with EPERM it gives up. */
static void emit_newer(struct program *out, uint32_t arch, uint32_t newest)
{
    emit(out, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
    emit(out, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, arch == SCMP_ARCH_X32 ? SCMP_ARCH_X86_64 : arch);
    emit(out, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
    emit(out, BPF_JMP | BPF_JGE | BPF_K, 2, 0, ordinary_end(arch));
    emit(out, BPF_JMP | BPF_JGT | BPF_K, 0, 1, newest);
    emit(out, BPF_RET | BPF_K, 0, 0, SCMP_ACT_ERRNO(ENOSYS));
}

static int build(struct profile *p, struct program *out, struct err *err)
{
    AUTO_FD int fd = memfd_create("filter", MFD_CLOEXEC);
    ssize_t got;
    int rc;

    if (fd < 0)
        return err_errno(err, errno, "memfd");
    for (unsigned i = 0; p->default_action == SCMP_ACT_ERRNO(EPERM) && i < p->n_arches; i++)
        if (p->newest[i] > 0)
            emit_newer(out, p->arch[i], (uint32_t)p->newest[i]);
    if ((rc = seccomp_export_bpf(p->ctx, fd)) < 0)
        return err_errno(err, -rc, "libseccomp: export");
    if (lseek(fd, 0, SEEK_SET) != 0)
        return err_errno(err, errno, "memfd");
    got = fs_read_full(fd, out->code + out->n, sizeof(out->code) - out->n * sizeof(*out->code), err);
    if (got < 0)
        return (int)got;
    out->n += (unsigned)got / sizeof(*out->code);
    if (out->n == BPF_MAXINSNS && read(fd, &(char){0}, 1) == 1)
        return err_set(err, ERR_NOSPACE, "more than the %d instructions that the kernel takes", BPF_MAXINSNS);
    return 0;
}

static int compile(struct profile *p, struct program *out, struct err *err)
{
    int rc = get_action(&p->doc, "defaultAction", "defaultErrnoRet", &p->default_action, err);

    if (rc < 0 || (rc = read_flags(p, err)) < 0)
        return rc;
    if (p->default_action == SCMP_ACT_NOTIFY)
        return err_set(err, ERR_INVALID, "defaultAction: SCMP_ACT_NOTIFY cannot be the default");
    p->ctx = seccomp_init(p->default_action);
    if (!p->ctx)
        return err_set(err, ERR_UNSUPPORTED, "defaultAction: libseccomp does not take it on this kernel");
    (void)seccomp_attr_set(p->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* binary search, since 2.5 */
    rc = read_arches(p, err);
    if (rc >= 0)
        rc = read_rules(p, err);
    if (rc >= 0)
        rc = build(p, out, err);
    seccomp_release(p->ctx);
    return rc;
}

int main(void)
{
    static uint8_t text[LIM_OCI_JSON_BYTES + 1];
    static struct program out;
    struct profile p = {.n_arches = 0};
    struct err err = ERR_INIT;
    ssize_t n;
    int rc;

    (void)alarm(20); /* it takes 30 ms: do not hang forever */
    n = fs_read_full(0, text, sizeof(text), &err);
    rc = n < 0 ? (int)n : json_parse(buf_of(text, (size_t)n), &json_limits_oci, &p.doc, &err);
    if (rc >= 0)
        rc = compile(&p, &out, &err);
    (void)json_free(p.doc.node);
    if (rc >= 0)
        rc = fs_write_full(1, buf_of(out.code, out.n * sizeof(*out.code)), &err);
    if (rc >= 0)
        return 0;
    (void)fprintf(stderr, "%s\n", err.msg);
    return err.kind == ERR_INVALID ? 2 : 1;
}
