/* plan_case.c - one plan case from standard input: what is asked and what is true as lines of text, the plan
 * on standard output.
 *   candidate [verdict=V] [probation=MS] [boots=N]    then its apps
 *   good                                              then its apps
 *   asked                                             then its apps: only the plan of this set is asked for
 *                                                     (agentctl plan FILE)
 *   app NAME HASH IMAGE [release=R] [down=BYTES] [restart=P] [health] [port] [net=APP] [tries=N] [lacks]
 *   [lacks-stop]
 *   seen NAME HASH BOX [health=H@MS] [started=MS] [row=N] [deaths=N] [code=N] [died=MS] [kill_at=MS]
 *   [cannot_start=N] [by_us]
 *        [device_lost]
 *   job | garbage | scrub | window MS | turn MS, upkeep MS (not before) | fault KIND ROW AT | now MS
 *   os PHASE [want] [held] [slot] [changed] [rebooted] [since=MS] [offline] [over] [back] [no-updater]
 *   [byhand] [refused]
 *        [again=MS]
 *   agent PHASE [want] [at=IMAGE] [running=next|want] [offline] [lost] [over] [nokeeper] [refused] [again=MS]
 *   [window=MS]
 * HASH is one letter, R too (HASH's when it is not given). IMAGE: no-release no-manifest no-layers no-patch
 * no-tree no-chunks not-installed installed. BOX: none running stopping. */
#include <stdio.h>

#include "agent/decide/plan.h"
#include "agent/decide/preview.h"

static const char *const images[] = {"no-release", "no-manifest", "no-layers",     "no-patch",
                                     "no-tree",    "no-chunks",   "not-installed", "installed"};
static const char *const boxes[] = {"none", "running", "stopping"};
static const char *const policies[] = {"no", "on-failure", "always"};

struct case_set {
    struct want apps[LIM_APPS];
    struct desired d;
};
static struct case_set candidate, good, asked;
static struct observed seen;

static int word(const char *const *list, unsigned n, const char *s)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(list[i], s) == 0)
            return (int)i;
    fprintf(stderr, "plan_case: \"%s\"?\n", s);
    exit(2);
}

/* The value of "key=..." on this line, or otherwise. */
static const char *option(const char *line, const char *key, const char *otherwise)
{
    static char values[8][64];
    static unsigned at;
    char want[32];

    (void)str_fmt(want, sizeof(want), " %s=", key);
    const char *p = strstr(line, want);
    if (!p)
        return otherwise;
    p += strlen(want);
    char *v = values[at++ % 8];
    (void)str_fmt(v, sizeof(values[0]), "%.*s", (int)strcspn(p, " @\n"), p);
    return v;
}

static uint64_t number(const char *line, const char *key, uint64_t otherwise)
{
    const char *v = option(line, key, NULL);

    return v ? strtoull(v, NULL, 10) : otherwise;
}

static void read_app(const char *line, struct case_set *set, struct set_facts *facts)
{
    char name[64], hash[8], image[32];

    if (!set || set->d.n == LIM_APPS || sscanf(line, "app %63s %7s %31s", name, hash, image) != 3)
        exit(2);
    struct app_facts *f = &facts->apps[set->d.n];
    struct want *w = &set->apps[set->d.n++];
    w->name = mem_need_str(name);
    w->hash.b[0] = (uint8_t)hash[0];
    w->release.b[0] = (uint8_t)option(line, "release", hash)[0];
    w->restart =
        (struct want_restart){(enum restart_policy)word(policies, 3, option(line, "restart", "always")), 1000,
                              60000, 60000, number(line, "tries", 0)};
    w->n_ports = strstr(line, " port") ? 1 : 0;
    w->net_name = option(line, "net", NULL) ? mem_need_str(option(line, "net", NULL)) : NULL;
    w->net = w->net_name ? NET_APP : NET_NONE;
    w->health =
        (struct want_health){.kind = strstr(line, " health") ? HEALTH_HTTP : HEALTH_NONE, .restart = true};
    if (strstr(line, " lacks")) /* a device that it requires */
        f->lack = (struct lack){"/dev/x", strstr(line, " lacks-stop") != NULL};
    if (option(line, "down", NULL))
        f->cost = (struct cost){.route = "layers", .down_bytes = number(line, "down", 0)};
    f->image = (enum image_state)word(images, IMAGE_STATE_COUNT_, image);
}

