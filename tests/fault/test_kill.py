"""SIGKILL at random moments over store, merge, projection and gossip, under load.

Two emitters with idempotency keys and imports write to one node, whose processes this test starts and kills by hand;
a second node writes too and is linked to it. After each round of kills: what was acknowledged is there, offsets and
seqs have no gap and no duplicate, no id was given twice, an author's clock never went back, each key gave its events
once. In the end both nodes hold the same, and the view equals one that was built anew. A quarter as many kills hit a
node whose log is one file (store.storage).

    python3 tests/fault/test_kill.py [KILLS]     100 by default, or CAIRN_KILLS"""
# seconds: 300
import os
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from camp import BIN, PROCESSES, Camp, check, converged, main, wait_until  # noqa: E402

import subprocess  # noqa: E402

KILLS = int(os.environ.get("CAIRN_KILLS", "100"))
IMPORT_ROWS = 300


class Emitter:
    """fault_load on a node; its answers as they come."""

    def __init__(self, node, prefix):
        self.node, self.path = node, node.camp.dir / f"{prefix}.acks"
        with open(self.path, "wb") as out:
            self.child = subprocess.Popen([BIN / "fault_load", "emit", node.home, prefix], stdout=out,
                                          env=node.environment())
        node.camp.children.append(self.child)
        self.at, self.rest, self.answers = 0, "", 0

    def read(self):
        """New answers: (key, repeated, [(feed, seq, prefix)])."""
        with open(self.path, encoding="utf-8") as f:
            f.seek(self.at)
            text = f.read()
            self.at = f.tell()
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            words = line.split()
            check(words[0] == "ack", f"an event was refused: {line}")
            self.answers += 1
            yield words[1], words[2] == "1", [tuple(w.split(":")) for w in words[3:]]

    def stop(self):
        self.child.terminate()
        check(self.child.wait(60) == 0, lambda: f"the emitter failed: {self.path.read_text().splitlines()[-1:]}")


class Ledger:
    """What the log of one node must go on holding."""

    def __init__(self, node):
        self.node, self.head = node, 0
        self.ids, self.tips = {}, defaultdict(int)
        self.stamps = defaultdict(tuple)
        self.keys = defaultdict(list)
        self.acks, self.waiting = {}, []

    def acknowledged(self, key, places):
        places = [(int(feed), int(seq), prefix) for feed, seq, prefix in places]
        check(self.acks.setdefault(key, places) == places, f"{key} was answered {self.acks[key]} and {places}")
        self.waiting.append((key, places))

    def rows(self, after):
        done = subprocess.run([BIN / "fault_load", "rows", self.node.home, str(after)], capture_output=True, text=True,
                              env=self.node.environment(), timeout=120)
        check(done.returncode == 0, lambda: f"the log cannot be read: {done.stdout[-300:]}{done.stderr[-3000:]}")
        return [line.split(" ") for line in done.stdout.splitlines()[:-1]]

    def take(self, row):
        _, offset, feed, seq, eid, flags, wall, counter, category, stream, kind, key = row
        check(int(offset) == self.head + 1, f"offset {offset} follows {self.head}")
        self.head += 1
        check(int(flags) & 25 == 1, f"row {offset} has flags {flags}")
        place = int(feed), int(seq)
        check(place not in self.ids, f"{place} is there twice: {eid} and {self.ids.get(place)}")
        check(place[1] == self.tips[place[0]] + 1, f"feed {feed}: {seq} follows {self.tips[place[0]]}")
        self.tips[place[0]] += 1
        self.ids[place] = eid
        stamp = int(wall), int(counter)
        check(stamp > self.stamps[feed], f"the clock of feed {feed} went from {self.stamps[feed]} to {stamp}")
        self.stamps[feed] = stamp
        self.keys[key if key != "-" else stream].append(place + (eid[:4],))

    def look(self, again=False):
        """Reads what is new, or everything and compares."""
        if again:
            for row in self.rows(0)[: self.head]:
                check(self.ids[int(row[2]), int(row[3])] == row[4], f"row {row[1]} has changed: {row}")
        for row in self.rows(self.head):
            self.take(row)
        for key, places in self.waiting:
            check(self.keys[key] == places, f"{key} was acknowledged as {places}, the log has {self.keys[key]}")
        self.waiting.clear()

    def each_key_once(self):
        """Also keys whose answer was lost: all their events or none, in one piece, once."""
        for key, places in self.keys.items():
            number = re.fullmatch(r"(one|two|far)-(\d+)", key)
            if number:
                check(len(places) == 1 + int(number[2]) % 4, f"{key} gave {places}")


def start(node, name, peer=None):
    args = ("--no-discovery", "--listen", node.address, "--peer", peer.address) if name == "gossip" else ()
    node.start(name, *args)


def is_ready(node):
    processes = node.status().get("processes", ())
    return len(processes) == 4 and all(p["ready"] for p in processes)


def write_rows(camp, number):
    path = camp.dir / f"import-{number}.csv"
    path.write_text("id,what\n" + "".join(f"row-{number}-{i},{i}\n" for i in range(IMPORT_ROWS)), encoding="utf-8")
    return path


