/* token.h - token authentication with registries (distribution-spec's "Bearer" challenge): what to request,
 * and who may get the password. Used by agentd-fetch and fleetctl. Pure. */
#ifndef OTA_TOKEN_H
#define OTA_TOKEN_H
#include "platform/err.h"
#include "platform/mem.h"

#define TOKEN_BYTES     (32 * 1024)
#define TOKEN_URL_BYTES 2048

/* challenge: from WWW-Authenticate, after "Bearer ". url: requested from the registry; change: other than GET
 * and HEAD. Without a scope in the challenge it is the repository in url: pull, or pull and push.
 * *ret_password: may the password be sent there? To the registry's own host, or, if the registry itself was
 * accessed by https, by https. Errors: DENIED (no realm, or one that is not trusted: of an https registry by
 * http). */
NODISCARD int token_url(const char *challenge, const char *url, bool change, char dst[TOKEN_URL_BYTES],
                        bool *ret_password, struct err *err);
/* The token from a token server's response, malloc'd, owner: caller. Errors: INVALID. */
NODISCARD int token_parse(struct buf answer, char **ret, struct err *err);
/* Do both have the same scheme, host and port? */
bool token_same_origin(const char *a, const char *b);
#endif
