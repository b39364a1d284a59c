#!/usr/bin/env python3
# seconds: 180
"""Five nodes in a line, each in a network namespace of its own; neighbours are connected for random moments only, and
all write meanwhile. All come to equal digests, and over each link every event goes once, plus what was cut off."""
import csv
import json
import os
import shutil
import subprocess

from camp import Camp, Skip, check, converged, main, wait_until
from hands import Hand
import camp as camp_module

NODES, ROUNDS = 5, 8
PORT = 7117
ROW_BYTES = 3000
MIB = 1 << 20

# What one link may carry beside the runs themselves: headers of CURVE, TCP and IP, acknowledgements, frontiers and pings
# (measured: 1 %); and of each cut what was on its way and is asked for again.
OVERHEAD, CUT_BYTES, CHATTER_BYTES = 1.1, MIB, MIB // 4


class Placed(Hand):
    """Its gossip lives in a network namespace; the others have nothing to do with the network."""
    place = None

    def start(self, name, *args):
        if name != "gossip" or self.place is None:
            return super().start(name, *args)
        with open(self.camp.dir / f"{self.name}.gossip.log", "ab") as log:
            self.children[name] = subprocess.Popen(
                ["ip", "netns", "exec", self.place, str(camp_module.BIN / "cairn-gossip"), "--home", str(self.home),
                 "--no-discovery", "--listen", f"0.0.0.0:{PORT}", *args], env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.children[name]


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    check(done.returncode == 0, lambda: f"ip {' '.join(words)}: {done.stderr}")
    return done.stdout


class Line:
    """Namespaces 0 … n-1, and between k and k+1 a cable that can be pulled."""

    def __init__(self, n):
        self.places = [f"cairn-{os.getpid()}-{i}" for i in range(n)]
        self.up = [False] * (n - 1)
        self.cuts = [0] * (n - 1)

    def __enter__(self):
        if os.geteuid() != 0 or not shutil.which("ip"):
            raise Skip("network namespaces need root and the program ip (iproute2)")
        try:
            for place in self.places:
                ip("netns", "add", place)
                ip("-n", place, "link", "set", "lo", "up")
            for k in range(len(self.cuts)):
                ip("link", "add", "right", "netns", self.places[k], "type", "veth", "peer", "name", "left", "netns",
                   self.places[k + 1])
                ip("-n", self.places[k], "address", "add", f"10.77.{k}.1/24", "dev", "right")
                ip("-n", self.places[k + 1], "address", "add", f"10.77.{k}.2/24", "dev", "left")
                ip("-n", self.places[k + 1], "link", "set", "left", "up")
        except Exception as e:
            self.__exit__()
            raise Skip(f"no network namespaces here: {e}") from e
        return self

    def __exit__(self, *_):
        for place in self.places:
            subprocess.run(["ip", "netns", "delete", place], capture_output=True)

    def set(self, k, up):
        if up == self.up[k]:
            return
        ip("-n", self.places[k], "link", "set", "right", "up" if up else "down")
        self.up[k] = up
        self.cuts[k] += not up

    def carried(self, k):
        stats = json.loads(ip("-j", "-s", "-n", self.places[k], "link", "show", "right"))[0]["stats64"]
        return stats["rx"]["bytes"] + stats["tx"]["bytes"]


def bulk(camp, node, rows, start=[0]):
    """Rows that nobody else writes."""
    path = camp.dir / "rows.csv"
    with open(path, "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f)
        out.writerow(["number", "text"])
        for _ in range(rows):
            start[0] += 1
            out.writerow([start[0], f"{camp.rng.randbytes(ROW_BYTES // 2).hex()}"])
    node.ok("-q", "import", path, "--form", "row")
    return rows


def settle_in(camp, line):
    """All are members and hold what base holds; then each goes to its place in the line."""
    base = Hand.found(camp)
    nodes = [base] + [Placed(camp, f"n{i}") for i in range(1, NODES)]
    for node in nodes[1:]:
        token = base.ok("-q", "invite", node.name, "--address", base.lobby).strip()
        node.ok("join", "--name", node.name, token)
        node.wake(wait=False).meet(base)
    record = base.create("station", "water=0")
    converged(nodes)
    base.__class__ = Placed
    for i, node in enumerate(nodes):
        node.part().place = line.places[i]
    for i, node in enumerate(nodes):
        node.start("gossip", *([] if i == 0 else ["--peer", f"10.77.{i - 1}.1:{PORT}"]))
        node.ready("gossip")
    return nodes, record


def moment(camp, line, nodes, record, turn):
    """Some links come up, some go down; somebody writes; it lasts until something has gone over a link."""
    rng = camp.rng
    links = range(NODES - 1)
    chosen = rng.sample(links, rng.randrange(1, NODES - 1))
    for k in links:
        line.set(k, k in chosen)
    written = bulk(camp, rng.choice(nodes), 60)
    rng.choice(nodes).ok("set", record, f"water={turn}")
    k = rng.choice(chosen)
    enough = line.carried(k) + rng.randrange(10000, 300000)
    same = (lambda: nodes[k].status()["frontier_digest"] == nodes[k + 1].status()["frontier_digest"])
    wait_until(lambda: line.carried(k) >= enough or same(), f"traffic between {nodes[k].name} and {nodes[k + 1].name}")
    return written


def test_line():
    with Line(NODES) as line, Camp() as camp:
        nodes, record = settle_in(camp, line)
        before = [line.carried(k) for k in range(NODES - 1)]
        rows = sum(bulk(camp, node, 200) for node in nodes)
        for turn in range(1, ROUNDS + 1):
            rows += moment(camp, line, nodes, record, turn)
        for k in range(NODES - 1):
            line.set(k, True)
        converged(nodes, 120)

        for node in nodes:
            check(node.status()["records"] == rows + 1, f"{node.name}: {node.status()['records']} records of {rows + 1}")
        live = {str(sorted(node.live(record, "water").items())) for node in nodes}
        check(len(live) == 1, f"the nodes show different values: {live}")
        stick = camp.dir / "all.cairn"
        nodes[0].ok("bundle", "write", stick)
        size = stick.stat().st_size
        for k in range(NODES - 1):
            carried = line.carried(k) - before[k]
            allowed = OVERHEAD * size + line.cuts[k] * CUT_BYTES + CHATTER_BYTES
            print(f"   link {k}: {carried / MIB:.2f} MiB of {size / MIB:.2f} MiB, {line.cuts[k]} cuts", flush=True)
            check(carried >= size * 0.9, f"link {k} carried less than all the events: what is measured here?")
            check(carried <= allowed, f"link {k} carried {carried} bytes, {allowed:.0f} would do")


main(globals())