class Storm:
    def __init__(self, camp, kills):
        self.camp, self.left = camp, kills
        self.base = camp.found()
        self.far = camp.join(self.base, "far")
        self.base.down()
        for name in PROCESSES:
            start(self.base, name, self.far)
        wait_until(lambda: is_ready(self.base), "healthy node")
        self.ledger = Ledger(self.base)
        self.emitters = [Emitter(self.base, "one"), Emitter(self.base, "two"), Emitter(self.far, "far")]
        self.imports, self.importing = 0, None
        self.counts = dict.fromkeys(PROCESSES, 0)

    def take_answers(self):
        taken = 0
        for emitter in self.emitters[:2]:
            for key, _, places in emitter.read():
                self.ledger.acknowledged(key, places)
                taken += 1
        return taken

    def all_run(self):
        """Nobody may end by himself, whatever happens to the others."""
        for name, child in self.base.children.items():
            log = self.camp.dir / f"{self.base.name}.{name}.log"
            check(child.poll() is None, lambda: f"{name} ended by itself with {child.returncode}: {log.read_text()[-2000:]}")
        return True

    def strike(self):
        """One to four processes, each at its own moment, each started again at once."""
        rng = self.camp.rng
        names = rng.sample(PROCESSES, min(rng.choice((1, 2, 4)), self.left))
        if rng.random() < 0.3 and self.left > len(names):
            names.append(names[0])  # and again, maybe before it is ready
        for name in names:
            time.sleep(rng.uniform(0, 0.08))  # the random moment itself
            self.base.kill(name)
            start(self.base, name, self.far)
            self.counts[name] += 1
        self.left -= len(names)

    def import_on(self):
        """Imports one file after the other; one that was disturbed is imported again."""
        if self.importing and self.importing.poll() is None:
            return
        if not self.importing or self.importing.returncode == 0:
            self.imports += 1
        self.importing = self.base.popen("-q", "import", write_rows(self.camp, self.imports), "--form", "imported",
                                         "--key", "id", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def finish_import(self):
        self.importing.wait(120)
        self.base.ok("-q", "import", write_rows(self.camp, self.imports), "--form", "imported", "--key", "id")

    def round(self, number):
        self.import_on()
        self.strike()
        self.take_answers()
        wait_until(lambda: self.all_run() and self.take_answers(), self.nothing_answered, 90)
        self.ledger.look(again=number % 10 == 0)

    def nothing_answered(self):
        health = {name: self.base.process(name) for name in PROCESSES}
        return f"answer to the emitters after a round of kills: {health}"

    def finish(self):
        for emitter in self.emitters:
            emitter.stop()
        self.finish_import()
        self.take_answers()
        wait_until(lambda: is_ready(self.base), "healthy node")
        self.ledger.look(again=True)
        self.ledger.each_key_once()
        rows = [k for k in self.ledger.keys if k.startswith("row-")]
        check(len(rows) == self.imports * IMPORT_ROWS, f"{len(rows)} rows of {self.imports} imports")
        check(all(len(self.ledger.keys[k]) == 1 for k in rows), "a row was imported twice")
        print(f"   {sum(self.counts.values())} kills {self.counts}, {self.ledger.head} events, "
              f"{len(self.ledger.acks)} acknowledged keys, {self.imports} imports", flush=True)


def difference(old, new):
    old, new = set(old.splitlines()), set(new.splitlines())
    return f"only before {sorted(old - new)[:3]}, only now {sorted(new - old)[:3]}"


def patience_s(events):
    """For what goes over the whole log, which is millions of events long after a thousand kills."""
    return 120 + events / 2500


def same_view_when_rebuilt(node, seconds):
    before = node.ok("export", "--format", "canonical", timeout=seconds)
    node.ok("-q", "projection", "rebuild", "records", timeout=seconds)
    now = node.ok("export", "--format", "canonical", timeout=seconds)
    check(now == before, lambda: f"the view of {node.name} differs from one built anew: {difference(before, now)}")


def same_view_without_file(node, digest, seconds):
    before = node.ok("export", "--format", "canonical", timeout=seconds)
    node.kill("projection")
    for file in (node.home / "projection").glob("records.db*"):
        file.unlink()
    node.start("projection")
    wait_until(lambda: is_ready(node), "projection after its file was deleted", seconds)
    check(node.ok("export", "--format", "canonical", timeout=seconds) == before, "the view differs after its file was deleted")
    check(node.status()["view_digest"] == digest, "its digest differs")


def storm_passes(storage, kills):
    with Camp(CAIRN_STORE_STORAGE=storage) as camp:
        storm = Storm(camp, kills)
        begun, number = time.monotonic(), 0
        while storm.left > 0:
            storm.round(number)
            number += 1
        print(f"   {number} rounds in {time.monotonic() - begun:.1f} s", flush=True)
        storm.finish()
        far = {key: places for key, _, places in storm.emitters[2].read()}
        check(far, "the other node wrote nothing")
        seconds = patience_s(storm.ledger.head)
        wait_until(lambda: storm.base.status()["frontier_digest"] == storm.far.status()["frontier_digest"],
                   "equal frontiers", seconds)
        for node in (storm.base, storm.far):
            same_view_when_rebuilt(node, seconds)
        _, view = converged([storm.base, storm.far], seconds)
        check(storm.base.status()["forks"] == 0, "a feed has forked")
        for node in (storm.base, storm.far):
            node.ok("verify", timeout=seconds)
        same_view_without_file(storm.base, view, seconds)


def test_kills():
    storm_passes("lmdb", KILLS)


def test_kills_with_the_log_in_one_file():
    storm_passes("file", 1 + KILLS // 4)


if len(sys.argv) > 1 and sys.argv[1].isdigit():
    KILLS = int(sys.argv.pop(1))
main(globals())
