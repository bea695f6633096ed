/* kernel_words.h - the kernel's words that a manifest may use (manifest_fields.h), and their numbers.
 * Pure. */
#ifndef AGENT_KERNEL_WORDS_H
#define AGENT_KERNEL_WORDS_H
#include <stdbool.h>

/* "TERM" or "SIGTERM" -> its number; 0: not known. */
int kernel_words_signal(const char *name);
/* "NET_BIND_SERVICE" -> its number; -1: not known. *ret_refused: it would open the host, whatever the
 * manifest says. */
int kernel_words_capability(const char *name, bool *ret_refused);
#endif
