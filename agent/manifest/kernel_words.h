/* kernel_words.h - the kernel names that a manifest may use (manifest_fields.h), and their numbers. Pure. */
#ifndef AGENT_KERNEL_WORDS_H
#define AGENT_KERNEL_WORDS_H
#include <stdbool.h>

/* "TERM" or "SIGTERM" -> its number; 0: unknown. */
int kernel_words_signal(const char *name);
/* "NET_BIND_SERVICE" -> its number; -1: unknown. *ret_refused: it would give access to the host, and is
 * refused in any manifest. */
int kernel_words_capability(const char *name, bool *ret_refused);
#endif
