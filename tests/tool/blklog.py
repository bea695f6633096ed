"""What a block device was told, in order, and what of it survives when power goes.

A qemu-storage-daemon exports a disk image through its blklogwrites driver (the log has dm-log-writes' format) over FUSE; a loop device
on that carries a file system, and native programs write to it. Afterwards the disk as it was after any write is made again: all
that was written before the last flush, and of what came after it everything, or some writes, or parts of sectors of some. Standard
library only; Linux, root."""
import ctypes
import fcntl
import os
import random
import signal
import struct
import subprocess
import time

SECTOR = 512
MAGIC, FLUSH, FUA, DISCARD = 0x6A736677736872, 1, 2, 4
LOOP_SET_FD, LOOP_CLR_FD, LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82
libc = ctypes.CDLL(None, use_errno=True)


def _call(name, *args):
    if getattr(libc, name)(*args) < 0:
        e = ctypes.get_errno()
        raise OSError(e, "%s: %s" % (name, os.strerror(e)))


class Loop:
    """A loop device of a file, gone at the end."""

    def __init__(self, path):
        ctl, back = os.open("/dev/loop-control", os.O_RDWR), os.open(path, os.O_RDWR)
        try:
            for _ in range(200): # others look for a free one at the same time
                self.name = "/dev/loop%d" % fcntl.ioctl(ctl, LOOP_CTL_GET_FREE)
                if not os.path.exists(self.name): # a container's /dev does not grow by itself
                    os.mknod(self.name, 0o600 | 0o060000, os.makedev(7, int(self.name[9:])))
                self.fd = os.open(self.name, os.O_RDWR)
                try:
                    fcntl.ioctl(self.fd, LOOP_SET_FD, back)
                    return
                except OSError:
                    os.close(self.fd)
                    time.sleep(0.01)
            raise OSError("no free loop device")
        finally:
            os.close(back)
            os.close(ctl)

    def close(self):
        if self.fd >= 0:
            fcntl.ioctl(self.fd, LOOP_CLR_FD)
            os.close(self.fd)
        self.fd = -1


def own_mounts():
    """What this process mounts is seen by nobody else: a copy in another's mount namespace would keep the file system alive, and
    it would write to the disk after it was unmounted here."""
    _call("unshare", 0x00020000)
    _call("mount", b"none", b"/", None, 0x40000 | 0x4000, None) # private, all below


class Mount:
    """with Mount(image, directory): the image's file system is there, journal replayed by the kernel."""

    def __init__(self, image, directory, kind="ext4", options=b""):
        self.directory = directory.encode()
        self.loop = Loop(image)
        try:
            _call("mount", self.loop.name.encode(), self.directory, kind.encode(), 0, options)
        except OSError:
            self.loop.close()
            raise

    def __enter__(self):
        return self.directory.decode()

    def __exit__(self, *exc):
        try:
            _call("umount2", self.directory, 0)
        finally:
            self.loop.close()


class Recorder:
    """Exports a copy of an image so that every write to it is logged."""

    def __init__(self, image, log, export, output):
        open(log, "wb").close()
        open(export, "wb").close()
        blk = "driver=%s,node-name=%s,filename=%s"
        self.log, self.export = log, export
        self.daemon = subprocess.Popen(
            ["qemu-storage-daemon", "--blockdev", blk % ("file", "f", image), "--blockdev", blk % ("file", "l", log), "--blockdev",
             "driver=blklogwrites,node-name=b,file=f,log=l,log-sector-size=%d,log-super-update-interval=1" % SECTOR,
             "--export", "type=fuse,id=e,node-name=b,mountpoint=%s,writable=on" % export], stdout=output, stderr=output)
        for _ in range(200):
            if os.stat(export).st_size or self.daemon.poll() is not None:
                break
            time.sleep(0.02)
        if not os.stat(export).st_size:
            self.close()
            raise OSError("qemu-storage-daemon exports nothing")

    def entries(self):
        """How many were logged by now: what is durable is before."""
        with open(self.log, "rb") as f:
            return struct.unpack("<QQQI", f.read(28))[2]

    def close(self):
        if self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()


class Entry:
    __slots__ = ("at", "size", "flags", "data")


def read_log(path):
    """All entries; the bytes stay in the log file and are read when they are needed."""
    out = []
    with open(path, "rb") as f:
        magic, _, count, sector = struct.unpack("<QQQI", f.read(28))
        if magic != MAGIC or sector != SECTOR:
            raise ValueError("%s is no log of writes" % path)
        at = SECTOR
        for _ in range(count):
            f.seek(at)
            first, n, flags, _ = struct.unpack("<QQQQ", f.read(32))
            e = Entry()
            e.at, e.size, e.flags, e.data = first * SECTOR, n * SECTOR, flags, at + SECTOR
            at += SECTOR + (0 if flags & DISCARD else e.size)
            out.append(e)
    return out


class Replay:
    """Disks as they were, or may have been, after power went."""

    def __init__(self, base, log, work):
        self.log, self.entries = open(log, "rb"), read_log(log)
        self.durable, self.done = os.path.join(work, "durable"), 0 # the base and the first `done` entries
        self.scratch, self.size = os.path.join(work, "scratch"), os.path.getsize(base)
        self._copy(base, self.durable)

    def _copy(self, source, to):
        """Sparse and in place: only what holds data is copied."""
        if os.path.exists(to):
            os.unlink(to)
        a, b = os.open(source, os.O_RDONLY), os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.truncate(b, self.size)
        end = 0
        while True:
            try:
                start = os.lseek(a, end, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(a, start, os.SEEK_HOLE)
            os.lseek(b, start, os.SEEK_SET)
            os.sendfile(b, a, start, end - start)
        os.close(a)
        os.close(b)

    def _write(self, f, e, keep=None):
        if e.flags & DISCARD or not e.size:
            return
        self.log.seek(e.data)
        data = self.log.read(e.size)
        if keep is None:
            os.pwrite(f, data, e.at)
            return
        for s in keep: # some sectors of it only
            os.pwrite(f, data[s * SECTOR:(s + 1) * SECTOR], e.at + s * SECTOR)

    def _advance(self, count):
        """Points come in rising order, so each entry is written once."""
        if count < self.done:
            raise ValueError("points must rise")
        f = os.open(self.durable, os.O_RDWR)
        for e in self.entries[self.done:count]:
            self._write(f, e)
        os.close(f)
        self.done = count

    def last_flush(self, cut):
        while cut > 0 and not self.entries[cut - 1].flags & FLUSH:
            cut -= 1
        return cut

    def prefix(self, cut):
        """The first `cut` entries, whole."""
        self._advance(cut)
        self._copy(self.durable, self.scratch)
        return self.scratch

    def some(self, cut, rnd):
        """What was flushed before `cut`, and of the writes since then any, in any state."""
        first = self.last_flush(cut)
        self._advance(first)
        self._copy(self.durable, self.scratch)
        f = os.open(self.scratch, os.O_RDWR)
        share = rnd.choice((0.1, 0.5, 0.9))
        for e in self.entries[first:cut]:
            if e.flags & FUA or rnd.random() < share:
                n = e.size // SECTOR
                torn = n > 1 and not e.flags & FUA and rnd.random() < 0.2
                torn = torn and not (e.at < 2048 and e.at + e.size > 1024) # ext4 itself does not outlive half a superblock
                self._write(f, e, sorted(rnd.sample(range(n), rnd.randrange(1, n))) if torn else None)
        os.close(f)
        return self.scratch
