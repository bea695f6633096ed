/* Memory that nobody has used, and a process that rests. */
#include <string.h>
#include <sys/mman.h>

#include "platform/mem.h"
#include "tests/unit/check.h"

TEST(clearing_writes_only_what_is_not_zero)
{
    enum { PAGE = 65536, PAGES = 4 }; /* as large as any kernel's */
    uint8_t *p = mmap(NULL, PAGE * PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    p[PAGE - 1] = p[PAGE * PAGES - 3] = p[0] = 7;
    CHECK(mprotect(p + PAGE, (size_t)PAGE * 2, PROT_READ) == 0); /* a write there ends the test */
    mem_clear(p + 1, (size_t)PAGE * PAGES - 2);
    CHECK(p[0] == 7);
    CHECK(p[PAGE - 1] == 0 && p[PAGE * PAGES - 3] == 0);
    p[PAGE * PAGES - 1] = 7;
    mem_clear(p + PAGE * PAGES - 1, 0);
    CHECK(p[PAGE * PAGES - 1] == 7);
    (void)munmap(p, PAGE * PAGES);
}

static int deep(int n) /* uses stack and text of its own */
{
    volatile char on_stack[4096];

    memset((void *)(uintptr_t)on_stack, n, sizeof(on_stack));
    return n == 0 ? on_stack[17] : deep(n - 1) + on_stack[n];
}

TEST(a_process_that_rests_goes_on_as_it_was)
{
    int before = deep(40);

    CHECK(mem_rest(100000, 100000 + MEM_REST_MS - 1) == -1); /* something is due: nothing is done */
    CHECK(mem_rest(100000, 0) == -1);
    CHECK(deep(40) == before);
    CHECK(mem_rest(100001, 0) == MEM_REST_MS - 1); /* soon after: to be called again then */
    CHECK(mem_rest(100001, 100002) == -1);
    CHECK(mem_rest(100000 + MEM_REST_MS, 200000) == -1);
    CHECK(deep(40) == before);
}
TEST_MAIN
