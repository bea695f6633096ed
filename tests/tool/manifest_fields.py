#!/usr/bin/env python3
"""Each field of a desired state at, below and above its bounds, by three readers: the agent's parser and fleetctl's schema (manifest-tool) and the JSON schema.
usage: manifest_fields.py MANIFEST-TOOL DESIRED.SCHEMA.JSON [WITHOUT...]: rows whose path ends so are left out
A row: path, values that all take, values that all refuse. A value may name who judges otherwise, with a reason."""
import copy
import json
import subprocess
import sys

from jsonschema import Draft202012Validator, FormatChecker

DIGEST = "sha256:" + "a" * 64
RELEASE = {"name": "web", "counter": 1, "digest": DIGEST, "size": 1}
APP = {"name": "web", "release": RELEASE, "sources": ["dir:/x"]}
BASE = {"schema": "limpet.desired/1", "fleet": "demo", "target": {"device": "gw-1"}, "rev": 1, "issued": 1, "expires": 2, "apps": [APP]}
EXACT, DAY = 1 << 53, 86400000
NAMES = ["a", "9a", "a.b_c-d", "a" * 63], ["", "A", "-a", ".a", "a" * 64, "a b", "a/b", 7, None]
PATHS = ["/", "/a", "/a..b/..c", "/" + "a" * 254], ["", "a", "/a/../b", "/a/..", "/" + "a" * 255, 7]
TEXTS = ["", "a", "a" * 4096], ["a" * 4097, 7, None]
DIGESTS = [DIGEST], ["", DIGEST[:-1], DIGEST + "a", DIGEST.upper(), "a" * 64, 7]
BOOLS = [True, False], [0, 1, "true", None]


class Otherwise:
    """WHO judges this value the other way; WHY says that this is right."""

    def __init__(self, value, who, why):
        self.value, self.who, self.why = value, who.split(), why


def number(low, high):
    return [low, high], ([low - 1] if low else []) + ([high + 1] if high < EXACT else []) + [-1, 1.5, "1", True, None]


def words(*good):
    return list(good), ["", good[0].upper() if good[0].upper() != good[0] else good[0].lower(), "x", 7, None]


def texts(low, high, item="a"):
    return [[item] * n for n in {low, 1, high}], ([[]] if low else []) + [[item] * (high + 1), item, [7], [None], {}]


SCHEMA_CANNOT = "what two members say together is beyond a JSON schema"
SOURCES = [["dir:/x"], ["http://a/b"] * 4, ["layout+https://a/b"], ["coaps://a/b"], ["file:/x"], ["usb:a/b"], ["usb:*/b"], ["dir:/" + "a" * 507]], [
    [], ["dir:/x"] * 5, ["dir:x"], ["ftp://x/y"], [""], [7], ["dir:/" + "a" * 508], ["usb:/b"], "dir:/x",
    Otherwise(["http://a"], "schema", "what a URL needs is checked by its reader"), Otherwise(["http://u@a/b"], "schema", "the same")]
MOUNT = {"type": "tmpfs", "target": "/t"}
VOLUME = {"type": "volume", "target": "/t", "name": "v"}
PORT = {"host": 80, "container": 80}
DEVICE = {"match": {"by-id": "x"}, "path": "/dev/x"}
CAPABILITIES = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_CHROOT SYS_NICE SYS_RESOURCE SYS_TTY_CONFIG LEASE AUDIT_WRITE SETFCAP".split()
REFUSED = "SYS_ADMIN SYS_MODULE SYS_RAWIO SYS_BOOT SYS_PTRACE SYS_PACCT SYS_TIME DAC_READ_SEARCH AUDIT_CONTROL MKNOD CAP_CHOWN chown".split()
LIMIT = words("required", "best-effort")
SWITCH = words("required", "best-effort", "off")

