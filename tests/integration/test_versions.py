#!/usr/bin/env python3
"""Nodes of two versions in one camp. Two builds of the programs that speak different protocols tell each other so, in
words, on both sides; those of equal version go on, and nothing is lost. And events as only a later version writes them
are kept, passed on byte for byte, shown as not understood, and folded by nobody."""
import os
import re
import struct
import sys

try:
    import msgpack
    from nacl.signing import SigningKey
except ImportError:  # Debian's Python has them
    if sys.executable != "/usr/bin/python3":
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    raise

from camp import BIN, SOURCE, Camp, check, converged, digests, main, wait_until
from hands import Hand

sys.path.insert(0, str(SOURCE / "tests"))
from verify_bundle import blake, elements, records  # noqa: E402

NEXT = BIN / "next"  # the programs once more, with the next PROTO_VERSION


# ---- two builds ----

def update(node, *peers):
    """The same node with the later programs."""
    node.sleep()
    node.bin = NEXT
    return node.wake().meet(*peers)


def says(node, other, words):
    """The note about `other` in status, for programs and for people."""
    notes = [p["error"] for p in node.status()["peers"] if p["name"] == other.name]
    return any(words in note for note in notes) and words in node.run("status").out


def records_of(node):
    return {r["record"] for r in node.json("ls", "station")}


def carry(camp, source, *targets):
    stick = camp.dir / f"{source.name}.cairn"
    source.ok("bundle", "write", stick)
    for target in targets:
        target.ok("bundle", "read", stick)


def test_two_versions_in_one_mesh():
    with Camp() as camp:
        base = Hand.found(camp)
        old, new, newer = (Hand.join(base, name) for name in ("old", "new", "newer"))
        made = {base.create("station", "water=1")}
        converged([base, old, new, newer])
        update(new, base)
        update(newer, base, new)
        for node in (new, newer):
            wait_until(lambda: says(base, node, "speaks protocol 2, this node 1: update the older one"),
                       lambda: f"word at base of {node.name}'s version: {base.run('status')}")
            wait_until(lambda: says(node, base, "speaks protocol 1, this node 2: update the older one"),
                       lambda: f"word at {node.name} of base's version: {node.run('status')}")

        theirs = {node.create("station", f"by={node.name}") for node in (new, newer)}
        ours = {node.create("station", f"by={node.name}") for node in (base, old)}
        converged([base, old])
        converged([new, newer])
        check(records_of(old) == made | ours and records_of(newer) == made | theirs, "equal versions do not go on")
        check(digests(base) != digests(new), "what is there to be said has got across")

        carry(camp, new, base, old)  # a stick is a stick for both
        carry(camp, base, new, newer)
        same = converged([base, old, new, newer])
        check(records_of(base) == made | ours | theirs, "something is lost")
        update(base)
        update(old, base)
        last = old.create("station", "by=old, updated")
        check(converged([base, old, new, newer]) != same and last in records_of(newer), "the updated do not meet")
        for node in (base, old, new, newer):
            node.ok("verify")


def test_commands_and_joiners_of_another_version():
    with Camp() as camp:
        base = Hand.found(camp)
        token = base.ok("-q", "invite", "team", "--address", base.lobby).strip()
        team = Hand(camp, "team")
        team.bin = NEXT
        refused = team.run("join", token)
        check(refused.code == 1 and re.search("speaks? protocol", refused.err) and "update" in refused.err,
              f"a joiner of a later version: {refused}")
        check(not (team.home / "dataset").exists(), "it joined by halves")
        team.bin = BIN
        team.ok("join", token)  # which was not used up


def test_programs_updated_under_a_running_node():
    with Camp() as camp:
        node = camp.found(lan=False)
        record = node.ok("create", "station", "water=1").strip()
        node.bin = NEXT
        for words in (("ls",), ("log",), ("create", "station", "water=1")):
            result = node.run(*words)
            check(result.code == 1 and "protocol 1, not 2: after an update, cairn down and cairn up" in result.err and
                  result.err.count("\n") == 1, f"a command of another version than the node's: {result}")
        result = node.run("status")
        check(result.code == 1 and "another version" in result.err and "cairn down" in result.err, f"status: {result}")
        check(node.run("up", "--detach").code == 1, "a second node came up beside the first")
        node.down()
        check(not node.pids(), f"still there: {node.pids()}")
        node.up(lan=False)
        check([r["record"] for r in node.json("ls")] == [record], "the record is gone")
        node.down()


# ---- a later version's events ----

