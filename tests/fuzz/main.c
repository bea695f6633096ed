/* main.c - drives a fuzz target without libFuzzer.
 *   fuzz_NAME COUNT FILE...    each file and each seed as it is, then COUNT mutations of them, the same every
 *                              time
 *   fuzz_NAME --seeds DIR      writes the seeds into DIR */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define INPUTS 4096U
#define MOST   ((size_t)1 << 20)

static struct input {
    uint8_t *p;
    size_t len;
} inputs[INPUTS];
static unsigned n_inputs;
static uint64_t state = 88172645463325252ULL;

static uint32_t any(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

static void add(const uint8_t *p, size_t len)
{
    if (n_inputs == INPUTS || len > MOST)
        return;
    inputs[n_inputs].p = malloc(len + 1);
    if (!inputs[n_inputs].p)
        abort();
    memcpy(inputs[n_inputs].p, p, len);
    inputs[n_inputs++].len = len;
}

static void add_file(const char *path)
{
    static uint8_t b[MOST];
    FILE *f = fopen(path, "rb");

    if (!f) {
        perror(path);
        exit(1);
    }
    add(b, fread(b, 1, sizeof(b), f));
    fclose(f);
}

/* One small damage: a bit, a byte, a number, a piece cut out, doubled or taken from another input. */
static size_t damage(uint8_t *p, size_t len)
{
    static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0x40, 0x20, 0xfe};
    size_t at = len > 0 ? any((uint32_t)len) : 0, n = 1 + any(16);
    const struct input *other = &inputs[any(n_inputs)];

    if (len == 0)
        return 0;
    n = n < len - at ? n : len - at;
    switch (any(7)) {
    case 0:
        p[at] ^= (uint8_t)(1U << any(8));
        return len;
    case 1:
        p[at] = (uint8_t)any(256);
        return len;
    case 2:
        p[at] = telling[any(sizeof(telling))];
        return len;
    case 3:
        memmove(p + at, p + at + n, len - at - n);
        return len - n;
    case 4:
        memmove(p + at + n, p + at, len - at);
        return len + n;
    case 5:
        for (size_t i = 0; i < n && other->len > 0; i++)
            p[at + i] = other->p[any((uint32_t)other->len)];
        return len;
    default:
        return at;
    }
}

static void mutate(unsigned long count)
{
    uint8_t *b = malloc(MOST + 4096);

    if (!b)
        abort();
    for (unsigned long i = 0; i < count && n_inputs > 0; i++) {
        const struct input *in = &inputs[any(n_inputs)];
        size_t len = in->len;
        if (len > 0)
            memcpy(b, in->p, len);
        for (unsigned k = 1 + any(4); k > 0; k--)
            len = damage(b, len);
        /* a block of its own length, so that the sanitizer sees each byte beyond it */
        uint8_t *exact = malloc(len + 1);
        if (!exact)
            abort();
        exact[0] = 0;
        exact = realloc(exact, len > 0 ? len : 1);
        if (!exact)
            abort();
        memcpy(exact, b, len);
        (void)LLVMFuzzerTestOneInput(exact, len);
        free(exact);
    }
    free(b);
}

static const char *seed_dir;

static void write_seed(const uint8_t *p, size_t len)
{
    static unsigned n;
    char path[4096];

    snprintf(path, sizeof(path), "%s/seed-%02u", seed_dir, n++);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, len, f) != len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        seed_dir = argv[2];
        if (fuzz_seeds)
            fuzz_seeds(write_seed);
        return 0;
    }
    if (argc < 2)
        return 2;
    for (int i = 2; i < argc; i++)
        add_file(argv[i]);
    if (fuzz_seeds)
        fuzz_seeds(add);
    for (unsigned i = 0; i < n_inputs; i++)
        (void)LLVMFuzzerTestOneInput(inputs[i].p, inputs[i].len);
    mutate(strtoul(argv[1], NULL, 10));
    printf("%u inputs, %s mutations\n", n_inputs, argv[1]);
    for (unsigned i = 0; i < n_inputs; i++)
        free(inputs[i].p);
    return n_inputs > 0 ? 0 : 1;
}
