"""Numbers in the documents are those of the code: each line of the table finds one number in a document and its constant in a header or source. And the
table of a container's states in docs/architecture.md has a row for each of the decision's."""
import glob
import re
import sys

# document, the number in its sentence (one group), the constant, what one of the document's unit is in the constant's
NUMBERS = (
    ("docs/architecture.md", r"\(`platform/patience`: (\d+) s", "TURN_MS", 1000),
    ("docs/architecture.md", r"the keeper kills at (\d+) s", "KEEPER_DEAD_MIN_MS", 1000),
    ("docs/architecture.md", r"without it for (\d+) s", "KEEPER_DEAD_MIN_MS", 1000),
    ("docs/architecture.md", r"\((\d+) s without a hardware watchdog\)", "KEEPER_DEAD_MS", 1000),
    ("docs/architecture.md", r"as the keeper asks for: every (\d+) s", "KEEPER_PACE_MIN_MS", 1000),
    ("docs/architecture.md", r"watchdog allows, (\d+) s at most", "KEEPER_PACE_MS", 1000),
    ("docs/architecture.md", r"continue in the next turn after (\d+) ms", "ROUND_MS", 1),
    ("docs/architecture.md", r"a packet above (\d+) KiB", "LIM_MQTT_PACKET_BYTES", 1024),
    ("docs/architecture.md", r"of an answer (\d+) bytes are read", "ANSWER_BYTES", 1),
    ("docs/security.md", r"The MQTT packet cap \((\d+) KiB\)", "LIM_MQTT_PACKET_BYTES", 1024),
    ("docs/security.md", r"no_new_privs \| RLIMIT_DATA (\d+) MiB, in the age", "LINK_DATA_BYTES", 1 << 20),
    ("docs/security.md", r"the agent keeps (\d+) MiB for itself", "LIM_RESERVE_BYTES", 1 << 20),
    ("docs/protocol.md", r"will \((\d+) s after", "WILL_DELAY_S", 1),
    ("docs/protocol.md", r"Its session expires after (\d+) s", "SESSION_EXPIRY_S", 1),
    ("docs/protocol.md", r"rand\(0, min\((\d+) s", "LINK_RETRY_MAX_MS", 1000),
    ("docs/protocol.md", r"is given up after `min\((\d+) s", "LINK_DEADLINE_MAX_MS", 1000),
    ("docs/protocol.md", r"given up after `min\(240 s, (\d+) s", "LINK_DEADLINE_MS", 1000),
    ("docs/protocol.md", r"start over after (\d+) s", "LINK_STABLE_MS", 1000),
    ("docs/protocol.md", r"all documents within (\d+) h of", "LINK_REFRESH_MS", 3600000),
    ("docs/protocol.md", r"before that, at most (\d+) s", "LIM_RETRY_AFTER_S", 1),
    ("docs/protocol.md", r"begins (\d+) ms \* slot", "MANIFEST_TURN_MS", 1),
    ("docs/protocol.md", r"No mark within (\d+) s of silence", "ANSWER_MS", 1000),
    ("docs/protocol.md", r"SP payload`. At most (\d+) KiB", "LIM_ENVELOPE_BYTES", 1024),
    ("docs/protocol.md", r"expiry (\d+) s \| the answe", "REPLY_EXPIRY_S", 1),
    ("docs/protocol.md", r"blocks of (\d+) bytes, or what", "BLOCKS_BYTES", 1),
    ("docs/packs.md", r"helps\), at most (\d+) KiB raw", "LIM_CHUNK_RAW", 1024),
    ("docs/packs.md", r"decode alone \((\d+) KiB with lz4", "LIM_SEGMENT_LZ4_RAW", 1024),
    ("docs/packs.md", r"Trees up to (\d+) MiB", "LIM_TREE_BYTES", 1 << 20),
    ("docs/packs.md", r"Trees up to \d+ MiB, (\d+) bases", "PACK_BASES_MAX", 1),
    ("docs/man/agentd.8", r"silence for (\d+) seconds", "KEEPER_DEAD_MS", 1000),
)


def constants():
    """{name: [values]} of every #define that is a sum of plain numbers and other such names."""
    texts, found = {}, {}
    for path in sorted(glob.glob("[aforp]*/**/*.[ch]", recursive=True)):
        with open(path) as f:
            for m in re.finditer(r"^#define (\w+)\s+(.+?)(?:\s*/\*.*)?$", f.read(), re.M):
                texts.setdefault(m.group(1), []).append(m.group(2))
    for name, values in texts.items():
        for text in values:
            text = re.sub(r"\((?:u?int\w*|size_t)\)", "", re.sub(r"\b(\d+)(?:ULL|UL|U|L|u)\b", r"\1", text))
            if re.fullmatch(r"[\d\s()*+<-]+", text) and not re.search(r"\b0\d", text):
                found.setdefault(name, []).append(eval(text))
    return found


def rows_of_plan():
    """Rows of the decision's table in the code, and in the document."""
    for path in glob.glob("agent/**/*.c", recursive=True):
        with open(path) as f:
            m = re.search(r"box_table\[\] = \{\n(.*?)\n\};", f.read(), re.S)
        if m:
            code = len(re.findall(r"^\s*\{", m.group(1), re.M))
            break
    else:
        return 0, -1
    with open("docs/architecture.md") as f:
        table = f.read().split("| wanted | box |")[1].split("\n\n")[0]
    return code, table.count("\n|") - 1


def main():
    known, bad = constants(), 0
    for doc, sentence, name, unit in NUMBERS:
        with open(doc) as f:
            hits = re.findall(sentence, f.read())
        if not hits:
            print("%s: nothing there is like %r: has the sentence changed?" % (doc, sentence))
        elif name not in known:
            print("%s: no constant %s" % (doc, name))
        elif any(int(h) * unit not in known[name] for h in hits):
            print("%s: says %s where %s is %s" % (doc, hits, name, known[name]))
        else:
            continue
        bad += 1
    code, doc = rows_of_plan()
    if code != doc:
        print("docs/architecture.md: %d rows of what a container needs, the code has %d" % (doc, code))
        bad += 1
    sys.exit(bad > 0)


main()
