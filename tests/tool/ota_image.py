"""Images for tests: tar layers that may lie, OCI layouts, and a comparison of trees. Standard library only."""
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile

BUILD = os.environ.get("BUILD", "build")
TOOL = os.path.join(BUILD, "bin", "ota-tool")
KINDS = {1: "invalid", 2: "integrity", 3: "denied", 4: "conflict", 5: "not-found", 6: "no-space", 7: "no-memory", 8: "io",
         9: "network", 10: "timeout", 11: "unsupported", 12: "source"}
T = tarfile


def skip(why):
    print("skipped: " + why)
    sys.exit(77)


def member(name, kind=T.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, link="", pax=None, fmt=T.PAX_FORMAT):
    """One entry: header(s), content, padding."""
    info = T.TarInfo(name)
    info.type, info.mode, info.uid, info.gid, info.linkname, info.mtime = kind, mode, uid, gid, link, 1000
    info.size = len(data) if kind == T.REGTYPE else 0
    if kind in (T.CHRTYPE, T.BLKTYPE):
        info.devmajor, info.devminor = 1, 3
    info.pax_headers = pax or {}
    out = info.tobuf(fmt, "utf-8", "surrogateescape")
    return out + data + b"\0" * (-len(data) % 512) if info.size else out


def raw(name, kind=b"0", data=b"", link=b"", size=None, mode=b"0000644\0", size_field=None):
    """A header with every field under the caller's hand."""
    size = len(data) if size is None else size
    h = bytearray(512)
    name = name if isinstance(name, bytes) else name.encode()
    h[0:len(name)] = name
    h[100:108] = mode
    h[108:124] = b"0000000\0" * 2
    h[124:136] = size_field or b"%011o\0" % size
    h[136:148] = b"00000000000\0"
    h[156:157] = kind
    h[157:157 + len(link)] = link
    h[257:265] = b"ustar\00000"
    h[148:156] = b" " * 8
    h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h) + data + b"\0" * (-len(data) % 512)


def tar(*members):
    return b"".join(members) + b"\0" * 1024


class Layout:
    """An OCI image layout directory with one image."""

    def __init__(self, path, layers, diff_ids=None, packed=None, codec="gzip", cmd=("/bin/sh",)):
        self.path = path
        self.blobs = os.path.join(path, "blobs", "sha256")
        os.makedirs(self.blobs, exist_ok=True)
        packed = packed or [gzip.compress(b, 6, mtime=0) if codec == "gzip" else b for b in layers]
        diff_ids = diff_ids or ["sha256:" + hashlib.sha256(b).hexdigest() for b in layers]
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": list(cmd)},
                             "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": []}).encode()
        media = "application/vnd.oci.image."
        self.layers = [self.put(b) for b in packed]
        self.manifest_bytes = json.dumps({
            "schemaVersion": 2, "mediaType": media + "manifest.v1+json",
            "config": {"mediaType": media + "config.v1+json", **self.put(config)},
            "layers": [{"mediaType": media + "layer.v1.tar" + ("+" + codec if codec in ("gzip", "zstd") else ""), **d}
                       for d in self.layers]}).encode()
        entry = self.put(self.manifest_bytes)
        self.digest, self.size = entry["digest"], entry["size"]
        with open(os.path.join(path, "oci-layout"), "w") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        with open(os.path.join(path, "index.json"), "w") as f:
            json.dump({"schemaVersion": 2, "manifests": [{"mediaType": media + "manifest.v1+json", **entry, "annotations": {
                "org.opencontainers.image.ref.name": "t"}}]}, f)

    def put(self, data):
        digest = hashlib.sha256(data).hexdigest()
        with open(os.path.join(self.blobs, digest), "wb") as f:
            f.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    def files(self):
        return [os.path.join(self.blobs, n) for n in sorted(os.listdir(self.blobs))]


