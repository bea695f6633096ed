"""kernel.py - classes C25 to C36: what a program can do to the kernel, and what of the host it can see."""
import ctypes
import os
import shutil
import socket

from rig import read
from verdict import CONTAINED, ESCAPED, NO_START, Trick, tricks


def inside(verb, change=None, image=None):
    def probe(g):
        return tricks(g, change, [Trick(verb, ["/inside", verb], change, image)])
    return probe


def more_rights(c):
    """Root of the container with nearly all capabilities that engines hand out."""
    for k in ("bounding", "effective", "permitted"):
        c["process"]["capabilities"][k] += ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD",
                                            "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_SETPCAP", "CAP_SETFCAP", "CAP_FSETID"]


def status(g, args, change=None):
    """The fields of /proc/self/status at start and in exec."""
    def stays(c):
        if change:
            change(c)
    r = g.run(["/inside", "status"], change)
    i = g.start(["/inside", "sleep"], stays)
    x = g.call("exec", *args, i, "/inside", "status") if i else None
    if i:
        g.stop(i)
    both = []
    for s in (r, x):
        if s is None or not s.has("end"):
            return None
        both.append({k: v.split() for k, v in (line.split(":", 1) for line in s.out.splitlines() if ":" in line)})
    return both


def c27_capabilities(g):
    want = f"{(1 << 29) | (1 << 5) | (1 << 10):016x}"
    both = status(g, [])
    if not both:
        return NO_START, "the control"
    for s, where in zip(both, ("start", "exec")):
        if int(s["CapInh"][0], 16) or int(s["CapAmb"][0], 16) or s["CapBnd"] != [want] or s["CapPrm"] != [want]:
            return ESCAPED, f"{where}: {s}"[:120]
    return CONTAINED, "sets as declared at start and in exec, none inheritable or ambient"


def c28_groups(g):
    def change(c):
        c["process"]["user"]["additionalGids"] = [1234]
    both = status(g, [], change)
    if not both:
        return NO_START, "the control"
    for s, where in zip(both, ("start", "exec")):
        if set(s["Groups"]) - {"0", "1234"}:  # fewer are no escape
            return ESCAPED, f"{where}: groups {s['Groups']}"
    return CONTAINED, "no group that was not declared"


def c29_setuid(g):
    def user(c):
        c["process"]["user"] = {"uid": 1000, "gid": 1000}
    def image(r):
        shutil.copy(r + "/inside", r + "/become")
        os.chmod(r + "/become", 0o6755)
    r = g.run(["/inside", "become", "/become"], user, image)
    if not r.has("uid "):
        return NO_START, r.reason()
    return (CONTAINED, "stays 1000") if r.has("uid 1000 1000") else (ESCAPED, r.out.splitlines()[0])


REFUSE = ("mount umount2 pivot_root chroot open_tree move_mount fsopen fspick mount_setattr unshare setns ptrace process_vm_readv "
          "process_vm_writev pidfd_getfd kcmp bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register keyctl add_key "
          "request_key open_by_handle_at name_to_handle_at kexec_load init_module finit_module delete_module swapon swapoff reboot acct syslog "
          "settimeofday clock_settime quotactl lookup_dcookie fanotify_init vhangup sethostname setdomainname mbind set_mempolicy move_pages "
          "modify_ldt iopl ioperm").split()
BY_ARGUMENT = {"clone": [("clone user", 0, 0x10000000, "SCMP_CMP_MASKED_EQ", 0x10000000)],
               "ioctl": [("ioctl TIOCSTI", 1, 0x5412, "SCMP_CMP_EQ", 0), ("ioctl TIOCLINUX", 1, 0x541c, "SCMP_CMP_EQ", 0)],
               "socket": [("socket AF_ALG", 0, 38, "SCMP_CMP_EQ", 0), ("socket AF_VSOCK", 0, 40, "SCMP_CMP_EQ", 0),
                          ("socket AF_PACKET", 0, 17, "SCMP_CMP_EQ", 0)]}


