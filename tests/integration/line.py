"""Five nodes in a line; neighbours are connected for random moments only, and all write meanwhile. All come to equal
digests, and over each link every event goes once, plus what was cut off. For test_line.py and test_loopback.py.

A line is a context manager with: cuts (per link), set(link, up), carried(link) in bytes so far, and for a node's gossip
prefix(i) of its command, listen(i), and peer(i), the address under which it finds its neighbour on the left."""
import csv
import subprocess

from camp import Camp, check, converged, wait_until
from hands import Hand

NODES, ROUNDS = 5, 8
ROW_BYTES = 3000
MIB = 1 << 20

# What one link may carry beside the runs themselves: headers of CURVE, TCP and IP, acknowledgements, frontiers and pings
# (measured: 1 %); and of each cut what was on its way and is asked for again.
OVERHEAD, CUT_BYTES, CHATTER_BYTES = 1.1, MIB, MIB // 4


class Placed(Hand):
    """Its gossip lives at its place in a line; the others have nothing to do with the network."""
    line = None

    def start(self, name, *args):
        if name != "gossip" or self.line is None:
            return super().start(name, *args)
        peer = ["--peer", self.line.peer(self.place)] if self.place > 0 else []
        with open(self.camp.dir / f"{self.name}.gossip.log", "ab") as log:
            self.children[name] = subprocess.Popen(
                [*self.line.prefix(self.place), str(self.bin / "cairn-gossip"), "--home", str(self.home),
                 "--no-discovery", "--listen", self.line.listen(self.place), *peer], env=self.environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self.children[name]


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
        node.part()
        node.line, node.place = line, i
    for node in nodes:
        node.start("gossip")
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


def run_line(line):
    with line, Camp() as camp:
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
