#!/usr/bin/env python3
"""The declarations at the head of a function are followed by a blank line. usage: declarations.py FILE..."""
import re
import sys

TYPES = r"(?:struct \w+|enum \w+|union \w+|int|bool|char|void|long|short|float|double|s?size_t|\w+_t|va_list|FILE|DIR|cJSON|CURLM?)"
DECLARATION = re.compile(r"    (?:_Static_assert\(|(?:static|const|volatile|unsigned|signed|AUTO_\w+(?:\([^)]*\))?) |%s [*(]*\w)" % TYPES)
DATA = re.compile(r"(static |const )*(struct|enum|union)\b[^(]*$")
# comments, texts and letters: same number of lines, nothing in them
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)\'', re.S)


def bare(text):
    return NOISE.sub(lambda m: '""' * (m[0][0] == '"') + "\n" * m[0].count("\n"), text).split("\n")


def first_statement(lines, code, at):
    """The line after the declarations that begin at this one, None when there are none."""
    declared, depth, whole = False, 0, True
    while at < len(lines):
        if whole and code[at].strip() and not code[at].startswith("#"):
            if not DECLARATION.match(code[at]):
                return at if declared else None
            declared = True
        depth += sum(code[at].count(c) for c in "{(") - sum(code[at].count(c) for c in "})")
        if code[at].strip() and not code[at].startswith("#"):
            whole = depth == 0 and code[at].rstrip().endswith(";")
        at += 1
        if declared and whole and at < len(lines) and not lines[at].strip():
            return None
    return None


bad = 0
for path in sys.argv[1:]:
    text = open(path).read()
    lines, code = text.split("\n"), bare(text)
    for at, line in enumerate(lines):
        if line == "{" and not DATA.match(lines[at - 1]):
            first = first_statement(lines, code, at + 1)
            if first is not None and code[first] != "}":
                print("%s:%d: no blank line after the declarations" % (path, first + 1))
                bad += 1
sys.exit(bad > 0)
