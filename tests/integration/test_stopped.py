#!/usr/bin/env python3
# seconds: 300
"""Any process of a node may stand still for a minute, or die and not come back for one: the rest go on and say so, and
afterwards nothing is missing. Each process of each kind of trouble at a node of its own, all at the same time."""
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from camp import BIN, PROCESSES, Camp, check, converged, main, wait_until
from hands import PATIENCE

os.environ.update(PATIENCE)
TROUBLE_S = 60

# What goes on without it, and what is refused with its name.
GOES_ON = {
    "store": [("ls",), ("show", "common"), ("export",), ("member", "ls")],
    "merge": [("ls",), ("show", "common"), ("log",), ("verify",)],
    "projection": [("create", "station", "water=2"), ("emit", "note", "s", "said", '"still here"'), ("log",), ("verify",)],
    "gossip": [("create", "station", "water=3"), ("set", "common", "water=4"), ("ls",), ("export",), ("verify",)],
}
REFUSED = {"store": ("create", "station", "water=5"), "merge": ("create", "station", "water=6"),
           "projection": ("show", "common")}
EXCHANGES = ("projection",)  # without it a node still gives and takes what is new


class Stopped:
    """SIGSTOP, and a minute later SIGCONT."""
    words = "does not answer, though it runs as process"

    def __init__(self, camp, node, process):
        self.node, self.process = node, process

    def strike(self):
        self.pid = self.node.pids()[self.process]
        os.kill(self.pid, signal.SIGSTOP)

    def heal(self):
        os.kill(self.pid, signal.SIGCONT)


class Killed:
    """SIGKILL, with a program in its place that ends at once, as after a failed update; a minute later the right one."""
    words = "ended with exit code 1"

    def __init__(self, camp, node, process):
        self.node, self.process = node, process
        node.bin = camp.dir / f"bin-{node.name}"
        node.bin.mkdir()
        for program in ("cairn", *(f"cairn-{name}" for name in PROCESSES)):
            (node.bin / program).symlink_to(BIN / program)
        self.program = node.bin / f"cairn-{process}"

    def strike(self):
        broken = self.node.bin / "broken"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        broken.replace(self.program)
        os.kill(self.node.pids()[self.process], signal.SIGKILL)

    def heal(self):
        good = self.node.bin / "good"
        good.symlink_to(BIN / self.program.name)
        good.replace(self.program)


def says_so(t):
    """status names the one, and the others are up."""
    table = t.node.table()
    return (t.words in table[t.process] and table[t.process].split()[1] == "down" and
            all(line.split()[1].startswith("up") for name, line in table.items() if name != t.process))


def use(t, hub):
    """What goes on at a node in trouble. Returns the records that it made."""
    made = []
    for words in GOES_ON[t.process]:
        out = t.node.ok(*words)
        made += [out.split()[0]] if words[0] == "create" else []
    if t.process in REFUSED:
        result = t.node.run(*REFUSED[t.process])
        check(result.code == 1 and f"no answer from {t.process}" in result.err, f"one clear line was expected: {result}")
        check(result.err.count("\n") == 1, f"more than a line: {result}")
    if t.process in EXCHANGES:
        there = hub.ok("create", "station", "where=hub").split()[0]
        made.append(there)
        wait_until(lambda: there in t.node.ok("log"), f"what hub wrote at {t.node.name}")
        wait_until(lambda: made[0] in hub.ok("log"), f"what {t.node.name} wrote at hub")
    return made


def use_all(troubles, hub):
    """At all of them at a time: whatever is refused waits for an answer first."""
    with ThreadPoolExecutor(len(troubles)) as pool:
        return [record for made in pool.map(lambda t: use(t, hub), troubles) for record in made]


def enrol(camp, hub):
    troubles = []
    for kind in (Stopped, Killed):
        for process in PROCESSES:
            node = camp.join(hub, f"{kind.__name__.lower()}-{process}", up=False)
            troubles.append(kind(camp, node, process))
            node.up(hub)
    hub.ok("create", "station", "water=1", "--id", "common")
    converged([hub] + [t.node for t in troubles], 120)
    return troubles


def test_each_process_stopped_or_dead_for_a_minute():
    with Camp() as camp:
        hub = camp.found("hub")
        troubles = enrol(camp, hub)
        nodes = [hub] + [t.node for t in troubles]
        for t in troubles:
            t.strike()
        begun = time.monotonic()
        for t in troubles:
            wait_until(lambda: says_so(t), lambda: f"word of it at {t.node.name}: {t.node.table()}")
        made = ["common"] + use_all(troubles, hub)
        time.sleep(max(0, begun + TROUBLE_S - time.monotonic()))  # the minute itself
        for t in troubles:
            check(says_so(t), lambda: f"{t.node.name} does not say so any more: {t.node.table()}")
        made += use_all(troubles, hub)
        print(f"   {len(troubles)} nodes in trouble for {time.monotonic() - begun:.0f} s, {len(made)} records", flush=True)

        for t in troubles:
            t.heal()
        for node in nodes:
            wait_until(lambda: all(" up " in line for line in node.table().values()),
                       lambda: f"healthy {node.name}: {node.table()}", 90)
        converged(nodes, 120)
        for node in nodes:
            held = {r["record"] for r in node.json("ls", "station")}
            check(held == set(made), lambda: f"{node.name} lacks {set(made) - held}, has {held - set(made)}")
            node.ok("verify")
            node.down()


main(globals())
