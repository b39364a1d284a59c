#!/usr/bin/env python3
"""Personal data leaves: hidden everywhere at once, off the disks after a month by the node's clock or at once by the
founder, while chains, seals, bundles and whoever joins later stay whole."""
import subprocess
import time

from camp import SOURCE, Camp, check, converged, main, wait_until
from hands import SECRET, Hand, gone, on_disk, shifted_clock

MONTH_S = 30 * 86400


def in_log(node):
    return any(path.endswith("data.mdb") for path in on_disk(node))


def hidden(record, *nodes):
    """No node says it any more, in whatever way it is asked."""
    for node in nodes:
        wait_until(lambda: SECRET not in node.ok("show", record, "--history"), f"hidden record on {node.name}")
        for args in (("--json", "show", record, "--history"), ("log",), ("--json", "log"), ("export", "patient"),
                     ("export", "--format", "canonical"), ("ls",)):
            check(SECRET not in node.ok(*args), f"{node.name} still says it in {' '.join(args)}")
        check(node.values(record, "water") == [7], f"{node.name} shows water {node.values(record, 'water')}")


def whole(*nodes):
    converged(nodes)
    for node in nodes:
        node.ok("verify")


def camp_of_three(camp):
    base = Hand.found(camp, CAIRN_STORE_SETTLE_S="0")
    hill, river = (Hand.join(base, name, CAIRN_STORE_SETTLE_S="0") for name in ("hill", "river"))
    record = hill.create("patient", f"name={SECRET}", "water=5")
    converged([base, hill, river])
    hill.ok("set", record, "water=7")
    whole(base, hill, river)
    return base, hill, river, record


def wake_all(base, others, env):
    for node in (base, *others):
        node.sleep()
        node.env.pop("LD_PRELOAD", None)
        node.env.update(env)
    base.wake().meet()
    for node in others:
        node.wake().meet(base)


def test_an_author_erases():
    with Camp() as camp:
        base, hill, river, record = camp_of_three(camp)
        refused = river.run("erase", record, "name", "--why", "asked to")
        check(refused.code == 1 and "only their authors and the founder" in refused.err, refused)
        told = hill.run("erase", record, "name", "--why", "asked to")
        check(told.code == 0 and "after 30 days" in told.err and "have not heard yet" in told.err, told)
        converged([base, hill, river])
        hidden(record, base, hill, river)
        again = hill.run("erase", record, "name", "--why", "asked to")
        check(again.code == 1 and "nothing left to erase" in again.err, again)
        for node in (base, hill, river):
            check(in_log(node), f"the tail left the disk of {node.name} before its time")

        bundle = camp.dir / "stick.cairn"
        base.ok("bundle", "write", bundle)
        check(SECRET.encode() not in bundle.read_bytes(), "the bundle hands it on")
        independent = subprocess.run(["/usr/bin/python3", SOURCE / "tests/verify_bundle.py", bundle, "--dataset",
                                      base.status()["dataset"]], capture_output=True, text=True)
        check(independent.returncode == 0, f"the independent verifier says {independent.stdout}{independent.stderr}")
        late = Hand.join(base, "late", CAIRN_STORE_SETTLE_S="0")
        whole(base, hill, river, late)
        hidden(record, late)
        check(not on_disk(late), f"who joined later has it in {on_disk(late)}")

        wake_all(base, (hill, river, late), shifted_clock(camp, -int(time.time()) + 86400))  # 1970
        base.create("station", "water=1")
        whole(base, hill, river, late)
        for node in (base, hill, river):
            check(in_log(node), f"a clock that is not set made {node.name} drop the tail")
        wake_all(base, (hill, river, late), shifted_clock(camp, MONTH_S - 7200))
        whole(base, hill, river, late)
        check(in_log(hill), "the tail left the disk two hours before its time")
        wake_all(base, (hill, river, late), shifted_clock(camp, MONTH_S + 7200))
        gone(base, hill, river, late)
        whole(base, hill, river, late)
        hidden(record, base, hill, river, late)
        last = Hand.join(base, "last", **shifted_clock(camp, MONTH_S + 7200))
        whole(base, hill, river, late, last)
        hidden(record, last)
        check(not on_disk(last), f"who joined last has it in {on_disk(last)}")


def test_the_founder_erases_at_once():
    with Camp() as camp:
        base, hill, river, record = camp_of_three(camp)
        river.part()
        told = base.json("erase", record, "name", "--why", "asked to")[0]
        check(told["at_once"] and len(told["erased"]) == 1 and told["rewritten"] == 0, told)
        converged([base, hill])
        gone(base, hill)
        hidden(record, base, hill)
        check(in_log(river) and SECRET in river.ok("show", record), "river has not heard of it and has lost it")
        river.meet(base)
        whole(base, hill, river)
        gone(river)
        hidden(record, river)


def test_one_field_goes_and_the_rest_stays():
    with Camp() as camp:
        base = Hand.found(camp)
        record = base.create("patient", "--personal", f"name={SECRET}", "water=7", "roof=tin")
        salt = next(row for row in base.json("log") if row["stream"] == record)["attributes"]["salt"]["$bin"]
        check(len(salt) == 16, f"the salt is {salt}")
        check(base.run("create", "patient", "--personal", "--id", SECRET, "water=1").code == 2,
              "a personal record takes a telling id")
        base.ok("erase", record, "name", "--why", "asked to")
        hidden(record, base)
        check(base.values(record, "roof") == ["tin"], f"roof is {base.values(record, 'roof')}")
        check(base.status()["conflicts"] == 0, "what was written anew competes with what was erased")
        gone(base)
        for event, words in (("1-1", "cannot be erased"), ("1-99", "there is no event"), ("x", "names no event")):
            wrong = base.run("erase", "--event", event, "--why", "asked to")
            check(wrong.code == 1 and words in wrong.err, wrong)
        wrong = base.run("erase", record, "shoes", "--why", "asked to")
        check(wrong.code == 1 and "no shoes" in wrong.err, wrong)
        check(base.run("erase", "--why", "asked to").code == 2, "erase without anything to erase is no wrong usage")
        base.ok("verify")


main(globals())
