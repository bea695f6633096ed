"""Images from a real registry, from directories and over cut lines; what is installed equals what umoci unpacks."""
import random
import re
import signal
import socket
import threading
import time

from ota_image import *

F, D, S, H = T.REGTYPE, T.DIRTYPE, T.SYMTYPE, T.LNKTYPE


def free_port():
    for _ in range(100):
        port = random.randrange(20001, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    skip("no free port")


class Registry:
    """A docker-registry on loopback; ended by its pid."""

    def __init__(self, root, port, auth=None):
        self.port, self.process = port, None
        self.config = os.path.join(root, "registry.yml")
        with open(self.config, "w") as f:
            f.write("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: '127.0.0.1:%d'}\n"
                    "log: {level: error, accesslog: {disabled: true}}\n" % (os.path.join(root, "registry"), port))
        self.start()

    def start(self):
        self.process = subprocess.Popen(["docker-registry", "serve", self.config], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("registry does not start")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.process = None

    def push(self, layout, name):
        subprocess.run(["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "oci:%s:t" % layout.path,
                        "docker://127.0.0.1:%d/%s" % (self.port, name)], check=True, stdout=subprocess.DEVNULL)


class Proxy:
    """A TCP proxy that counts what it passes on to the client and cuts after so many bytes of a connection."""

    def __init__(self, to_port):
        self.to_port, self.sent, self.cut_at, self.requests = to_port, 0, None, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.to_port), 5)
        except OSError:
            client.close()
            return
        threading.Thread(target=self.up, args=(client, server), daemon=True).start()
        passed = 0
        try:
            while True:
                data = server.recv(16384)
                if not data:
                    break
                if self.cut_at is not None and passed + len(data) > self.cut_at:
                    data = data[:self.cut_at - passed]
                    client.sendall(data)
                    self.sent += len(data)
                    break
                client.sendall(data)
                passed += len(data)
                self.sent += len(data)
        except OSError:
            pass
        for s in (client, server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def up(self, client, server):
        try:
            while True:
                data = client.recv(16384)
                if not data:
                    return
                self.requests += re.findall(rb"^[Rr]ange: (\S+)", data, re.M)
                server.sendall(data)
        except OSError:
            pass


def layered(path, seed=1, extra=b""):
    """Three layers with deletions, opaque directories, links, owners, modes; the last with its whiteouts behind its files."""
    rnd = random.Random(seed)
    base = tar(
        member("bin", D, mode=0o755), member("bin/busybox", data=open(shutil.which("busybox"), "rb").read(), mode=0o755),
        member("bin/sh", S, link="busybox"), member("bin/hard", H, link="bin/busybox"),
        member("etc", D, mode=0o755), member("etc/motd", data=b"hello\n", uid=5, gid=6, mode=0o600), member("etc/empty"),
        member("etc/gone", data=b"x"), member("srv", D, mode=0o750, uid=9), member("srv/a", data=b"a"), member("srv/b/c", data=b"c"),
        member("opt", D), member("opt/old/x", data=b"x"), member("opt/old/y", D), member("opt/keep", data=b"k"),
        member("link", S, link="/etc"), member("tmp", D, mode=0o1777), member("n" * 180 + "/" + "m" * 200, data=b"long"))
    second = tar(
        member("etc/.wh.gone"), member("srv/new", data=b"new"), member("srv/.wh..wh..opq"), member("srv/b", D), member("srv/b/n", data=b"n"),
        member("opt/.wh.old"), member("bin/copy", data=open(shutil.which("busybox"), "rb").read(), mode=0o755),
        member("link", D), member("link/inside", data=b"i"), member("opt/.wh.never"), member("same", H, link="etc/motd"))
    third = tar(member("opt/old", data=b"now a file"), member("data", data=rnd.randbytes(700000) + extra), member("opt/.wh.keep"),
                member("opt/keep2", data=b"2"))
    return Layout(path, [base, second, third])


def umoci_tree(c, layout, name):
    bundle = c.path(name)
    subprocess.run(["umoci", "unpack", "--image", layout.path + ":t", bundle], check=True, stdout=subprocess.DEVNULL)
    return tree(os.path.join(bundle, "rootfs"))


def url(port, name):
    return "http://127.0.0.1:%d/%s" % (port, name)


def try_pull(c, registry):
    image = layered(c.path("i"))
    registry.push(image, "demo/web")
    want = umoci_tree(c, image, "u")
    for n, source in enumerate((url(registry.port, "demo/web"), "dir:" + image.path)):
        store = c.path("pull%d" % n)
        kind, out, err = tool(store, "fetch", image.digest, image.size, "--", source)
        c.check(kind == "", err)
        kind, out, err = tool(store, "install", image.digest)
        c.check(kind == "", err)
        c.check(differences(tree(rootfs(store, image.digest)), want) == [], differences(tree(rootfs(store, image.digest)), want))
        root = rootfs(store, image.digest)
        inode = lambda f: os.lstat(os.path.join(root, f)).st_ino
        c.check(inode("bin/busybox") == inode("bin/hard") == inode("bin/copy"), "the same content is not one file")
        c.check(all(os.path.isdir(os.path.join(root, d)) for d in ("proc", "sys", "dev", "tmp", "run", "etc")), "mount points")
        c.check(os.path.exists(os.path.join(root, "etc/resolv.conf")), "etc/resolv.conf")
        blobs = set(os.listdir(os.path.join(store, "blobs")))
        c.check(not blobs & {d["digest"].split(":")[1] for d in image.layers}, "layers were not dropped")
        for complaint in check_store(store):
            c.check(False, complaint)
        kind, out, err = tool(store, "install", image.digest)
        c.check(kind == "", "again: " + err)
    return image


def try_update(c, registry):
    """The next version shares two layers: they are neither fetched nor unpacked again."""
    old, new = layered(c.path("old")), layered(c.path("new"), seed=2)
    registry.push(old, "demo/up")
    registry.push(new, "demo/up")
    proxy, store = Proxy(registry.port), c.path("update")
    for image in (old, new):
        proxy.sent = 0
        kind, out, err = tool(store, "fetch", image.digest, image.size, "--", url(proxy.port, "demo/up"))
        c.check(kind == "", err)
        kind, out, err = tool(store, "install", image.digest)
        c.check(kind == "", err)
        c.check(differences(tree(rootfs(store, image.digest)), umoci_tree(c, image, "uu%s" % image.digest[-8:])) == [], "tree of an update")
        print("fetched for %s: %d bytes" % ("old" if image is old else "new", proxy.sent))
    c.check(proxy.sent < 720000 + 10000, "shared layers were fetched again: %d" % proxy.sent)
    kind, out, err = tool(store, "collect", new.digest)
    c.check(kind == "" and int(out) > 690000, "collect freed %s" % out)
    has = [tool(store, "has-layer", d["digest"])[1].strip() for d in new.layers + old.layers[2:]]
    c.check(has == ["1", "1", "1", "0"], "layers that need not be fetched: %s" % has)
    c.check(not os.path.exists(rootfs(store, old.digest)) and tool(store, "list")[1].startswith(new.digest), "collect")
    c.check(differences(tree(rootfs(store, new.digest)), umoci_tree(c, new, "after")) == [], "collect touched a kept image")
    kind, out, err = tool(store, "collect", new.digest, env={"PRESSED": "1"})
    has = [tool(store, "has-layer", d["digest"])[1].strip() for d in new.layers]
    c.check(has[0] == "0" and int(out) > 0, "hidden files stay when space is needed: %s, freed %s" % (has, out))
    c.check(differences(tree(rootfs(store, new.digest)), umoci_tree(c, new, "pressed")) == [], "collect touched a kept image")
    kind, out, err = tool(store, "fetch", new.digest, new.size, "--", url(proxy.port, "demo/up"))
    tool(store, "collect")
    left = [f for _, _, fs in os.walk(os.path.join(store, "objects")) for f in fs]
    c.check(left == [], "collect of all leaves %s" % left)


def try_cuts(c, registry):
    """The line is cut again and again; each byte of the layer is sent about once."""
    image = layered(c.path("cut"), seed=3)
    registry.push(image, "demo/cut")
    proxy, store = Proxy(registry.port), c.path("cuts")
    proxy.cut_at = 200000
    total = sum(d["size"] for d in image.layers)
    kind, out, err = tool(store, "fetch", image.digest, image.size, "--", url(proxy.port, "demo/cut"))
    c.check(kind == "", err)
    c.check(len(proxy.requests) >= total // 200000 - 2, "ranges asked: %s" % proxy.requests)
    c.check(proxy.sent < total * 1.1 + 10000, "sent %d for %d" % (proxy.sent, total))
    print("cut every 200000 bytes: sent %d for %d" % (proxy.sent, total))
    c.check(tool(store, "install", image.digest)[0] == "", "install after cuts")


def try_restart(c, registry):
    """The registry is killed in the middle of a layer, stays away for a while and comes back; also our own process is killed."""
    image = layered(c.path("kill"), seed=4, extra=random.Random(9).randbytes(8 << 20))
    registry.push(image, "demo/kill")
    store = c.path("kills")
    proxy = Proxy(registry.port)
    proxy.cut_at = 3 << 20
    timer = threading.Timer(0.1, registry.stop)
    timer.start()
    again = threading.Timer(2.0, registry.start)
    again.start()
    kind, out, err = tool(store, "fetch", image.digest, image.size, "--", url(proxy.port, "demo/kill"))
    again.join()
    c.check(kind == "", "registry killed: " + err)
    store, proxy = c.path("kills2"), Proxy(registry.port)
    proxy.cut_at = 1 << 20
    had = 0
    for n, deadline_ms in enumerate((100, 100, 100, 400, 1600, 6400)): # a process that dies with its deadline leaves its bytes for the next
        if n < 3 or had == 0: # a busy machine does not begin within the first ones
            tool(store, "fetch", image.digest, image.size, "--", url(proxy.port, "demo/kill"), env={"DEADLINE_MS": str(deadline_ms)})
            had = sum(os.path.getsize(os.path.join(store, "partial", f)) for f in os.listdir(os.path.join(store, "partial")))
    proxy.cut_at = None
    proxy.sent = 0
    kind, out, err = tool(store, "fetch", image.digest, image.size, "--", url(proxy.port, "demo/kill"))
    c.check(kind == "" and had > 0, "after deadlines: %d there, %s" % (had, err))
    total = sum(d["size"] for d in image.layers)
    print("processes died with %d bytes there; the next was sent %d of %d" % (had, proxy.sent, total))
    c.check(proxy.sent < total - had + 50000, "sent %d with %d there" % (proxy.sent, had))


def try_several_sources(c, registry):
    image = layered(c.path("several"), seed=5)
    empty = c.path("empty-layout")
    os.makedirs(os.path.join(empty, "blobs", "sha256"))
    store = c.path("several-store")
    kind, out, err = tool(store, "fetch", image.digest, image.size, "--", url(registry.port, "no/such"), "dir:" + empty, "dir:" + image.path)
    c.check(kind == "", "third source: " + err)
    start = time.time()
    kind, out, err = tool(c.path("none"), "fetch", "sha256:" + "0" * 64, 100, "--", url(registry.port, "no/such"), "dir:" + empty)
    c.check(kind == "not-found" and time.time() - start < 60, "nowhere: %s %s after %.1f s" % (kind, err, time.time() - start))
    wrong = Layout(c.path("wrongbytes"), [tar(member("f", data=b"x" * 5000))])
    layer = os.path.join(wrong.blobs, wrong.layers[0]["digest"].split(":")[1])
    data = bytearray(open(layer, "rb").read())
    data[len(data) // 2] ^= 1
    open(layer, "wb").write(data)
    store = c.path("wrong-store")
    kind, out, err = tool(store, "fetch", wrong.digest, wrong.size, "--", "dir:" + wrong.path)
    c.check(kind == "integrity", "wrong digest: %s %s" % (kind, err))
    c.check(os.listdir(os.path.join(store, "partial")) == [] and tool(store, "install", wrong.digest)[0] == "not-found", "wrong bytes kept")
    os.remove(layer)
    os.symlink("/etc/passwd", layer)
    c.check(tool(c.path("ln"), "fetch", wrong.digest, wrong.size, "--", "dir:" + wrong.path)[0] == "not-found", "a link as blob")


def try_unknown_size(c, registry):
    """A document without a signed size; a partial of it, whole or half or wrong, is no obstacle."""
    image = layered(c.path("unknown"), seed=6)
    registry.push(image, "demo/unknown")
    for n, there in enumerate((b"", image.manifest_bytes[:100], image.manifest_bytes, b"x" * 500)):
        for source in (url(registry.port, "demo/unknown"), "dir:" + image.path):
            store = c.path("un%d" % n + source[:3])
            tool(store, "list")
            if there:
                with open(os.path.join(store, "partial", image.digest[7:]), "wb") as f:
                    f.write(there)
            kind, out, err = tool(store, "fetch", image.digest, 0, "--", source)
            c.check(kind == "", "%d bytes there, %s: %s" % (len(there), source, err))
    big = Layout(c.path("bigdoc"), [tar(member("f", data=random.randbytes(100000)))])
    kind, out, err = tool(c.path("bigdoc-s"), "fetch", big.layers[0]["digest"], 0, "BLOB", "--", "dir:" + big.path)
    c.check(kind == "source", "more than a document may have: %s %s" % (kind, err))


def main():
    for program in ("docker-registry", "skopeo", "umoci", "busybox"):
        if not shutil.which(program):
            skip("no " + program)
    with Case() as c:
        registry = Registry(c.dir, free_port())
        try:
            for part in (try_pull, try_update, try_cuts, try_restart, try_several_sources, try_unknown_size):
                part(c, registry)
        finally:
            registry.stop()


main()
