#!/usr/bin/env python3
"""A lost tablet is shut out: what it wrote before stays, what it writes later counts nowhere, whoever heard what first."""
import time

from camp import Camp, check, converged, digests, main, wait_until
from hands import Hand

CUT_S = 4  # promised is 1; a missed wake-up would cost 5 or more, and a busy machine is no failure


def state_of(node, name):
    return next((m["state"] for m in node.json("member", "ls") if m["name"] == name), None)


def has_link(node, name):
    return any(p["state"] == "live" and p["name"] == name for p in node.status()["peers"])


def names(node, form):
    return sorted(r["record"] for r in node.json("ls", form))


def test_order_of_news():
    with Camp() as camp:
        base = Hand.found(camp)
        early, late, lost = (Hand.join(base, name) for name in ("early", "late", "lost"))
        station = base.create("station", "water=1")
        before = lost.create("tent", "beds=4")
        converged([base, early, late, lost])
        lost.ok("set", station, "water=2")
        converged([base, early, late, lost])
        for node in (base, early, late, lost):
            node.part()

        # After it was stolen: a new record, an edit, a resolution, and an edit that it takes back itself.
        after = lost.create("tent", "beds=400")
        lost.ok("set", station, "water=3")
        lost.ok("set", station, "water=4")
        lost.ok("note", before, "mine")
        late.meet()
        lost.meet(late)
        converged([late, lost])
        check(late.values(station, "water") == [4] and names(late, "tent") == sorted([before, after]),
              "late does not hold what it is to unlearn")
        late.ok("set", station, "water=5", "--why", "an honest edit on top of the thief's")
        converged([late, lost])
        late.part(), lost.part()

        base.ok("-q", "member", "remove", "lost")
        base.meet()
        early.meet(base)
        converged([base, early])
        check(state_of(early, "lost") == "removed", "early has not heard of the removal")
        late.meet(base)
        converged([base, early, late])
        early.meet(base, late)
        wait_until(lambda: has_link(early, "late"), "link from early to late")
        converged([base, early, late])
        for node in (base, early, late):
            check(names(node, "tent") == [before], f"{node.name} lists {names(node, 'tent')}")
            check(node.live(before, "beds"), f"{node.name} lost what lost wrote before")
            # The honest edit replaced a write that counts nowhere: what that had replaced is shown beside it.
            check(node.values(station, "water") == [2, 5], f"{node.name} shows {node.values(station, 'water')}")
            node.ok("verify")

        # By its own connection nobody takes anything, and by a file neither.
        same = digests(base)
        stick = camp.dir / "stick.cairn"
        lost.create("tent", "beds=4000")
        lost.ok("bundle", "write", stick)
        lost.meet(base, early)
        base.run("bundle", "read", stick)
        early.create("tent", "beds=5")
        converged([base, early, late])
        check(names(base, "tent") == names(late, "tent") and after not in names(base, "tent"), "a removed member is heard")
        check(len(names(base, "tent")) == 2, f"base lists {names(base, 'tent')}")
        check(digests(base) != same and state_of(late, "lost") == "removed", "the others do not go on")
        check(not has_link(base, "lost") and not has_link(early, "lost"), "a removed member is connected")


def test_connections_are_cut():
    with Camp() as camp:
        base = Hand.found(camp)
        other, lost = Hand.join(base, "other"), Hand.join(base, "lost")
        lost.meet(base, other)
        for node in (base, other):
            wait_until(lambda: has_link(node, "lost"), f"link of lost to {node.name}")
        begun = time.monotonic()
        base.ok("-q", "member", "remove", "lost")
        for node in (base, other):
            wait_until(lambda: not has_link(node, "lost"), f"cut at {node.name}", CUT_S)
        print(f"   cut at both after {time.monotonic() - begun:.2f} s", flush=True)
        wait_until(lambda: not any(p["state"] == "live" for p in lost.status()["peers"]), "cut at lost", CUT_S)
        record = other.create("tent", "beds=1")
        converged([base, other])
        check(record not in names(lost, "tent"), "a removed member still hears")


main(globals())