def tool(store, *args, env=None, timeout=600):
    """Run ota-tool; returns (kind or "", stdout, stderr)."""
    e = dict(os.environ, UNTAR=os.path.join(BUILD, "bin", "agentd-untar"), FETCH=os.path.join(BUILD, "bin", "agentd-fetch"))
    e.update(env or {})
    p = subprocess.run([TOOL, store, *map(str, args)], env=e, timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    kind = "" if p.returncode == 0 else KINDS.get(p.returncode, "exit %d" % p.returncode)
    return kind, p.stdout.decode(), p.stderr.decode()


def install(store, layout, *limits, env=None):
    kind, out, err = tool(store, "put", *layout.files(), env=env)
    if kind:
        return kind, out, err
    return tool(store, "install", layout.digest, *limits, env=env)


def rootfs(store, digest):
    return os.path.join(store, "images", digest.split(":")[1], "rootfs")


def sha256(path):
    """Of a file's bytes."""
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def tree(path, digest=sha256):
    """What a tree holds, as a dict of text: type, mode, owner, content or target. Times are not kept."""
    out = {}
    for base, dirs, files in os.walk(path):
        for n in dirs + files + ([""] if base == path else []):
            p = os.path.join(base, n) if n else base
            st = os.lstat(p)
            what = "%o %d:%d" % (st.st_mode, st.st_uid, st.st_gid)
            if stat.S_ISLNK(st.st_mode):
                what = "link %d:%d %s" % (st.st_uid, st.st_gid, os.readlink(p))
            elif stat.S_ISREG(st.st_mode):
                what += " " + digest(p)
            out[os.path.relpath(p, path)] = what
    return out


OURS = {"proc", "sys", "dev", "tmp", "run", "etc", "etc/hosts", "etc/resolv.conf", "etc/hostname", "."}


def differences(a, b):
    """Paths that differ, but for the mount points that every rootfs of ours has, and set-id bits."""
    clean = lambda t: {k: v for k, v in t.items()}
    a, b = clean(a), clean(b)
    return sorted(k for k in set(a) | set(b)
                  if a.get(k) != b.get(k) and not (k in OURS and (k not in a or k not in b or k == ".")))


def check_store(store, digest_of=sha256):
    """L13: every name holds what it names; nothing is left in tmp. Returns complaints."""
    bad = []
    for base, _, files in os.walk(os.path.join(store, "objects")):
        for n in files:
            p = os.path.join(base, n)
            digest, mode, uid, gid = n.split(".")
            st = os.lstat(p)
            if digest_of(p) != digest:
                bad.append("object %s holds something else" % n)
            if (st.st_mode & 0o7777, st.st_uid, st.st_gid) != (int(mode, 8), int(uid, 16), int(gid, 16)):
                bad.append("object %s has other metadata" % n)
    for n in os.listdir(os.path.join(store, "blobs")):
        if digest_of(os.path.join(store, "blobs", n)) != n:
            bad.append("blob %s holds something else" % n)
    for base, dirs, files in os.walk(store):
        for n in dirs + files:
            st = os.lstat(os.path.join(base, n))
            if stat.S_IMODE(st.st_mode) & 0o6000 and not stat.S_ISLNK(st.st_mode):
                bad.append("set-id: " + os.path.join(base, n))
            if not (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode) or stat.S_ISLNK(st.st_mode)):
                bad.append("special file: " + os.path.join(base, n))
    return bad


class Case:
    """Counts checks; a scratch directory that goes in any case."""

    def __init__(self):
        self.failed = self.count = 0
        self.dir = tempfile.mkdtemp(prefix="ota-test-")
        os.chmod(self.dir, 0o755)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def check(self, ok, what):
        self.count += 1
        if not ok:
            self.failed += 1
            print("failed: " + str(what))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.dir, ignore_errors=True)
        if exc[0] is None:
            print("%d checks, %d failed" % (self.count, self.failed))
            sys.exit(1 if self.failed or not self.count else 0)
