/* mem.h - ownership helpers: borrowed bytes, cleanup attributes, steal, container_of.
 * A `const` pointer or a struct buf is borrowed for the call. Whoever opens an fd closes it. */
#ifndef PLATFORM_MEM_H
#define PLATFORM_MEM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Borrowed bytes; never owned, not NUL-terminated. */
struct buf {
    const uint8_t *p;
    size_t len;
};

#define BUF_LIT(s) ((struct buf){(const uint8_t *)(s), sizeof(s) - 1})
static inline struct buf buf_of(const void *p, size_t len)
{
    return (struct buf){p, len};
}
static inline struct buf buf_str(const char *s)
{
    return (struct buf){(const uint8_t *)s, strlen(s)};
}
static inline bool buf_eq(struct buf a, struct buf b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline void mem_auto_close_(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}
static inline void mem_auto_free_(void *p)
{
    free(*(void **)p);
}
/* int AUTO_FD fd = -1;  char AUTO_MEM *p = NULL;  released when the scope ends. */
#define AUTO_FD  __attribute__((cleanup(mem_auto_close_)))
#define AUTO_MEM __attribute__((cleanup(mem_auto_free_)))
/* x_free frees what x_new or a parser returned and returns NULL; x_done frees the contents of a struct owned
 * by the caller. Both accept NULL or zeros, and partly constructed ones. For a type with `struct x
 * *x_free(struct x *)`: DEFINE_AUTO(x) once, then AUTO_FREE(x) struct x *v = NULL; */
#define DEFINE_AUTO(name)                                 \
    static inline void name##_auto_free_(struct name **p) \
    {                                                     \
        (void)name##_free(*p);                            \
    }
#define AUTO_FREE(name) __attribute__((cleanup(name##_auto_free_)))

static inline int steal_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}
static inline void *mem_steal_(void *pp)
{
    void *v = *(void **)pp;
    *(void **)pp = NULL;
    return v;
}
#define steal_ptr(pp) ((__typeof__(*(pp)))mem_steal_(pp))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define COUNT_OF(a)                     (sizeof(a) / sizeof((a)[0]))

/* malloc that ends the process when out of memory: any of our processes may die at any moment (law L2). */
/* mem_need: uninitialised; mem_need_zero: zeroed; mem_need_str: a copy. Owner: caller (free). Never NULL. */
void *mem_need(size_t bytes) __attribute__((returns_nonnull));
void *mem_need_zero(size_t bytes) __attribute__((returns_nonnull));
char *mem_need_str(const char *s) __attribute__((returns_nonnull));
/* Like memset to 0, but bytes that are 0 are not written: untouched pages of a large struct stay
 * unallocated. */
void mem_clear(void *p, size_t bytes);
/* Once at start, for a long-running process: large blocks get their own pages, the heap keeps no reserve. */
void mem_stay_small(void);
/* After a burst: return free heap pages to the kernel. Costs microseconds on a heap of this size. */
void mem_give_back(void);
/* Call before a wait: if nothing is due (due_ms, 0: never) within MEM_REST_MS, unused stack is returned to
 * the kernel, and the program's text and constants are removed from this process's page tables: the kernel
 * may drop them from memory, and what is used again is mapped again, from the page cache or from flash. At
 * most every MEM_REST_MS: returns the milliseconds after which to call it again if nothing has happened until
 * then, or -1. Times are CLOCK_BOOTTIME. */
#define MEM_REST_MS 5000
int mem_rest(uint64_t now_ms, uint64_t due_ms);

/* snprintf that reports whether it fitted: true when all of it is in dst. */
bool str_fmt(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Copy all or nothing: true if src fitted into dst. */
bool str_copy(char *dst, size_t size, const char *src);
/* Replace every byte that is not printable ASCII by "?": for untrusted text in reports and files. Returns
 * s. */
char *str_clean(char *s);
/* [a-z0-9][a-z0-9._-]{0,62}: names of devices, fleets, groups, apps, releases. */
bool str_is_name(const char *s);
/* Edit distance including swaps of adjacent letters, for words of at most 16 letters; 99 for longer ones. */
unsigned str_distance(const char *a, const char *b);
/* Decimal digits only, no sign, no whitespace, within [min,max]. True if *ret is set. */
bool str_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
#endif
