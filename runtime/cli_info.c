/* cli_info.c - state, list, kill, delete, spec, features. See cli.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "platform/fs.h"
#include "runtime/cli.h"

static struct cJSON *describe(const struct cli *c, int dir, const struct cli_state *s)
{
    const char *status = cli_status(c, dir, s);
    struct cJSON *o = json_obj();

    json_put_str(o, "ociVersion", "1.0.2");
    json_put_str(o, "id", s->id.id);
    json_put_str(o, "status", status);
    json_put_u64(o, "pid", strcmp(status, "stopped") == 0 ? 0 : (uint64_t)s->id.pid);
    json_put_str(o, "bundle", s->bundle);
    if (s->id.host_ip[0])
        json_put_str(o, "ip", s->id.host_ip);
    return o;
}

static int print(struct cJSON *take)
{
    AUTO_MEM char *text = json_print(take, true);

    (void)json_free(take);
    return puts(text) < 0;
}

int cli_state_verb(struct cli *c, struct err *err)
{
    AUTO_FD int dir = -1;
    struct cli_state s;
    int r = cli_load(c, &s, err);

    if (r < 0 || (r = cli_dir(c, false, &dir, err)) < 0)
        return r;
    return print(describe(c, dir, &s));
}

int cli_list(struct cli *c, struct err *err)
{
    DIR *d = opendir(c->root);
    struct cJSON *all = json_arr();
    bool json = c->format && strcmp(c->format, "json") == 0;

    if (!json && !c->quiet)
        (void)printf("%-24s %-8s %-8s %s\n", "NAME", "PID", "STATUS", "BUNDLE");
    for (struct dirent *e; d && (e = readdir(d));) {
        AUTO_FD int dir = -1;
        struct cli_state s;
        c->id = e->d_name;
        if (e->d_name[0] == '.' || cli_load(c, &s, err) < 0 || cli_dir(c, false, &dir, err) < 0)
            continue;
        if (json)
            (void)json_push(all, describe(c, dir, &s));
        else if (c->quiet)
            (void)printf("%s\n", s.id.id);
        else
            (void)printf("%-24s %-8d %-8s %s\n", s.id.id, (int)s.id.pid, cli_status(c, dir, &s), s.bundle);
    }
    if (d)
        (void)closedir(d);
    if (json)
        return print(all);
    (void)json_free(all);
    return 0;
}

static const char *const signal_names[] = {
    [SIGHUP] = "HUP",   [SIGINT] = "INT",     [SIGQUIT] = "QUIT", [SIGILL] = "ILL",   [SIGTRAP] = "TRAP",
    [SIGABRT] = "ABRT", [SIGBUS] = "BUS",     [SIGFPE] = "FPE",   [SIGKILL] = "KILL", [SIGUSR1] = "USR1",
    [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",   [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [SIGTERM] = "TERM",
    [SIGCHLD] = "CHLD", [SIGCONT] = "CONT",   [SIGSTOP] = "STOP", [SIGTSTP] = "TSTP", [SIGTTIN] = "TTIN",
    [SIGTTOU] = "TTOU", [SIGWINCH] = "WINCH", [SIGIO] = "IO",     [SIGPWR] = "PWR",   [SIGSYS] = "SYS"};

static int parse_signal(const char *text, struct err *err)
{
    uint64_t n;

    if (str_u64(text, 1, 64, &n))
        return (int)n;
    if (strncmp(text, "SIG", 3) == 0)
        text += 3;
    for (int sig = 1; sig < (int)COUNT_OF(signal_names); sig++)
        if (signal_names[sig] && strcmp(signal_names[sig], text) == 0)
            return sig;
    return err_set(err, ERR_INVALID, "unknown signal %.20s", text);
}

int cli_kill(struct cli *c, struct err *err)
{
    struct cli_state s;
    int sig = parse_signal(c->n_args > 0 ? c->args[0] : "TERM", err), r;

    if (sig < 0)
        return sig;
    if ((r = cli_load(c, &s, err)) < 0)
        return r;
    if (c->all && sig == SIGKILL)
        return box_kill(&c->host, &s.id, err);
    if (c->all)
        return err_set(err, ERR_UNSUPPORTED, "kill --all: only with KILL");
    return box_signal(&s.id, -1, sig, err);
}

int cli_delete(struct cli *c, struct err *err)
{
    AUTO_FD int dir = -1;
    struct cli_state s;
    int r = cli_load(c, &s, err);

    if (r == -ERR_NOTFOUND && c->force)
        return 0;
    if (r < 0 || (r = cli_dir(c, false, &dir, err)) < 0)
        return r;
    /* one that was never started may go without force, as the specification has it */
    return cli_forget(c, &s, c->force || strcmp(cli_status(c, dir, &s), "created") == 0, err);
}