# path (app. is apps[0].), what to put there first, good, bad
ROWS = [
    ("schema", None, ["limpet.desired/1"], ["limpet.desired/2", "", 1]),
    ("fleet", None, *NAMES),
    ("target", None, [{"device": "a"}, {"group": "a"}], [{}, {"device": "a", "group": "a"}, {"x": "a"}, "a", {"device": "A"}]),
    ("rev", None, *number(1, EXACT)),
    ("issued", None, *number(1, EXACT)),
    ("expires", None, *number(1, EXACT)),
    ("id", None, *TEXTS),
    ("by", None, *TEXTS),
    ("x", None, [], [1]),
    ("apps", None, [[], [dict(APP, name="a%d" % i) for i in range(32)]],
     [{}, None, [7], [dict(APP, name="a%d" % i) for i in range(33)], Otherwise([APP, APP], "schema", SCHEMA_CANNOT)]),
    ("app.x", None, [], [1]),
    ("app.name", None, *NAMES),
    ("app.release", None, [RELEASE], [{}, dict(RELEASE, x=1), "web:1", None] + [{k: v for k, v in RELEASE.items() if k != key} for key in RELEASE]),
    ("app.release.name", None, *NAMES),
    ("app.release.counter", None, *number(1, EXACT)),
    ("app.release.digest", None, *DIGESTS),
    ("app.release.size", None, *number(1, 65536)),
    ("app.sources", None, *SOURCES),
    ("app.args", None, *texts(0, 64)),
    ("app.args", None, [["a" * 65], ["a" * 4096], [""]], [["a" * 4097]]),
    ("app.env", None, [{}, {"a%d" % i: "" for i in range(64)}, {"A": "a" * 4096}],
     [{"a%d" % i: "" for i in range(65)}, {"A": "a" * 4097}, {"": "a"}, {"a=b": "c"}, {"A": 7}, [], "A=b"]),
    ("app.cwd", None, *PATHS),
    ("app.user", None, *TEXTS),
    ("app.memory", None, [{"max_bytes": 65536}], [{}, {"max_bytes": 65536, "x": 1}, 65536, {"swap_bytes": 1}]),
    ("app.memory.max_bytes", {}, *number(65536, 1 << 40)),
    ("app.memory.swap_bytes", {"max_bytes": 65536}, *number(0, 1 << 40)),
    ("app.memory.enforce", {"max_bytes": 65536}, *LIMIT),
    ("app.cpu", None, [{"percent": 1}], [{}, 1]),
    ("app.cpu.percent", {}, *number(1, 25600)),
    ("app.cpu.enforce", {"percent": 1}, *LIMIT),
    ("app.pids.max", {}, *number(1, 1 << 22)),
    ("app.pids.enforce", {"max": 1}, *LIMIT),
    ("app.userns", None, *SWITCH),
    ("app.seccomp", None, *SWITCH),
    ("app.capabilities", None, [[]] + [[c] for c in CAPABILITIES] + [["CHOWN"] * 32], [[c] for c in REFUSED] + [["CHOWN"] * 33, "CHOWN"]),
    ("app.read_only", None, [True], [Otherwise(False, "agent", "refused where the set is judged"), "true", 1]),
    ("app.image_privileges", None, *words("strip", "refuse")),
    ("app.init", None, *BOOLS),
    ("app.retry", None, *number(0, EXACT)),
    ("app.network", None, [{"mode": m} for m in ("none", "host", "bridge")] + [{"mode": "cni", "name": "a"}, {"mode": "bridge", "name": "a" * 12}],
     [{}, {"mode": "x"}, {"mode": "cni"}, {"mode": "bridge", "name": "a" * 13}, {"mode": "none", "name": "a"}, {"mode": "host", "ports": [PORT]},
      {"mode": "none", "ports": []}, {"mode": "app:A"}, Otherwise({"mode": "app:db"}, "schema", SCHEMA_CANNOT), Otherwise({"mode": "app:web"}, "schema", SCHEMA_CANNOT)]),
    ("app.network.name", {"mode": "cni"}, *NAMES),
    ("app.network.ports", {"mode": "bridge"}, [[], [PORT], [{"host": i, "container": 80} for i in range(1, 17)]],
     [[{"host": i, "container": 80} for i in range(1, 18)], [{"host": 80}], [{"container": 80}], [dict(PORT, x=1)], PORT,
      Otherwise([PORT, PORT], "schema", SCHEMA_CANNOT)]),
    ("app.network.ports.0.host", {"mode": "bridge", "ports": [dict(PORT)]}, *number(1, 65535)),
    ("app.network.ports.0.container", {"mode": "bridge", "ports": [dict(PORT)]}, *number(1, 65535)),
    ("app.network.ports.0.last", {"mode": "bridge", "ports": [dict(PORT)]}, [80, 335],
     [Otherwise(336, "schema", SCHEMA_CANNOT), Otherwise(79, "schema", SCHEMA_CANNOT), 65536, 0, "80"]),
    ("app.network.ports.0.protocol", {"mode": "bridge", "ports": [dict(PORT)]}, *words("tcp", "udp")),
    ("app.network.ports.0.address", {"mode": "bridge", "ports": [dict(PORT)]}, ["127.0.0.1", "::1", "fd00::1"], ["", "localhost", "1.2.3", "0.0.0.0", "::", 7]),
    ("app.devices", None, [[], [dict(DEVICE, path="/dev/x%d" % i) for i in range(8)]],
     [[dict(DEVICE, path="/dev/x%d" % i) for i in range(9)], [{"match": {"by-id": "x"}}], [{"path": "/dev/x"}], Otherwise([DEVICE, DEVICE], "schema", SCHEMA_CANNOT)]),
    ("app.devices.0.match", [dict(DEVICE)], [{"by-id": "x"}, {"by-path": "/devices/x"}, {"usb": "0403:6001"}, {"major": 1, "minor": 0}, {"by-id": "x", "subsystem": "tty"}],
     [{}, {"by-id": "x", "major": 1}, {"minor": 1}, {"by-id": "x", "minor": 1}, {"subsystem": "tty"}, {"x": 1}, "x"]),
    ("app.devices.0.match.by-id", [{"match": {}, "path": "/dev/x"}], ["a", "a" * 255], ["", "a/b", "/a", ".", "..", "a" * 256, 7]),
    ("app.devices.0.match.by-path", [{"match": {}, "path": "/dev/x"}], ["a", "/a/b", "a" * 255], ["", "a/b", ".", "..", "a" * 256, 7]),
    ("app.devices.0.match.usb", [{"match": {}, "path": "/dev/x"}], ["0403:6001", "abCD:ef00"], ["403:6001", "0403:60011", "04036001", "0403:600g", "", 7]),
    ("app.devices.0.match.major", [{"match": {}, "path": "/dev/x"}], *number(1, 4095)),
    ("app.devices.0.match.minor", [{"match": {"major": 1}, "path": "/dev/x"}], *number(0, (1 << 20) - 1)),
    ("app.devices.0.match.subsystem", [dict(DEVICE, match={"by-id": "x"})], *TEXTS),
    ("app.devices.0.path", [dict(DEVICE)], ["/dev/a", "/dev/a/b", "/dev/" + "a" * 250], ["/dev/", "/dev", "/a", "/dev/a/", "/dev/../a", "dev/a", "/dev/" + "a" * 251, 7]),
    ("app.devices.0.access", [dict(DEVICE)], *words("rw", "r", "w")),
    ("app.devices.0.required", [dict(DEVICE)], *BOOLS),
    ("app.devices.0.on_remove", [dict(DEVICE, required=True)], *words("keep", "restart", "stop")),
    ("app.devices.0.on_remove", [dict(DEVICE)], ["keep", "restart"], ["stop"]),
    ("app.mounts", None, [[], [dict(MOUNT, target="/t%d" % i) for i in range(16)]], [[dict(MOUNT, target="/t%d" % i) for i in range(17)], MOUNT]),
    ("app.mounts.0", [MOUNT], [MOUNT, VOLUME, dict(MOUNT, size_bytes=4096), dict(VOLUME, read_only=True)],
     [{}, {"type": "tmpfs"}, {"target": "/t"}, {"type": "volume", "target": "/t"}, dict(VOLUME, size_bytes=4096), dict(MOUNT, name="a"), dict(MOUNT, type="bind"), dict(MOUNT, x=1)]),
    ("app.mounts.0.target", [dict(MOUNT)], *PATHS),
    ("app.mounts.0.name", [dict(VOLUME)], *NAMES),
    ("app.mounts.0.size_bytes", [dict(MOUNT)], *number(4096, 1 << 40)),
    ("app.mounts.0.read_only", [dict(MOUNT)], *BOOLS),
    ("app.restart", None, [{"policy": "no"}], [{}, {"delay_ms": 10}, "no"]),
    ("app.restart.policy", {}, *words("always", "on-failure", "no")),
    ("app.restart.delay_ms", {"policy": "no"}, *number(10, 3600000)),
    ("app.restart.max_delay_ms", {"policy": "no"}, *number(10, DAY)),
    ("app.restart.stable_ms", {"policy": "no"}, *number(0, DAY)),
    ("app.restart.max_tries", {"policy": "no"}, *number(0, 1000000)),
    ("app.health", None, [{"exec": ["a"]}, {"http": {"port": 1}}, {"tcp": {"port": 1}}], [{}, {"exec": ["a"], "tcp": {"port": 1}}, {"interval_ms": 100}, {"tcp": {}}, {"tcp": {"port": 1, "path": "/"}}]),
    ("app.health.exec", {}, *texts(1, 64)),
    ("app.health.exec", {}, [["a" * 65], ["sh", "-c", "a" * 4096]], [["a" * 4097]]),
    ("app.health.http.port", {"http": {}}, *number(1, 65535)),
    ("app.health.http.path", {"http": {"port": 1}}, *PATHS),
    ("app.health.tcp.port", {"tcp": {}}, *number(1, 65535)),
    ("app.health.interval_ms", {"tcp": {"port": 1}}, *number(100, DAY)),
    ("app.health.timeout_ms", {"tcp": {"port": 1}}, *number(50, 600000)),
    ("app.health.start_grace_ms", {"tcp": {"port": 1}}, *number(0, DAY)),
    ("app.health.retries", {"tcp": {"port": 1}}, *number(1, 1000)),
    ("app.health.action", {"tcp": {"port": 1}}, *words("restart", "none")),
    ("app.stop.signal", {}, ["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL", "WINCH"],
     ["", "term", "STOP", "15", 15, Otherwise("SIGTERM", "agent", "images write it so, manifests do not")]),
    ("app.stop.grace_ms", {}, *number(0, 600000)),
    ("app.log", None, [{"max_bytes": 4096}], [{}, 4096]),
    ("app.log.max_bytes", {}, *number(4096, 4 << 20)),
    ("update.probation_ms", {}, *number(0, DAY)),
    ("update.x", {}, [], [1]),
    ("update.download.max_bytes", {"download": {}}, *number(1, EXACT)),
    ("update.download.rate_bytes_s", {"download": {}}, *number(1024, EXACT)),
    ("update.download.window", {"download": {}}, ["01:30-05:00", "23:59-00:00"],
     ["", "1:30-5:00", "24:00-05:00", "01:60-05:00", "01:30", "01:30-05:000", Otherwise("01:30-01:30", "schema", SCHEMA_CANNOT), 7]),
    ("update.download.full_fallback", {"download": {}}, *BOOLS),
    ("os", None, [{"version": "2", "bundle": {"digest": DIGEST, "size": 1}, "release": RELEASE, "sources": ["dir:/x"]}], [{}, {"version": "2"}, {"version": "2", "bundle": {"digest": DIGEST, "size": 1}, "sources": ["dir:/x"]}]),
    ("os.version", {"release": RELEASE, "bundle": {"digest": DIGEST, "size": 1}, "sources": ["dir:/x"]}, *NAMES),
    ("os.bundle.size", {"release": RELEASE, "version": "2", "bundle": {"digest": DIGEST}, "sources": ["dir:/x"]}, *number(1, 8 << 30)),
    ("os.bundle.digest", {"release": RELEASE, "version": "2", "bundle": {"size": 1}, "sources": ["dir:/x"]}, *DIGESTS),
    ("os.sources", {"release": RELEASE, "version": "2", "bundle": {"digest": DIGEST, "size": 1}}, *SOURCES),
    ("agent.release", {"sources": ["dir:/x"]}, [RELEASE], [{}, "agent:1"]),
    ("agent.sources", {"release": RELEASE}, *SOURCES),
    ("agent.confirm_s", {"release": RELEASE, "sources": ["dir:/x"]}, *number(5, 3600)),
    ("group.rollout.salt", {"slots": 1}, *TEXTS),
    ("group.rollout.slots", {"salt": "a"}, *number(0, 10000)),
    ("group.rollout.spread_ms", {"salt": "a", "slots": 1}, *number(0, 30 * DAY)),
    ("group.rollout.not_before", {"salt": "a", "slots": 1}, *number(0, EXACT)),
    ("group.rollout", None, [{"salt": "a", "slots": 1}], [{}, {"salt": "a"}, {"slots": 1}]),
    ("rollout", None, [], [{"salt": "a", "slots": 1}]),
    ("bare.withdrawn", None, [True], [False, 1, "true"]),
    ("withdrawn", None, [False], [True]),
]


