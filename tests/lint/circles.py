"""circles.py SOURCE BUILD - circles of calls between the .c files of each directory, by the symbols of their objects."""
import json
import os
import re
import subprocess
import sys

FOLDERS = ["platform", "runtime", "ota", "agent", "fleet"]
INTERNAL = re.compile(r'^#include "(?:[^"]*/)?([^"/]+_(?:int|priv)\.h)"', re.M)


def objects(source, build, directory):
    """(target, path of the source file, object) of what the build makes of this directory."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        for entry in json.load(f):
            file = os.path.relpath(entry["file"], source)
            if file.startswith(directory + os.sep):
                made = re.search(r" -o (\S*CMakeFiles/([^/]+)\.dir/\S+)", entry["command"])
                yield made.group(2), file, os.path.join(entry["directory"], made.group(1))


def symbols(path):
    defined, undefined = set(), set()
    for line in subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout.splitlines():
        words = line.split()
        if words[-2] == "U":
            undefined.add(words[-1])
        elif words[-2] in "TDBRC":
            defined.add(words[-1])
    return defined, undefined


def calls(source, build, directory):
    """Which file calls which: {file: {file: {symbol}}}."""
    seen = [(target, file, *symbols(path)) for target, file, path in objects(source, build, directory)]
    owners = {}
    for target, file, defined, _ in seen:
        for name in defined - {"main"}:
            owners.setdefault(name, {}).setdefault(file, set()).add(target)
    arrows = {}
    for target, file, _, undefined in seen:
        out = arrows.setdefault(file, {})
        for name in undefined:
            of = owners.get(name, {})
            near = [other for other in of if target in of[other]]  # two programs may have one name
            for other in near or of:
                if other != file:
                    out.setdefault(other, set()).add(name)
    return arrows


def circles(arrows):
    """Strongly connected components of more than one file (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in arrows.get(v, ()):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = []
            while not part or part[-1] != v:
                part.append(stack.pop())
            if len(part) > 1:
                found.append(sorted(part))

    sys.setrecursionlimit(10000)
    for v in sorted(arrows):
        if v not in index:
            visit(v)
    return found


def is_family(source, files):
    headers = [set(INTERNAL.findall(open(os.path.join(source, f), encoding="utf-8").read())) for f in files]
    return bool(set.intersection(*headers))


def main(source, build):
    lines, bad, families, lines_of = [], 0, 0, {}
    for directory in FOLDERS:
        arrows = calls(source, build, directory)
        for part in circles(arrows):
            line = directory + ": " + " ".join(sorted(os.path.basename(f)[:-2] for f in part))
            if is_family(source, part):
                families += 1
                continue
            lines.append(line)
            lines_of[line] = [f"  {os.path.basename(a)} -> {os.path.basename(b)}: {' '.join(sorted(arrows[a][b])[:4])}"
                              for a in part for b in sorted(arrows[a]) if b in part]
    with open(os.path.join(source, "tests/lint/circles.allowed"), encoding="utf-8") as f:
        allowed = {text.strip() for text in f if text.strip()}
    for line in sorted(set(lines) - allowed):
        print("a circle:", line, *lines_of[line], sep="\n")
        bad = 1
    for line in sorted(allowed - set(lines)):
        print("allowed, and is not there any more:", line)
        bad = 1
    if families == 0:
        print("control: no family calls itself, so no circle would be found")
        bad = 1
    print(f"{families} families, {len(lines)} circles are allowed")
    return bad


sys.exit(main(sys.argv[1], sys.argv[2]))