static void read_seen(const char *line)
{
    static const char *const states[] = {"none", "starting", "ok", "bad"};
    struct seen *s = &seen.seen[seen.n++];
    char hash[8], box[16];

    if (sscanf(line, "seen %63s %7s %15s", s->name, hash, box) != 3)
        exit(2);
    s->hash.b[0] = (uint8_t)hash[0];
    s->box = (enum box_state)word(boxes, 3, box);
    s->health.state = (enum health_state)word(states, 4, option(line, "health", "none"));
    const char *at = strstr(line, "@");
    s->health.since_ms = at ? strtoull(at + 1, NULL, 10) : 0;
    s->started_ms = number(line, "started", 0);
    s->device_lost = strstr(line, " device_lost") != NULL;
    s->kill_at_ms = number(line, "kill_at", 0);
    s->start_failures = (unsigned)number(line, "cannot_start", 0);
    s->deaths.in_row = (unsigned)number(line, "row", 0);
    s->deaths.total = (unsigned)number(line, "deaths", s->deaths.in_row);
    s->deaths.last = (struct ending){.code = (int)number(line, "code", 0),
                                     .known = true,
                                     .at_ms = number(line, "died", 0),
                                     .by_us = strstr(line, " by_us") != NULL};
}

static void begin_candidate(const char *line)
{
    static const char *const verdicts[] = {"none",        "converged", "rejected",
                                           "rolled-back", "failed",    "superseded"};

    seen.candidate.d = &candidate.d;
    seen.verdict = (enum verdict)word(verdicts, 6, option(line, "verdict", "none"));
    candidate.d.probation_ms = number(line, "probation", 10000);
    seen.trial_boots = (unsigned)number(line, "boots", 0);
}

static bool has(const char *line, const char *what)
{
    const char *at = strstr(line, what);

    return at && at[-1] == ' ' && (!at[strlen(what)] || at[strlen(what)] == ' ');
}

static void read_os(const char *line)
{
    static const char *const phases[] = {"none", "installing", "installed", "good", "failed"};
    static struct os_memory memory = {.bundle.b = {'b'}};
    static struct want_os want = {.bundle.b = {'b'}};
    char phase[16] = "";

    (void)sscanf(line, "os %15s", phase);
    memory.phase = (enum os_phase)word(phases, COUNT_OF(phases), phase);
    seen.os = (struct os_facts){.want = has(line, "want") ? &want : NULL,
                                .memory = &memory,
                                .has_updater = !has(line, "no-updater"),
                                .held = has(line, "held"),
                                .rebooted = has(line, "rebooted"),
                                .slot_known = has(line, "slot"),
                                .slot_changed = has(line, "changed"),
                                .healthy_since_ms = number(line, "since", 0),
                                .probation_ms = 10000,
                                .online = !has(line, "offline"),
                                .trial_over = has(line, "over"),
                                .can_reboot = !has(line, "byhand"),
                                .revert_reboot = has(line, "back"),
                                .refused = has(line, "refused"),
                                .again_ms = number(line, "again", 0)};
}

