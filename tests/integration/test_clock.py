#!/usr/bin/env python3
"""One node's clock stands at 1970 or at 2099. What it writes neither loses nor wins for ever: an edit replaces what its
author saw, whatever the stamps say, on all nodes; and when the clock is right again, nothing is left of the error."""
import datetime
import time

from camp import Camp, check, converged, main
from hands import Hand, shifted_clock

FIELD = "water"


def wrong_clock(camp, year):
    """Environment of a node whose clock stands at new year of `year`."""
    return shifted_clock(camp, int(datetime.datetime(year, 1, 2, tzinfo=datetime.timezone.utc).timestamp() - time.time()))


def age_days(write):
    return abs(time.time() - datetime.datetime.fromisoformat(write["recorded"].replace("Z", "+00:00")).timestamp()) / 86400


def newest(node, record):
    return next(w for w in node.show(record)["writes"] if w["name"] == FIELD and w["live"])


def shown(node, record):
    return next(w["value"] for w in node.show(record)["writes"] if w["name"] == FIELD and w["shown"])


def edit(author, others, record, value):
    """An edit of what all show; the value is what all show then, and nothing else."""
    author.ok("set", record, f"{FIELD}={value}")
    everybody = [author, *others]
    converged(everybody)
    for node in everybody:
        check(node.values(record, FIELD) == [value], f"{node.name} shows {node.values(record, FIELD)}, not {value}")


def disagree(one, two, third, record, first, second):
    """Both write what the other has not seen, `one` before `two`; then it is resolved by a third."""
    one.part()
    one.ok("set", record, f"{FIELD}={first}")
    two.ok("set", record, f"{FIELD}={second}")
    one.meet(third)
    converged([one, two, third])
    for node in (one, two, third):
        check(set(node.values(record, FIELD)) == {first, second}, f"{node.name} shows {node.values(record, FIELD)}")
    display = {shown(node, record) for node in (one, two, third)}
    check(len(display) == 1, f"the nodes show different values first: {display}")
    return display.pop()


def tell(year):
    with Camp() as camp:
        base = Hand.found(camp)
        odd, other = Hand.join(base, "odd"), Hand.join(base, "other")
        other.part(), other.meet(base)
        record = base.create("station", f"{FIELD}=0")
        converged([base, odd, other])

        odd.sleep()
        odd.env.update(wrong_clock(camp, year))
        odd.wake().meet(base)
        converged([base, odd, other])
        check(odd.status()["clock_unsure"] == (year < 2000), f"clock_unsure is {odd.status()['clock_unsure']}")
        edit(odd, [base, other], record, 1)
        if year > 2000:
            check(age_days(newest(base, record)) > 365, "the clock is not wrong at all: this test shows nothing")
        edit(base, [odd, other], record, 2)
        check(age_days(newest(odd, record)) < 1, "the clock of base was dragged along")
        edit(odd, [base, other], record, 3)
        edit(other, [base, odd], record, 4)
        check(age_days(newest(odd, record)) < 1, "the clock of other was dragged along")
        disagree(odd, base, other, record, 5, 6)
        edit(base, [odd, other], record, 7)
        new = odd.create("tent", "beds=1")
        converged([base, odd, other])
        check(base.values(new, "beds") == [1], "a record of the odd node is not shown")

        odd.sleep()
        odd.env.pop("LD_PRELOAD")
        odd.wake().meet(base)
        converged([base, odd, other])
        check(not odd.status()["clock_unsure"], "a right clock is called unsure")
        edit(odd, [base, other], record, 8)
        check(age_days(newest(base, record)) < 1, "the corrected node still writes in its wrong time")
        first = disagree(odd, base, other, record, 9, 10)
        check(first == 10, "after the correction, what odd writes first is shown as the newest")
        edit(other, [base, odd], record, 11)
        first = disagree(base, odd, other, record, 12, 13)
        check(first == 13, "after the correction, what odd writes last is not shown as the newest")
        edit(odd, [base, other], record, 14)
        history = {node.name: [w["value"] for w in node.show(record, history=True)["history"] if w["name"] == FIELD]
                   for node in (base, odd, other)}
        check(len(set(map(str, history.values()))) == 1, f"histories differ: {history}")
        check(set(history["base"]) == set(range(15)), f"a value is gone: {history['base']}")
        for node in (base, odd, other):
            node.ok("verify")


def test_clock_at_1970():
    tell(1970)


def test_clock_at_2099():
    tell(2099)


main(globals())
