/* One desired state a line: "AGENT<tab>FLEET<newline>", each "ok" or why it is refused, by the agent's parser
 * and by fleetctl's schema. */
#include <stdio.h>

#include "agent/manifest/manifest.h"
#include "fleet/doc/schema.h"
#include "platform/crypto.h"

static int by_agent(struct buf text, struct err *err)
{
    AUTO_FREE(arena) struct arena *arena = arena_new(512 * 1024);
    struct desired d;

    return manifest_parse(text, arena, &d, err);
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    struct err err = ERR_INIT;

    if (crypto_init(&err) < 0)
        return 1;
    while ((len = getline(&line, &size, stdin)) > 0) {
        struct buf text = buf_of(line, (size_t)len - (line[len - 1] == '\n'));
        struct err agent = ERR_INIT, fleet = ERR_INIT;
        int a = by_agent(text, &agent), f = schema_check(text, &fleet);
        printf("%s\t%s\n", a < 0 ? agent.msg : "ok", f < 0 ? fleet.msg : "ok");
    }
    free(line);
    return 0;
}
