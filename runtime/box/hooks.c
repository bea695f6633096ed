/* hooks.c - see hooks.h. */
#include "runtime/box/hooks.h"

#include "runtime/box/tool.h"

struct cJSON *hooks_state_json(const struct hooks_state *s)
{
    struct cJSON *o = json_obj();
    struct json_cur a;

    json_put_str(o, "ociVersion", SPEC_OCI_VERSION);
    json_put_str(o, "id", s->id);
    json_put_str(o, "status", s->status);
    if (s->pid > 0)
        json_put_u64(o, "pid", (uint64_t)s->pid);
    json_put_str(o, "bundle", s->bundle ? s->bundle : "");
    if (s->annotations && json_parse(buf_str(s->annotations), &json_limits_config, &a, NULL) == 0) {
        json_put_copy(o, "annotations", &a);
        (void)json_free(a.node);
    }
    return o;
}

static int run_one(const struct spec_hook *h, const char *kind, const char *state, struct err *err)
{
    static const char *const none[] = {NULL};
    const char *const alone[] = {h->path, NULL};
    struct tool t = {.path = h->path,
                     .args = h->args && h->args[0] ? h->args : alone,
                     .env = h->env ? h->env : none,
                     .input = buf_str(state),
                     .inherit = true,
                     .timeout_s = h->timeout_s};
    AUTO_TOOL_RESULT did = {0};
    char how[40];
    int rc = tool_run(&t, &did, err);

    if (rc < 0)
        return err_wrap(err, "hooks.%s", kind);
    if (tool_is_well(&did))
        return 0;
    tool_describe(&did, how, sizeof(how));
    return err_set(err, ERR_IO, "hooks.%s: %s %s", kind, h->path, how);
}

static int run_all(const struct spec_hooks *h, const char *kind, const char *state, bool go_on,
                   struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < h->n && (rc == 0 || go_on); i++) {
        int one = run_one(&h->list[i], kind, state, rc == 0 ? err : NULL);
        rc = rc == 0 ? one : rc;
    }
    return rc;
}

int hooks_run(const struct spec_hooks *h, const char *kind, const struct hooks_state *s, bool go_on,
              struct err *err)
{
    AUTO_MEM char *text = NULL;
    struct cJSON *o;

    if (h->n == 0)
        return 0;
    o = hooks_state_json(s);
    text = json_print(o, false);
    (void)json_free(o);
    return run_all(h, kind, text, go_on, err);
}
