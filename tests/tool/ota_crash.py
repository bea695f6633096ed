"""SIGKILL at many points of an install; then start again, install again: the tree is right and every name holds what it names."""
import random
import time

from ota_image import *

ROUNDS = int(os.environ.get("OTA_CRASH_ROUNDS", "30"))
F, D, S, H = T.REGTYPE, T.DIRTYPE, T.SYMTYPE, T.LNKTYPE


def image(path, seed):
    rnd = random.Random(seed)
    files = [member("d%d/f%d" % (n % 7, n), data=rnd.randbytes(rnd.randrange(1, 30000)), mode=0o600 + n % 64) for n in range(150)]
    big = member("big", data=rnd.randbytes(600000))
    second = [member("d1/.wh..wh..opq"), member("d2/.wh.f2"), member("d1/new", data=b"n" * 5000), member("l", S, link="d1/new"), member("h", H, link="big")]
    return Layout(path, [tar(*files, big), tar(*second)])


def kill_install(store, layout, after):
    e = dict(os.environ, UNTAR=os.path.join(BUILD, "bin", "agentd-untar"))
    p = subprocess.Popen([TOOL, store, "install", layout.digest], env=e, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    p.kill()
    p.wait()


def install_puts(store, layout):
    kind, out, err = tool(store, "put", *layout.files())
    if kind:
        raise RuntimeError(err)


def recovers(c, store, layout, want, where):
    named = os.path.exists(rootfs(store, layout.digest))
    if named: # the name is there: it must be whole now, before anything is repaired
        ok = tree(rootfs(store, layout.digest)) == want
        c.check(ok, "%s: named but not whole" % where)
    kind, out, err = tool(store, "list")
    for _ in range(100): # a child of the killed one that has not executed its program yet holds the lock; agentd waits for it too
        if kind != "conflict":
            break
        time.sleep(0.02)
        kind, out, err = tool(store, "list")
    c.check(kind == "" and os.listdir(os.path.join(store, "tmp")) == [], "%s: start: %s" % (where, err))
    kind, out, err = tool(store, "install", layout.digest)
    ok = kind == "" and tree(rootfs(store, layout.digest)) == want
    c.check(ok, "%s: again: %s %s" % (where, kind, err))
    complaints = check_store(store)
    c.check(complaints == [], "%s: %s" % (where, complaints[:3]))
    return ok and not complaints


def main():
    with Case() as c:
        layout, other = image(c.path("a"), 1), image(c.path("b"), 2)
        kind, out, err = install(c.path("ref"), layout)
        c.check(kind == "", err)
        want = tree(rootfs(c.path("ref"), layout.digest))
        install_puts(c.path("time"), other)
        start = time.time()
        tool(c.path("time"), "install", other.digest)
        whole = time.time() - start
        random.seed(int(os.environ.get("OTA_CRASH_SEED", "11")))
        bad, named = 0, 0
        for n in range(ROUNDS):
            store = c.path("s%d" % n)
            install_puts(store, layout)
            kill_install(store, layout, random.uniform(0, whole))
            named += os.path.exists(rootfs(store, layout.digest))
            bad += not recovers(c, store, layout, want, "round %d" % n)
            shutil.rmtree(store)
        print("killed %d installs at random: %d had got their name, %d bad" % (ROUNDS, named, bad))


main()
