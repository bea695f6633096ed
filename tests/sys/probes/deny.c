/* deny.c - deny NAME[=ERRNO]... -- PROGRAM...: run a program on a kernel that lacks these calls (ENOSYS, or
 * the number given), by a filter on this process and all that it starts. "no-seccomp": prctl(PR_SET_SECCOMP)
 * is unknown as well; "no-user": no namespace for users can be made. Needs root, so that the filter works
 * without no_new_privs, which the program would inherit. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 256

static const struct {
    const char *name;
    unsigned nr;
} calls[] = {{"clone3", 435},
             {"openat2", 437},
             {"open_tree", 428},
             {"move_mount", 429},
             {"fsopen", 430},
             {"mount_setattr", 442},
             {"pidfd_open", 434},
             {"pidfd_send_signal", 424},
             {"close_range", 436},
             {"faccessat2", 439},
             {"landlock_create_ruleset", 444},
             {"landlock_add_rule", 445},
             {"landlock_restrict_self", 446},
             {"seccomp", SYS_seccomp},
             {"memfd_create", SYS_memfd_create},
             {"execveat", SYS_execveat},
             {"statx", SYS_statx},
             {"copy_file_range", SYS_copy_file_range},
             {"renameat2", SYS_renameat2},
             {"getrandom", SYS_getrandom},
             {"keyctl", SYS_keyctl},
             {"bpf", SYS_bpf},
             {"pivot_root", SYS_pivot_root}};

static struct sock_filter code[MOST];
static unsigned short n;

static void put(struct sock_filter f)
{
    if (n < MOST)
        code[n++] = f;
}

static void deny_number(unsigned nr, unsigned error)
{
    put((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
    put((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
}

/* One argument, when it has bits (or is the value), and back to the number. */
static void deny_argument(unsigned nr, unsigned arg, unsigned short how, unsigned value, unsigned error)
{
    put((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 4));
    put((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                     offsetof(struct seccomp_data, args) + 8 * arg));
    put((struct sock_filter)BPF_JUMP(BPF_JMP | how | BPF_K, value, 0, 1));
    put((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
    put((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
}

static int deny(const char *word)
{
    size_t len = strcspn(word, "=");
    unsigned error = word[len] ? (unsigned)atoi(word + len + 1) : ENOSYS;

    if (strcmp(word, "no-user") == 0) {
        deny_number(435, ENOSYS); /* clone3's flags cannot be seen */
        deny_argument(SYS_clone, 0, BPF_JSET, CLONE_NEWUSER, EINVAL);
        deny_argument(SYS_unshare, 0, BPF_JSET, CLONE_NEWUSER, EINVAL);
        return 0;
    }
    if (strcmp(word, "no-seccomp") == 0) {
        deny_number(SYS_seccomp, ENOSYS);
        deny_argument(SYS_prctl, 0, BPF_JEQ, PR_SET_SECCOMP, EINVAL);
        return 0;
    }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strlen(calls[i].name) == len && strncmp(calls[i].name, word, len) == 0) {
            deny_number(calls[i].nr, error);
            return 0;
        }
    return -1;
}

int main(int argc, char **argv)
{
    struct sock_fprog prog = {0, code};
    int i = 1;

    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t k = 0; k < sizeof calls / sizeof *calls; k++)
            printf("%s\n", calls[k].name);
        return 0;
    }
    put((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (deny(argv[i]) != 0) {
            (void)fprintf(stderr, "deny: no call %s\n", argv[i]);
            return 2;
        }
    put((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    prog.len = n;
    if (i + 1 >= argc || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0) {
        perror("deny");
        return 2;
    }
    (void)execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