def c30_calls(g):
    """A profile that refuses what calls.c tries, with a number of its own (EROFS): each line of the table is that number."""
    def profile(c):
        rules = [{"names": REFUSE, "action": "SCMP_ACT_ERRNO", "errnoRet": 30}]
        for call, args in BY_ARGUMENT.items():
            rules += [{"names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": 30,
                       "args": [{"index": i, "value": v, "valueTwo": two, "op": op}]} for _, i, v, op, two in args]
        c["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}
        c["process"]["noNewPrivileges"] = True
    r = g.run(["/inside", "calls"], profile)
    lines = dict(x.rsplit(": ", 1) for x in r.out.splitlines() if ": " in x)
    if not r.has("end") or lines.get("getpid") != "passed":
        return NO_START, r.reason()
    named = {a[0] for args in BY_ARGUMENT.values() for a in args}
    wrong = [f"{n} {v}" for n, v in lines.items() if (n.split()[0] in REFUSE or n in named) and v != "EROFS"]
    wrong += [f"{n} {lines.get(n)}" for n in ("int 0x80", "x32 getpid") if lines.get(n) == "passed"]
    return (ESCAPED, f"{len(wrong)}: {', '.join(wrong)}"[:120]) if wrong else (CONTAINED, f"{len(lines)} calls, all as the profile says")


def c31_keyring(g):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(250, 1, b"limpet-probe")  # a session keyring of its own for this program and its children
    if libc.syscall(248, b"user", b"limpet-probe-key", b"x", 1, -3) < 0:
        return NO_START, "no key could be made"
    return tricks(g, None, [Trick("key", ["/inside", "key", "limpet-probe-key"])])


def c34_user(g):
    def change(c):
        ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        c["linux"]["namespaces"].append({"type": "user"})
        c["linux"].update(uidMappings=ids, gidMappings=ids)
    def image(r):
        os.chmod(os.path.dirname(r), 0o755)
        for base, _, files in os.walk(r):
            for n in ["."] + files:
                os.lchown(os.path.join(base, n), 100000, 100000)
    i = g.start(["/inside", "sleep"], change, image)
    if not i:
        return NO_START, read(g.T + "/stay").decode(errors="replace").strip()[-100:]
    uid = next(x for x in read(f"/proc/{g.pid(i)}/status").decode().splitlines() if x.startswith("Uid"))
    g.stop(i)
    return (CONTAINED, "root of the container is 100000 outside") if uid.split()[1:] == ["100000"] * 4 else (ESCAPED, uid)


def c35_network(g):
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(1)
    r = tricks(g, None, [Trick("net", ["/inside", "net", str(s.getsockname()[1]), "limpet-probe"])])
    s.close()
    return r


def group_file(pid, names):
    """What the kernel says of this process's group, of the first of the names that is there."""
    for line in read(f"/proc/{pid}/cgroup").decode().splitlines():
        _, kinds, path = line.split(":", 2)
        for base in [f"/sys/fs/cgroup/{k}" for k in kinds.split(",")] + ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]:
            for n in names:
                if os.path.exists(f"{base}{path}/{n}"):
                    return read(f"{base}{path}/{n}").decode().strip()
    return None


def c36_limits(g):
    """Numbers at the edges of their types: exactly what was asked, or refused."""
    cases = [("memory", v, str(v // 4096 * 4096)) for v in (2 ** 31, 2 ** 32, 2 ** 32 + 8192, 2 ** 40)] + \
            [("memory", v, None) for v in (2 ** 64, 2 ** 64 + 65536, -2, -2 ** 63 - 1)] + \
            [("pids", v, str(v)) for v in (20, 70000)] + [("pids", v, None) for v in (2 ** 64 + 5, 2 ** 32 * 2 ** 32 + 7)]
    control, refused, wrong = False, 0, []
    for kind, v, want in cases:
        def change(c):
            c["linux"]["resources"][kind] = {"limit": v}
        i = g.start(["/inside", "sleep"], change)
        if not i:
            refused += 1
            if want:
                wrong.append(f"{kind} {v} refused: {read(g.T + '/stay').decode(errors='replace').strip()[-60:]}")
            continue
        names = ["memory.max", "memory.limit_in_bytes"] if kind == "memory" else ["pids.max"]
        got = group_file(g.pid(i), names)
        control = control or (got is not None and got == want)
        g.stop(i)
        if want is None and got is not None and got != "max" and int(got) < 2 ** 62:
            wrong.append(f"{kind} {v} became {got}")
        elif want is None:
            wrong.append(f"{kind} {v} was taken")
        elif got != want:
            wrong.append(f"{kind} {v} became {got}")
    if not control:
        return NO_START, (wrong or ["no limit could be read back"])[0]
    return (ESCAPED, f"{len(wrong)} of {len(cases)}: {wrong[0]}") if wrong else (CONTAINED, f"{len(cases)} limits exact or refused ({refused})")


PROBES = [("C25", "control groups", inside("cgroup", more_rights)), ("C26", "upcalls and settings of the machine", inside("writes", more_rights)),
          ("C27", "capability sets", c27_capabilities), ("C28", "groups", c28_groups), ("C29", "set-user-id in the image", c29_setuid),
          ("C30", "system calls", c30_calls), ("C31", "session keyring", c31_keyring), ("C32", "/sys", inside("sys", more_rights)),
          ("C33", "devices by number", inside("devices", more_rights)), ("C34", "user namespace", c34_user),
          ("C35", "network of the host", c35_network), ("C36", "limits at the edges of their types", c36_limits)]
