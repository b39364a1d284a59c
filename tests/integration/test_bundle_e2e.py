#!/usr/bin/env python3
"""The USB stick: two homes that never talk to each other come to equal digests by files alone."""
import os
import subprocess

from camp import SOURCE, Camp, check, converged, digests, main
from hands import Hand

SURVEY = SOURCE / "tests/data/mwefloodresponse.csv"


def parted(camp):
    base = Hand.found(camp)
    nodes = [base, Hand.join(base, "hill"), Hand.join(base, "river")]
    station = base.create("station", "water=1")
    converged(nodes)
    for node in nodes:
        node.part()
    return nodes, station


def test_two_homes_that_never_talk():
    with Camp() as camp:
        (base, hill, river), station = parted(camp)
        there, back = camp.dir / "there.cairn", camp.dir / "back.cairn"
        hill.ok("-q", "import", SURVEY, "--form", "flood")
        hill.ok("set", station, "water=2")
        river.ok("set", station, "water=3")
        hill.ok("bundle", "write", there)
        independent = subprocess.run(["/usr/bin/python3", SOURCE / "tests/verify_bundle.py", there, "--dataset",
                                      hill.status()["dataset"]], capture_output=True, text=True)
        check(independent.returncode == 0, f"the independent verifier says {independent.stdout}{independent.stderr}")
        river.ok("bundle", "read", there)
        river.ok("bundle", "write", back, "--since", there)
        check(os.path.getsize(back) < 10000, f"the way back carries {os.path.getsize(back)} bytes, not what is new alone")
        hill.ok("bundle", "read", back)
        same = converged([hill, river], 10)
        for node in (hill, river):
            s = node.status()
            check(s["conflicts"] == 1 and not s["peers"], f"{node.name}: {s['conflicts']} conflicts, peers {s['peers']}")
            check(set(node.values(station, "water")) == {2, 3}, f"{node.name} shows {node.values(station, 'water')}")
            node.ok("verify")
        hill.ok("bundle", "read", there, back)
        check(digests(hill) == same, "reading a bundle again changed something")


def test_broken_files():
    with Camp() as camp:
        (base, hill, river), station = parted(camp)
        hill.ok("-q", "import", SURVEY, "--form", "flood")
        whole, cut, spoilt = (camp.dir / f"{name}.cairn" for name in ("whole", "cut", "spoilt"))
        hill.ok("bundle", "write", whole)
        raw = whole.read_bytes()
        before = river.status()

        at = camp.rng.randrange(len(raw) // 2, len(raw) - 64)
        spoilt.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1:])
        result = river.run("bundle", "read", spoilt)
        check(result.code == 1 and result.err, f"a flipped bit at {at} is no failure: {result}")
        river.ok("verify")
        cut.write_bytes(raw[:camp.rng.randrange(len(raw) // 2, len(raw) - 64)])
        result = river.run("bundle", "read", cut)
        check(result.code == 1 and result.err, f"a bundle cut short is no failure: {result}")
        river.ok("verify")

        foreign = Hand.found(camp, "foreign")
        events = foreign.status()["events"]
        result = foreign.run("bundle", "read", whole)
        check(result.code == 1 and "dataset" in result.err, f"a bundle of another dataset: {result}")
        check(foreign.status()["events"] == events, "a bundle of another dataset left something")

        check(before["events"] <= river.status()["events"] <= hill.status()["events"], "more events than there are")
        river.ok("bundle", "read", whole)
        converged([hill, river], 10)


main(globals())
