"""cycles.py LIMPET FOLDER CYCLES KILLS - see runtime_cycles.sh."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from rig import config, read

LIMPET, T, CYCLES, KILLS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
TAG = f"cyc{os.getpid()}"
ROOT = T + "/state"
FREEZE = (("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN"), ("/sys/fs/cgroup", "cgroup.freeze", "1"))


def groups():
    """Every control group of ours: the tag is part of its name."""
    found = []
    for base, dirs, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(base, d) for d in dirs if TAG in d]
    return found


def processes():
    # a zombie whose parent is the machine's init goes when that looks
    def ours(p):
        said = read(f"/proc/{p}/cmdline")
        return T.encode() in said or TAG.encode() in said
    return [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid() and ours(p) and p not in KEEP]


def left():
    """All that may stay of a container; the same before and after."""
    here = [m for m in read("/proc/self/mountinfo").splitlines()]
    nets = sorted(os.listdir("/sys/class/net"))
    return {"mounts": len(here), "groups": groups(), "state": sorted(os.listdir(ROOT)) if os.path.isdir(ROOT) else [],
            "cards": [n for n in nets if n.startswith("lp")], "processes": processes(),
            "descriptors": len(os.listdir("/proc/self/fd"))}


def call(*args, timeout=180):
    with open(T + "/said", "w+b") as out:
        p = subprocess.Popen([LIMPET, "--root", ROOT, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            rc = p.wait(timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            rc = 124
        out.seek(0)
        return rc, out.read().decode(errors="replace")


def bundle():
    r = T + "/b/rootfs"
    for d in ("proc", "sys", "dev", "tmp"):
        os.makedirs(f"{r}/{d}")
    shutil.copy(T + "/inside", r + "/inside")
    c = config()
    c["process"]["args"] = ["/inside", "sleep", "600", TAG]
    c["linux"]["resources"]["pids"] = {"limit": 50}
    c["linux"]["resources"]["memory"] = {"limit": 16777216}
    with open(T + "/b/config.json", "w") as f:
        json.dump(c, f)


def must(what, rc, said):
    if rc != 0:
        print(f"FAIL {what}: ended with {rc}: {said.strip()[-200:]}", flush=True)
        sys.exit(1)


def cycles():
    start = time.monotonic()
    for n in range(CYCLES):
        i = f"{TAG}-{n}"
        for verb in (["create", "-b", T + "/b", i], ["start", i], ["kill", i, "KILL"]):
            must(f"cycle {n}: {verb[0]}", *call(*verb))
        end = time.monotonic() + 60  # delete without force wants it to have ended
        while time.monotonic() < end and '"stopped"' not in call("state", i)[1]:
            time.sleep(0.001)
        must(f"cycle {n}: delete", *call("delete", i))
    return (time.monotonic() - start) * 1000 / max(CYCLES, 1)


def prepare(verb, i):
    """Brings the container to where the verb makes sense."""
    if verb in ("create", "run"):
        return
    must("create", *call("create", "-b", T + "/b", i))
    if verb != "start":
        must("start", *call("start", i))
    if verb == "resume":
        must("pause", *call("pause", i))
    if verb == "delete":
        call("kill", i, "KILL")


def kills():
    """The runtime gets SIGKILL after a random part of the time that the verb takes; then delete --force must find all."""
    rnd, met, verbs = random.Random(KILLS), {}, {
        "create": ["create", "-b", T + "/b"], "run": ["run", "-d", "-b", T + "/b"], "start": ["start"], "exec": ["exec"], "pause": ["pause"],
        "resume": ["resume"], "kill": ["kill"], "delete": ["delete", "--force"], "update": ["update", "--pids-limit", "20"], "state": ["state"]}
    for n in range(KILLS):
        i, verb = f"{TAG}-k{n}", list(verbs)[n % len(verbs)]
        prepare(verb, i)
        tail = {"exec": ["/inside", "token"], "kill": ["TERM"]}.get(verb, [])
        with open(T + "/said", "wb") as out:
            p = subprocess.Popen([LIMPET, "--root", ROOT, *verbs[verb], i, *tail], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            time.sleep(rnd.random() * (0.012 if verb in ("create", "run", "exec") else 0.004))
            p.send_signal(signal.SIGKILL)
            met[verb] = met.get(verb, 0) + (p.wait() == -signal.SIGKILL)
        must(f"delete after {verb} was killed ({n})", *call("delete", "--force", i))
        stay = [g for g in groups() if f"-k{n}" in g] + [s for s in os.listdir(ROOT) if f"-k{n}" in s]
        if stay:
            must(f"after {verb} was killed ({n})", 1, f"left: {stay}")
    return met


def blocked():
    """Stopped in create; stopped itself; frozen; frozen by somebody else; with a stopped process inside."""
    i = f"{TAG}-b"
    for what, steps in (("created and never started", []), ("paused", [["start", i], ["pause", i]]),
                        ("stopped by SIGSTOP", [["start", i], ["kill", i, "STOP"]]), ("frozen from outside", [["start", i], None]),
                        ("frozen while created", [None])):
        must("create", *call("create", "-b", T + "/b", i))
        for s in steps:
            if s:
                must(f"{what}: {s[0]}", *call(*s))
                continue
            for base, name, word in FREEZE:
                for g in groups():
                    if g.startswith(base) and os.path.exists(f"{g}/{name}"):
                        with open(f"{g}/{name}", "w") as f:
                            f.write(word)
        t = time.monotonic()
        must(f"delete --force of what is {what}", *call("delete", "--force", i))
        print(f"ok   {what}: deleted in {(time.monotonic() - t) * 1000:.0f} ms", flush=True)


def same(before, what):
    for _ in range(600):  # processes that ended wait for the machine's init
        after = left()
        if after == before:
            print(f"ok   {what}: nothing stays", flush=True)
            return
        time.sleep(0.1)
    diff = {k: (before[k], after[k]) for k in before if before[k] != after[k]}
    must(what, 1, f"{diff}")


KEEP = []
bundle()
os.makedirs(ROOT, exist_ok=True)
must("first", *call("run", "-d", "-b", T + "/b", TAG + "-first"))
must("delete", *call("delete", "--force", TAG + "-first"))
KEEP = processes()
BEFORE = left()
blocked()
same(BEFORE, "blocked ones deleted")
ms = cycles()
same(BEFORE, f"{CYCLES} cycles of create, start, kill, state, delete ({ms:.1f} ms each)")
hit = kills()
same(BEFORE, f"{KILLS} runtimes killed, {sum(hit.values())} of them while they ran ({', '.join(f'{k} {v}' for k, v in hit.items())})")
