#!/usr/bin/env python3
"""A person at a terminal: runs commands on one pseudo terminal, as a shell in the foreground would, and types.
usage: on_terminal.py STEP...
  run:COMMAND      start COMMAND (by sh) on the terminal
  type:TEXT        type it (\\n, \\r, \\x03 ... as in C; @FILE: what the file holds)
  see:REGEX        wait until it has been shown, at most 30 s (since the last see or clear)
  end:N            wait until the command has ended, its status must be N
  do:COMMAND       run COMMAND elsewhere; it must end with 0
  until:COMMAND    run COMMAND elsewhere again and again until it ends with 0, at most 30 s
  never:REGEX      must not have been shown since the last clear
  clear            forget what was shown
Ends with 0 when all steps went as they say; what was shown is printed when not."""
import codecs
import os
import re
import select
import subprocess
import sys
import time

master, slave = os.openpty()
shown, mark, process = b"", 0, None


def look(seconds):
    global shown
    if select.select([master], [], [], seconds)[0]:
        shown += os.read(master, 65536)


def fail(step):
    print("step %r failed; the terminal shows:\n%s" % (step, shown.decode(errors="replace")))
    if process and process.poll() is None:
        process.kill()
    sys.exit(1)


def until(test, step):
    end = time.time() + 180
    while not test():
        if time.time() > end:
            fail(step)
        look(0.1)


def seen(regex):
    global mark
    hit = re.search(regex.encode(), shown[mark:])
    if hit:
        mark += hit.end()
    return hit


def type_slowly(text):  # a line discipline holds 4095 bytes: give the reader time to take them
    while text:
        text = text[os.write(master, text[:512]):]
        look(0.01)


def quiet(command):
    return subprocess.run(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


for step in sys.argv[1:]:
    word, _, rest = step.partition(":")
    if word == "run":
        process = subprocess.Popen(["setsid", "-c", "sh", "-c", rest], stdin=slave, stdout=slave, stderr=slave)
    elif word == "type":
        type_slowly(open(rest[1:], "rb").read() if rest.startswith("@") else codecs.decode(rest, "unicode_escape").encode("latin-1"))
    elif word == "see":
        until(lambda: seen(rest), step)
    elif word == "end":
        until(lambda: process.poll() is not None, step)
        look(0.1)
        if process.returncode != int(rest):
            fail("%s: ended with %d" % (step, process.returncode))
    elif word == "do":
        if quiet(rest) != 0:
            fail(step)
    elif word == "until":
        until(lambda: quiet(rest) == 0, step)
    elif word == "never":
        look(0.3)
        if re.search(rest.encode(), shown):
            fail(step)
    elif word == "clear":
        look(0.1)
        shown, mark = b"", 0
    else:
        fail(step)
