"""Lists of chunks, and the chunk mode of the fetch program."""
import random
import struct
import time

from ota_image import *


def run_parts(c, parts, processes):
    """Each part is called with c, and how long it took is told; then the processes, of which the list may grow meanwhile, go."""
    try:
        for part in parts:
            start = time.time()
            part(c)
            print("part of %.1f s" % (time.time() - start), flush=True)
    finally:
        for p in processes:
            p.kill()
            p.wait()


def chunk_list(path, data, spans):
    with open(path, "wb") as f:
        for at, n in spans:
            f.write(struct.pack("<QII", at, n, 0) + hashlib.sha256(data[at:at + n]).digest()[:8])
    return path


def some_spans(size, seed, most=65536, keep=0.7):
    """Chunks of all sizes, some next to each other, some a little and some far apart, the last one at the very end."""
    r, at, spans = random.Random(seed), 0, []
    while at < size:
        n = min(r.randint(1, most), size - at)
        if r.random() < keep or at + n == size:
            spans.append((at, n))
        at += n + r.choice([0, 0, 0, 100, 3000])
    return spans


def wanted(data, spans):
    return b"".join(data[at:at + n] for at, n in spans)


def chunks(store, digest, size, path, *sources, env=None, timeout=600):
    """Returns (kind or "", bytes, bytes fetched, text)."""
    e = dict(os.environ, FETCH=os.path.join(BUILD, "bin", "agentd-fetch"), DEADLINE_MS="180000")
    e.update(env or {})
    p = subprocess.run([TOOL, store, "chunks", digest, str(size), path, "--", *sources], env=e, timeout=timeout,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    kind = "" if p.returncode == 0 else KINDS.get(p.returncode, "exit %d" % p.returncode)
    text = p.stderr.decode(errors="replace")
    fetched = [int(line.split()[1]) for line in text.splitlines() if line.startswith("fetched ")]
    return kind, p.stdout, fetched[0] if fetched else 0, text