static void read_agent(const char *line)
{
    static const char *const phases[] = {"none", "trial", "good", "rolled-back"};
    static struct self_memory memory = {.next = {.release.b = {'n'}, .image.b = {'n'}}};
    static struct self_image running;
    static struct want want = {.name = "agent", .release.b = {'w'}};
    const char *runs = option(line, "running", "");
    char phase[16] = "";

    (void)sscanf(line, "agent %15s", phase);
    memory.phase = (enum self_phase)word(phases, COUNT_OF(phases), phase);
    running.image.b[0] = running.release.b[0] = (uint8_t)runs[0];
    seen.self = (struct self_facts){
        .want = has(line, "want") ? &want : NULL,
        .memory = &memory,
        .running = &running,
        .image = (enum image_state)word(images, IMAGE_STATE_COUNT_, option(line, "at", "no-release")),
        .has_keeper = !has(line, "nokeeper"),
        .lost = has(line, "lost"),
        .trial_over = has(line, "over"),
        .online = !has(line, "offline"),
        .refused = has(line, "refused"),
        .again_ms = number(line, "again", 0),
        .window_ms = number(line, "window", 0)};
}

/* A line that is about the device and not about an app; false: it is none. */
static bool read_device(const char *line, uint64_t *now)
{
    char kind[32];

    if (sscanf(line, "fault %31s %u %lu", kind, &seen.fault.in_row, (unsigned long *)&seen.fault.at_ms) == 3)
        seen.fault.kind = err_kind_parse(kind);
    else if (strcmp(line, "job") == 0)
        seen.job_running = true;
    else if (sscanf(line, "window %lu", (unsigned long *)&seen.window_ms) == 1 ||
             sscanf(line, "turn %lu", (unsigned long *)&seen.turn_ms) == 1 ||
             sscanf(line, "upkeep %lu", (unsigned long *)&seen.upkeep_ms) == 1)
        return true;
    else if (strcmp(line, "garbage") == 0)
        seen.has_garbage = true;
    else if (strcmp(line, "scrub") == 0)
        seen.scrub_due = true;
    else if (strncmp(line, "os ", 3) == 0)
        read_os(line);
    else if (strncmp(line, "agent ", 6) == 0)
        read_agent(line);
    else if (strncmp(line, "now ", 4) == 0)
        *now = strtoull(line + 4, NULL, 10);
    else
        return !line[0];
    return true;
}

static void print_plan(uint64_t now)
{
    struct plan p, again;

    plan_make(&seen, now, &p);
    plan_make(&seen, now, &again);
    if (memcmp(&p, &again, sizeof(p)) != 0)
        printf("not the same plan twice\n");
    char AUTO_MEM *text = plan_text(&p);
    fputs(text, stdout);
    if (p.wake_ms)
        printf("look again at %llu\n", (unsigned long long)p.wake_ms);
    printf("%s%s\n",
           p.run == NULL      ? "runs nothing new"
           : p.run == &good.d ? "runs the last good set"
                              : "runs the candidate",
           p.quiet ? ", quiet" : "");
}

int main(void)
{
    char line[512];
    struct case_set *set = NULL;
    struct set_facts *facts = NULL, none = {.d = NULL};
    uint64_t now = 100000;

    candidate.d.apps = candidate.apps;
    good.d.apps = good.apps;
    asked.d.apps = asked.apps;
    while (fgets(line, sizeof(line), stdin) && strncmp(line, "---", 3) != 0) {
        line[strcspn(line, "\n#")] = '\0';
        if (strncmp(line, "candidate", 9) == 0) {
            begin_candidate(line);
            set = &candidate;
            facts = &seen.candidate;
        } else if (strncmp(line, "good", 4) == 0) {
            seen.good.d = &good.d;
            set = &good;
            facts = &seen.good;
        } else if (strcmp(line, "asked") == 0) {
            set = &asked;
            facts = &none; /* only what the present sets know counts */
        } else if (strncmp(line, "app ", 4) == 0) {
            read_app(line, set, facts);
        } else if (strncmp(line, "seen ", 5) == 0) {
            read_seen(line);
        } else if (!read_device(line, &now)) {
            fprintf(stderr, "plan_case: \"%s\"?\n", line);
            return 2;
        }
    }
    struct observed present = seen;
    if (set == &asked)
        preview_facts(&present, &asked.d, present.window_ms, &seen);
    print_plan(now);
    return 0;
}
