#include "platform/mem.h"

#include <errno.h>
#include <link.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

/* Below the current frame; the kernel keeps other mappings a megabyte away from the stack. */
#define STACK_KEPT  4096
#define STACK_BYTES (512 * 1024)

void *mem_need(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);

    if (!p)
        abort();
    return p;
}

void *mem_need_zero(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);

    if (!p)
        abort();
    return p;
}

char *mem_need_str(const char *s)
{
    size_t len = strlen(s) + 1;

    return memcpy(mem_need(len), s, len);
}

void mem_clear(void *p, size_t bytes)
{
    static const uint8_t zeroes[512]; /* its size divides any page */
    uint8_t *at = p;

    for (size_t n; bytes > 0; at += n, bytes -= n) {
        n = sizeof(zeroes) - (uintptr_t)at % sizeof(zeroes);
        n = n < bytes ? n : bytes;
        if (memcmp(at, zeroes, n) != 0)
            memset(at, 0, n);
    }
}

#ifdef __GLIBC__
void mem_stay_small(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 32 * 1024); /* fixed: else it grows with each large block freed */
    (void)mallopt(M_TRIM_THRESHOLD, 16 * 1024);
    (void)mallopt(M_TOP_PAD, 0);
}

void mem_give_back(void)
{
    (void)malloc_trim(0);
}
#else /* musl does both itself */
void mem_stay_small(void)
{
}

void mem_give_back(void)
{
}
#endif

static void drop(uintptr_t from, uintptr_t to)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    from = (from + page - 1) & ~(page - 1);
    to &= ~(page - 1);
    if (from < to)
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

/* Text and constants of the first object, the program; nothing writable. */
static int drop_text(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &object->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && !(h->p_flags & PF_W))
            drop(object->dlpi_addr + h->p_vaddr, object->dlpi_addr + h->p_vaddr + h->p_memsz);
    }
    return 1;
}

int mem_rest(uint64_t now_ms, uint64_t due_ms)
{
    static uint64_t rested_ms;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (due_ms && due_ms < now_ms + MEM_REST_MS)
        return -1;
    if (now_ms - rested_ms < MEM_REST_MS)
        return (int)(rested_ms + MEM_REST_MS - now_ms);
    rested_ms = now_ms;
    drop(here - STACK_BYTES, here - STACK_KEPT);
    (void)dl_iterate_phdr(drop_text, NULL);
    return -1;
}

bool str_fmt(char *dst, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(dst, size, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < size;
}

bool str_copy(char *dst, size_t size, const char *src)
{
    size_t len = strlen(src);

    if (len >= size)
        return false;
    memcpy(dst, src, len + 1);
    return true;
}

bool str_is_name(const char *s)
{
    size_t n = 0;

    for (; s[n]; n++) {
        char c = s[n];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alnum && (n == 0 || (c != '.' && c != '_' && c != '-')))
            return false;
    }
    return n >= 1 && n <= 63;
}

bool str_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
    if (!*s || strlen(s) > 20)
        return false;
    for (const char *p = s; *p; p++)
        if (*p < '0' || *p > '9')
            return false;
    errno = 0;
    unsigned long long v = strtoull(s, NULL, 10);
    if (errno || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

char *str_clean(char *s)
{
    for (char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = '?';
    return s;
}

unsigned str_distance(const char *a, const char *b)
{
    unsigned d[17][17], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

    if (la > 16 || lb > 16)
        return 99;
    for (unsigned i = 0; i <= la; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= lb; j++)
        d[0][j] = j;
    for (unsigned i = 1; i <= la; i++)
        for (unsigned j = 1; j <= lb; j++) {
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[la][lb];
}