def pack(value):
    return msgpack.packb(value, use_bin_type=True)


class Writer:
    """A member's key in the hands of a later version, which begins an incarnation of its own (proto/FORMAT.md)."""

    def __init__(self, node):
        s = node.status()
        self.dataset = bytes.fromhex(s["dataset"])
        self.key = SigningKey((node.home / "merge/member.key").read_bytes()[:32])
        self.feed = 0x4444 << 16 | s["member"]
        self.root = self.last = blake(b"cairn/1 feed", self.dataset, struct.pack(">I", self.feed), bytes(self.key.verify_key))
        self.bodies = []

    def write(self, *values):
        body = bytes([0x90 | len(values)]) + b"".join(map(pack, values))
        cut = elements(body, 6)[1]
        self.bodies.append(body)
        self.last = blake(b"cairn/1 event", self.last, struct.pack(">QI", len(self.bodies), len(body) - cut),
                          blake(body[cut:]), body[:cut])

    def run(self):
        """All of it under one seal."""
        n = len(self.bodies)
        seal = self.key.sign(b"cairn/1 seal" + self.dataset + struct.pack(">IQ", self.feed, n) + self.last).signature
        items = b"".join(struct.pack(">I", len(b) | (i == n - 1) << 30) + b for i, b in enumerate(self.bodies)) + seal
        return struct.pack(">BBHIQII", 1, 0, 0, self.feed, 1, n, len(items)) + self.root + items

    def bundle(self, path):
        run = self.run()
        raw = b"CAIRNBDL" + struct.pack(">II", 1, 0) + self.dataset
        raw += blake(raw)[:8]
        for kind, data in ((1, run), (2, struct.pack(">QQQ", 1, len(self.bodies), len(raw) + 8 + len(run) + 8))):
            record = struct.pack(">II", kind, len(data)) + data
            raw += record + blake(record)[:8]
        path.write_bytes(raw)
        return path


def bodies_in(path, feed):
    """The bodies of a feed in a bundle, as they stand there."""
    found = []
    with open(path, "rb") as f:
        raw = f.read()
    for run in records(raw, None):
        found += [data for data, *_ in run.items] if run.feed == feed else []
    return found


def later_events(w, record, wall):
    w.write(wall, 0, [], "station", record, "field.set", {"water": 9}, {}, {"later": [1, "β"]}, 12, b"\0\1")  # 8 to 10: carried
    w.write(wall, 1, [], "station", record, "field.blur", {"water": 70}, {"by": "somebody"})  # a kind nobody knows
    w.write(wall, 2, [], "station", record, "field.set", {"water": 80}, "attributes of another make")
    w.write(wall, "three", [], "station", record, "field.set", {"water": 90})
    w.write(wall, 4, [], "planets", "mars", "orbit.change", ["days", 687], {}, None, None, None, None, None, None, None)


def test_what_a_later_version_writes():
    with Camp() as camp:
        base = Hand.found(camp)
        later, far = Hand.join(base, "later"), Hand.join(base, "far")
        record = base.create("station", "water=1")
        converged([base, later, far])
        wall = int(os.stat(later.home).st_mtime * 1000)
        w = Writer(later)
        later.sleep()
        later_events(w, record, wall)
        far_before = far.status()["events"]
        stick = w.bundle(camp.dir / "later.cairn")
        base.ok("bundle", "read", stick)
        converged([base, far])
        check(far.status()["events"] == far_before + len(w.bodies), "not all of it is stored and passed on")

        out = camp.dir / "far.cairn"
        far.ok("bundle", "write", out)
        check(bodies_in(out, w.feed) == w.bodies, "they are not passed on byte for byte")
        for node in (base, far):
            rows = [r for r in node.json("log") if r["feed"] == w.feed]
            check([bool(r.get("opaque")) for r in rows] == [False, False, True, True, False], f"{node.name} shows {rows}")
            check([r.get("kind") for r in rows] == ["field.set", "field.blur", None, None, "orbit.change"],
                  f"{node.name} shows {rows}")
            check(node.run("log").out.count("not-understood") == 2, f"people see: {node.run('log')}")
            check(node.values(record, "water") == [1, 9], f"{node.name} folds {node.values(record, 'water')}")
            node.ok("verify")
            before = digests(node)
            node.ok("-q", "projection", "rebuild", "records")
            check(digests(node) == before, "a view built anew is another one")
        base.ok("set", record, "water=10")
        converged([base, far])
        check(far.values(record, "water") == [10], "the record is stuck")


main(globals())
