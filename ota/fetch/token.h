/* token.h - log-in at registries by tokens (distribution-spec's "Bearer" challenge): what to ask for, and
 * who may get the password. For agentd-fetch and fleetctl alike. Pure. */
#ifndef OTA_TOKEN_H
#define OTA_TOKEN_H
#include "platform/err.h"
#include "platform/mem.h"

#define TOKEN_BYTES     (32 * 1024)
#define TOKEN_URL_BYTES 2048

/* challenge: of WWW-Authenticate, behind "Bearer ". url: what was asked of the registry; change: by more than
 * GET and HEAD. Without a scope in the challenge it is that of the repository in url: pull, or pull and push.
 * *ret_password: may the registry's password go there? To the registry's own host, or, when the registry
 * itself was asked by https, by https. Errors: DENIED (no realm, or one that is not trusted: of an https
 * registry by http). */
NODISCARD int token_url(const char *challenge, const char *url, bool change, char dst[TOKEN_URL_BYTES],
                        bool *ret_password, struct err *err);
/* The token in a token server's answer, malloc'd, owner: caller. Errors: INVALID. */
NODISCARD int token_parse(struct buf answer, char **ret, struct err *err);
/* Are both of the same scheme, host and port? */
bool token_same_origin(const char *a, const char *b);
#endif
