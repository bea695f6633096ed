"""rig.py - what every probe stands on: bundles, runs of a runtime, canaries and pictures of the machine.

A probe is honest only with its control: the same container without the trick must start and print its token under the same runtime."""
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import time

CAPS = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
QUIET = ["nosuid", "noexec", "nodev"]
SYSCTLS = ["kernel/core_pattern", "kernel/modprobe", "kernel/hostname", "kernel/domainname", "kernel/panic", "kernel/sysrq",
           "kernel/poweroff_cmd", "net/ipv4/ip_default_ttl", "net/ipv4/ip_unprivileged_port_start", "fs/suid_dumpable", "vm/overcommit_memory"]


def config():
    """The configuration that `runc spec` and its like write, without a terminal and with a root that can be written."""
    def mount(dest, kind, *options):
        return {"destination": dest, "type": kind, "source": kind, "options": list(options)}
    return {
        "ociVersion": "1.0.2",
        "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": ["/inside", "token"], "env": ["PATH=/bin"], "cwd": "/",
                    "capabilities": {k: list(CAPS) for k in ("bounding", "effective", "permitted")}, "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": False}, "hostname": "probe",
        "mounts": [mount("/proc", "proc"), mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
                   mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
                   mount("/dev/shm", "tmpfs", *QUIET, "mode=1777", "size=65536k"), mount("/sys", "sysfs", *QUIET, "ro"),
                   mount("/sys/fs/cgroup", "cgroup", *QUIET, "relatime", "ro")],
        "linux": {"namespaces": [{"type": t} for t in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
                  "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                  "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                                  "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
                  "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]}}


def bind(source, dest, *options):
    return {"destination": dest, "type": "bind", "source": source, "options": ["rbind", *options]}


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        return e.strerror.encode()


class Result:
    def __init__(self, rc, out):
        self.rc, self.out = rc, out

    def has(self, text):
        return text in self.out

    def reason(self):
        """The last line that it said, as one cell of a table."""
        lines = [x for x in self.out.splitlines() if x.strip()]
        return (lines[-1] if lines else "no word").replace("|", "/")[-120:]


class Rig:
    def __init__(self, name, runtime, work, tools, tries):
        self.name, self.tries, self.tools = name, tries, tools
        self.T = os.path.join(work, name)
        while os.path.exists(self.T):
            self.T += "-again"
        os.makedirs(self.T + "/bin")
        self.runtime = shutil.copy(runtime, f"{self.T}/bin/{name}")  # what a container overwrites is this copy
        helper = os.path.join(os.path.dirname(runtime), "limpet-seccomp")
        if os.path.exists(helper):
            shutil.copy(helper, self.T + "/bin/")
        self.root, self.n = self.T + "/state", 0
        self.canary = self.T + "/canary"
        self.settings = {s: read("/proc/sys/" + s) for s in SYSCTLS if os.path.exists("/proc/sys/" + s)}
        self.fresh_canary()

    def mend(self):
        """After an escape: what was written to the machine is written back."""
        for name, value in self.settings.items():
            if value and read("/proc/sys/" + name) != value:
                with open("/proc/sys/" + name, "wb") as f:
                    f.write(value)

    def fresh_canary(self):
        shutil.rmtree(self.canary, ignore_errors=True)
        for d in ("pts", "shm", "in", "self/attr", "sys/net/ipv4", "sys/kernel"):
            os.makedirs(f"{self.canary}/{d}")
        for f in ("ptmx", "null", "file", "console", "kcore", "self/attr/exec", "self/oom_score_adj", "sys/net/ipv4/ip_default_ttl",
                  "sys/kernel/core_pattern"):
            with open(f"{self.canary}/{f}", "w") as o:
                o.write("precious\n")

    # ---- containers

    def bundle(self, args, change=None, image=None):
        """A fresh bundle. change(config): the trick in the configuration. image(rootfs): that in the files."""
        shutil.rmtree(self.T + "/b", ignore_errors=True)
        r = self.T + "/b/rootfs"
        for d in ("proc", "sys", "dev", "tmp", "etc", "data", "bin"):
            os.makedirs(f"{r}/{d}")
        shutil.copy(self.tools + "/inside", r + "/inside")
        c = config()
        c["process"]["args"] = args
        if change:
            change(c)
        if image:
            image(r)
        with open(self.T + "/b/config.json", "w") as f:
            json.dump(c, f)
        return self.T + "/b"

    def call(self, *args, timeout=60, **more):
        """One call of the runtime. A file takes what it says: a container that stays would hold a pipe open."""
        with open(self.T + "/said", "w+b") as out:
            p = subprocess.Popen([self.runtime, "--root", self.root, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 start_new_session=True, **more)
            try:
                rc, more_said = p.wait(timeout), ""
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
                rc, more_said = 124, "\nhangs"
            out.seek(0)
            return Result(rc, out.read().decode(errors="replace") + more_said)

    def new_id(self):
        self.n += 1
        return f"probe{os.getpid()}-{self.n}"

    def run(self, args=None, change=None, image=None, **more):
        b = self.bundle(args, change, image) if args else self.T + "/b"
        i = self.new_id()
        r = self.call("run", "-b", b, i, **more)
        if r.rc != 0:  # what a runtime leaves after a failure is not looked at here
            self.call("delete", "--force", i)
        return r

    def start(self, args, change=None, image=None):
        """A container that stays: its id, or None. Its output is in T/stay."""
        b, i = self.bundle(args, change, image), self.new_id()
        with open(self.T + "/stay", "wb") as out:
            p = subprocess.Popen([self.runtime, "--root", self.root, "run", "-d", "-b", b, i], stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=out, start_new_session=True)
            try:
                p.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        for _ in range(600):
            if p.returncode != 0 or b"token" in read(self.T + "/stay"):
                break
            time.sleep(0.05)
        if p.returncode == 0 and b"token" in read(self.T + "/stay"):
            return i
        self.stop(i)
        return None

    def stop(self, i):
        self.call("delete", "--force", i)

    def pid(self, i):
        return json.loads(self.call("state", i).out)["pid"]

    # ---- the machine

    def picture(self):
        """What no container may change: canaries with their inodes, mounts, settings, our files, our processes."""
        p = {}
        for base, dirs, files in os.walk(self.canary):
            for n in dirs + files:
                f = os.path.join(base, n)
                st = os.lstat(f)
                body = hashlib.sha256(read(f)).hexdigest() if stat.S_ISREG(st.st_mode) else ""  # a runtime may have put a device there
                p[f] = (st.st_mode, st.st_ino, st.st_uid, st.st_size, body)
        p["mounts"] = sorted(x.split(b" ", 2)[2] for x in read("/proc/self/mountinfo").splitlines())
        for s in SYSCTLS:
            p[s] = read("/proc/sys/" + s)
        p["files"] = sorted(os.listdir(self.T)), sorted(os.listdir(self.T + "/bin"))
        p["runtime"] = hashlib.sha256(read(self.runtime)).hexdigest()
        p["processes"] = sorted(x for x in os.listdir("/proc") if x.isdigit() and self.T.encode() in read(f"/proc/{x}/cmdline"))
        return p

    @staticmethod
    def changes(before, after):
        return [k for k in sorted(set(before) | set(after)) if before.get(k) != after.get(k)]
