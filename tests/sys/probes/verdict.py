"""verdict.py - one trick, and what became of it."""
CONTAINED, ESCAPED, REFUSED, NO_START = "contained", "escaped", "refused", "did not start"


class Trick:
    """args, change, image: of the container (see Rig.bundle). bad: words whose sight is an escape. hang: seconds that it may take.
    before, after: run around it; more: for the call of the runtime."""

    def __init__(self, label, args, change=None, image=None, bad=None, hang=60, before=None, after=None, more=None):
        self.label, self.args, self.change, self.image, self.bad = label, args, change, image, bad
        self.hang, self.before, self.after, self.more = hang, before, after, more or {}


def one(g, t):
    """What is wrong after this trick ("" when nothing), whether it was refused, and what the runtime said."""
    if t.before:
        t.before()
    before = g.picture()
    r = g.run(t.args, t.change, t.image, timeout=t.hang, **t.more)
    if t.after:
        t.after()
    wrong = [x[len(g.canary) + 1:] if x.startswith(g.canary) else x for x in g.changes(before, g.picture()) if x not in ("files", )]
    g.mend()
    if wrong:
        return "changed: " + " ".join(wrong)[:80], False, r
    if r.has("ESCAPE"):
        return r.out.split("ESCAPE ")[1].splitlines()[0], False, r
    if t.bad and r.has(t.bad):
        return f"saw {t.bad}", False, r
    if r.has("hangs"):
        return "hangs", False, r
    return "", not (r.has("token") or r.has("end")), r


def tricks(g, honest, all_tricks):
    """The control (honest: the change of configuration without its trick), then each; one verdict for all."""
    control = g.run(["/inside", "token"], honest)
    if not control.has("token"):
        return NO_START, control.reason()
    refused, said, wrong = 0, "", []
    for t in all_tricks:
        w, no, r = one(g, t)
        if w:
            wrong.append(f"{t.label}: {w}")
        if no:
            refused, said = refused + 1, r.reason()
    if wrong:
        return ESCAPED, f"{len(wrong)} of {len(all_tricks)}: {wrong[0]}"
    if refused == len(all_tricks):
        return REFUSED, said
    return CONTAINED, f"{len(all_tricks)} tricks, {refused} of them refused"
