#!/usr/bin/env python3
"""The line of line.py, each node in a network namespace of its own. Needs root."""
import json
import os
import shutil
import subprocess

from camp import Skip, check, main
from line import NODES, run_line

PORT = 7117


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    check(done.returncode == 0, lambda: f"ip {' '.join(words)}: {done.stderr}")
    return done.stdout


class Cables:
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

    def prefix(self, i):
        return ["ip", "netns", "exec", self.places[i]]

    def listen(self, i):
        return f"0.0.0.0:{PORT}"

    def peer(self, i):
        return f"10.77.{i - 1}.1:{PORT}"

    def set(self, k, up):
        if up == self.up[k]:
            return
        ip("-n", self.places[k], "link", "set", "right", "up" if up else "down")
        self.up[k] = up
        self.cuts[k] += not up

    def carried(self, k):
        stats = json.loads(ip("-j", "-s", "-n", self.places[k], "link", "show", "right"))[0]["stats64"]
        return stats["rx"]["bytes"] + stats["tx"]["bytes"]


def test_line():
    run_line(Cables(NODES))


main(globals())