static const char spec_text[] =
    "{\n"
    "  \"ociVersion\": \"1.0.2\",\n"
    "  \"process\": {\n"
    "    \"terminal\": false,\n"
    "    \"user\": {\"uid\": 0, \"gid\": 0},\n"
    "    \"args\": [\"sh\"],\n"
    "    \"env\": [\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"],\n"
    "    \"cwd\": \"/\",\n"
    "    \"noNewPrivileges\": true\n"
    "  },\n"
    "  \"root\": {\"path\": \"rootfs\", \"readonly\": true},\n"
    "  \"hostname\": \"limpet\",\n"
    "  \"mounts\": [\n"
    "    {\"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\", \"options\": [\"nosuid\", "
    "\"noexec\", \"nodev\"]},\n"
    "    {\"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": [\"nosuid\", "
    "\"mode=755\", \"size=64k\"]},\n"
    "    {\"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"
    "     \"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", \"mode=0620\", "
    "\"gid=5\"]},\n"
    "    {\"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"
    "     \"options\": [\"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=16m\"]},\n"
    "    {\"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\", \"options\": "
    "[\"nosuid\", \"noexec\", \"nodev\"]},\n"
    "    {\"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\", \"options\": [\"nosuid\", "
    "\"noexec\", \"nodev\", \"ro\"]}\n"
    "  ],\n"
    "  \"linux\": {\n"
    "    \"namespaces\": [{\"type\": \"pid\"}, {\"type\": \"network\"}, {\"type\": \"ipc\"}, {\"type\": "
    "\"uts\"}, {\"type\": \"cgroup\"}, {\"type\": \"mount\"}],\n"
    "    \"maskedPaths\": [\"/proc/acpi\", \"/proc/kcore\", \"/proc/keys\", \"/proc/latency_stats\", "
    "\"/proc/timer_list\",\n"
    "      \"/proc/timer_stats\", \"/proc/sched_debug\", \"/proc/scsi\", \"/sys/firmware\"],\n"
    "    \"readonlyPaths\": [\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", "
    "\"/proc/sysrq-trigger\"]\n"
    "  }\n"
    "}\n";

int cli_spec(struct cli *c, struct err *err)
{
    AUTO_FD int dir = open(c->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_FD int fd = dir < 0 ? -1 : openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0)
        return err_errno(err, errno, "make %s/config.json", c->bundle);
    return fs_write_full(fd, buf_of(spec_text, sizeof spec_text - 1), err);
}

int cli_features(struct cli *c, struct err *err)
{
    struct box_caps caps;
    struct cJSON *o = json_obj(), *lin, *cg;
    int r = box_probe(&c->host, NULL, &caps, err);

    if (r < 0)
        return r;
    json_put_str(o, "ociVersionMin", "1.0.0");
    json_put_str(o, "ociVersionMax", "1.2.0");
    lin = json_put(o, "linux", json_obj());
    json_put_bool(json_put(lin, "seccomp", json_obj()), "enabled", caps.seccomp);
    json_put_bool(json_put(json_put(lin, "mountExtensions", json_obj()), "idmap", json_obj()), "enabled",
                  caps.idmap);
    json_put_bool(json_put(lin, "userns", json_obj()), "enabled", caps.userns);
    cg = json_put(lin, "cgroup", json_obj());
    json_put_str(cg, "mode", caps.cgroup_mode);
    json_put_bool(cg, "memory", caps.cgroup_memory);
    json_put_bool(cg, "swap", caps.cgroup_swap);
    json_put_bool(cg, "cpu", caps.cgroup_cpu);
    json_put_bool(cg, "pids", caps.cgroup_pids);
    return print(o);
}