def document(path, first, value):
    doc = copy.deepcopy(BASE)
    parts = path.split(".")
    at = doc
    if parts[0] == "app":
        at = doc["apps"][0]
    elif parts[0] == "group":
        doc["target"] = {"group": "g"}
    elif parts[0] == "bare":
        del doc["apps"]
    if parts[0] in ("app", "group", "bare"):
        parts = parts[1:]
    if first is not None:
        at[parts[0]] = copy.deepcopy(first)
    for part in parts[:-1]:
        at = at[int(part) if isinstance(at, list) else part]
    at[int(parts[-1]) if isinstance(at, list) else parts[-1]] = value
    return doc


cases = [("control", BASE, True, [])]
for path, first, good, bad in ROWS:
    if path.split(".")[-1] in sys.argv[3:]:
        continue
    for takes, values in ((True, good), (False, bad)):
        for value in values:
            who = value.who if isinstance(value, Otherwise) else []
            value = value.value if isinstance(value, Otherwise) else value
            cases.append(("%s = %.60s" % (path, json.dumps(value)), document(path, first, value), takes, who))
answers = subprocess.run([sys.argv[1]], input="".join(json.dumps(doc) + "\n" for _, doc, _, _ in cases), capture_output=True, text=True, check=True).stdout.splitlines()
schema = Draft202012Validator(json.load(open(sys.argv[2])), format_checker=FormatChecker())
failed = 0
for (name, doc, takes, who), answer in zip(cases, answers, strict=True):
    agent, fleet = answer.split("\t")
    errors = [e.message for e in schema.iter_errors(doc)]
    for reader, why in (("agent", agent), ("fleet", fleet), ("schema", errors[0] if errors else "ok")):
        if (why == "ok") != (takes != (reader in who)):
            failed += 1
            print("FAIL %s: %s, by %s: %.100s" % (name, "refused" if why != "ok" else "taken", reader, why))
print("%d documents, %d wrong verdicts" % (len(cases), failed))
sys.exit(failed > 0)
