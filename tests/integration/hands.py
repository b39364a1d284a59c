"""Nodes whose processes are started one by one, without a supervisor, so that a test decides who meets whom and when.

    base = Hand.found(camp)                  # store, merge, projection, and gossip that listens
    team = Hand.join(base, "team-1")         # joined, linked to base, holding what base holds
    team.part()                              # its gossip ends: no network
    team.meet(base)                          # gossip again, with base as its peer

shifted_clock(camp, seconds) is an environment in which the wall clock is off.

Hand(camp, name, **env) is a camp.Node with environment variables of its own.
"""
import os
import signal
import subprocess

from camp import Camp, Node, check, converged, wait_until

# Whoever was cut off tries again soon, not after the half minute that spares a real network.
PATIENCE = {"CAIRN_GOSSIP_RETRY_MAX_MS": "500"}


def shifted_clock(camp, seconds):
    """Environment of a node whose wall clock is off by so many seconds."""
    shim, here = camp.dir / "shift_clock.so", os.path.dirname(os.path.abspath(__file__))
    if not shim.exists():
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", shim,
                        f"{here}/shift_clock.c"], check=True)
    return {"LD_PRELOAD": str(shim), "CAIRN_TEST_CLOCK_S": str(seconds)}


class Hand(Node):
    def __init__(self, camp: Camp, name, **env):
        super().__init__(camp, name)
        self.env = env

    def environment(self):
        return {**super().environment(), **PATIENCE, **self.env}

    @staticmethod
    def found(camp, name="base", **env):
        node = Hand(camp, name, **env)
        node.ok("init", "--dataset", "Test camp", "--name", name)
        return node.wake().meet()

    @staticmethod
    def join(host, name, *options, **env):
        node = Hand(host.camp, name, **env)
        token = host.ok("-q", "invite", name, "--address", host.lobby, *options).strip()
        node.ok("join", "--name", name, token)
        node.wake(wait=False).meet(host)
        converged([host, node])
        return node

    def wake(self, wait=True):
        """All processes but gossip. A member that holds nothing yet is not ready without it: wait=False."""
        for name in ("store", "merge", "projection"):
            self.start(name)
        return self.ready("store", "merge", "projection") if wait else self

    def sleep(self):
        self.stop(*[name for name in ("gossip", "projection", "merge", "store") if name in self.children])
        return self

    def ready(self, *names):
        for name in names:
            wait_until(lambda: self.process(name).get("ready"),
                       lambda: f"{name} of {self.name} ready, but {self.process(name)}")
        return self

    def meet(self, *peers):
        """On the network from now on, with these peers to connect to."""
        if "gossip" in self.children:
            self.stop("gossip")
        args = ["--no-discovery", "--listen", self.address]
        for peer in peers:
            args += ["--peer", peer.address if isinstance(peer, Node) else peer]
        self.start("gossip", *args)
        return self.ready("gossip")

    def part(self):
        self.stop("gossip")
        return self

    # ---- what it shows ----

    def show(self, record, history=False):
        return self.json("show", record, *(["--history"] if history else []))[0]

    def live(self, record, field):
        """{reference: value} of the live writes of a field: what a screen shows."""
        return {w["ref"]: w["value"] for w in self.show(record)["writes"]
                if w["what"] == "field" and w["name"] == field and w["live"]}

    def values(self, record, field):
        return sorted(set(self.live(record, field).values()), key=str)

    def create(self, form, *fields):
        return self.ok("-q", "create", form, *fields).split()[0]


SECRET = "Quetzalcoatl"  # stands in nothing else


def on_disk(node, text=SECRET):
    """Files of the node that hold it."""
    held = []
    for folder, _, names in os.walk(node.home):
        for name in names:
            path = os.path.join(folder, name)
            try:
                if text.encode() in open(path, "rb").read():
                    held.append(path)
            except FileNotFoundError:  # a file that SQLite or a rebuild has just removed
                continue
    return held


def gone(*nodes):
    for node in nodes:
        wait_until(lambda: not on_disk(node), lambda: f"disk of {node.name} without it, but {on_disk(node)}")
