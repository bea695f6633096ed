/* one_main.c - an executable of the tiny build is the program under whose name it was started
 * (program.cmake): the name passed to the kernel; for a copy that cannot be written to, which has none
 * (runtime/box/exe_guard), the one given by its starter. */
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/mem.h"

#define PROGRAM(name, symbol) int symbol(int argc, char **argv);
#include "one_programs.inc"
#undef PROGRAM

static const struct program {
    char name[16];
    int (*main)(int argc, char **argv);
} programs[] = {
#define PROGRAM(name, symbol) {name, symbol},
#include "one_programs.inc"
#undef PROGRAM
};

static const struct program *one_find(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path;

    for (unsigned i = 0; name && i < COUNT_OF(programs); i++)
        if (strcmp(programs[i].name, name) == 0)
            return &programs[i];
    return NULL;
}

/* Pointer tables are constant after relocation. A dynamic linker makes them read-only, musl's start-up code
 * for a static program does not. */
static int one_seal(struct dl_phdr_info *object, size_t size, void *unused)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)unused;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &object->dlpi_phdr[i];
        uintptr_t from = (object->dlpi_addr + h->p_vaddr) & ~(page - 1);
        uintptr_t to = (object->dlpi_addr + h->p_vaddr + h->p_memsz) & ~(page - 1);
        if (h->p_type == PT_GNU_RELRO && from < to)
            (void)mprotect((void *)from, to - from, PROT_READ);
    }
    return 1;
}

int main(int argc, char **argv)
{
    const char *path = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    const struct program *p = one_find(path);

    (void)dl_iterate_phdr(one_seal, NULL);
    if (!p)
        p = one_find(argc > 0 && strcmp(argv[0], "agentd: core") == 0 ? "agentd-core"
                     : argc > 0                                       ? argv[0]
                                                                      : NULL);
    if (!p && path &&
        strncmp(path, "/dev/fd/", 8) == 0) /* limpet's copy: engines start it under their own names */
        p = one_find("limpet");
    if (p)
        return p->main(argc, argv);
    fprintf(stderr, "start it by one of these names:");
    for (unsigned i = 0; i < COUNT_OF(programs); i++)
        fprintf(stderr, " %s", programs[i].name);
    fprintf(stderr, "\n");
    return 2;
}
