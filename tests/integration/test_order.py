"""Every start order of a node's processes, started by hand, leads to a healthy node; any of them may be stopped and
the others go on and say so."""
import itertools
import signal
import time

from camp import PROCESSES, Camp, check, main, wait_until


def ready(node):
    return {p["name"] for p in node.status().get("processes", ()) if p["ready"]}


def start_and_see(node, name):
    """Started, and far enough to be waiting for those that come after it."""
    log = node.camp.dir / f"{node.name}.{name}.log"
    before = log.read_bytes().count(b" runs on ") if log.exists() else 0
    node.start(name)
    wait_until(lambda: log.read_bytes().count(b" runs on ") > before or node.children[name].poll() is not None,
               f"start of {name}")
    check(node.children[name].poll() is None, f"{name} ended when started before its neighbours")


def test_every_order():
    with Camp() as camp:
        node = camp.found(up=False)
        took = []
        orders = list(itertools.permutations(PROCESSES))
        camp.rng.shuffle(orders)
        for n, order in enumerate(orders):
            for name in order:
                start_and_see(node, name)
            begun = time.monotonic()
            wait_until(lambda: ready(node) == set(PROCESSES), lambda: f"healthy node after {order}: {node.status()}")
            took.append((time.monotonic() - begun, order))
            node.ok("create", "order", f"n={n}", "--id", f"r{n}")
            check(node.json("show", f"r{n}")[0]["record"] == f"r{n}", "what was written is not shown")
            names = list(order)
            camp.rng.shuffle(names)
            node.stop(*names)
        print(f"   {len(orders)} orders, healthy after {sum(t for t, _ in took) / len(took):.2f} s, "
              f"at most {max(took)[0]:.2f} s {max(took)[1]}")


def test_a_second_copy_is_refused():
    with Camp() as camp:
        node = camp.found(up=False)
        for name in PROCESSES:
            node.start(name)
        wait_until(lambda: ready(node) == set(PROCESSES), "healthy node")
        for name in PROCESSES:
            first = node.children.pop(name)
            second = node.start(name)
            check(second.wait(60) == 75, f"a second copy of {name} ended with {second.returncode}")
            node.children[name] = first
        for name in PROCESSES:
            check(f"another cairn-{name} is running" in node.log_text(), f"the second {name} does not say why")
        check(ready(node) == set(PROCESSES), "the first copies suffered")
        node.stop(*reversed(PROCESSES))


# What still works while one process is stopped.
GOES_ON = {
    "store": [("ls",)],
    "merge": [("ls",), ("--json", "log")],
    "projection": [("emit", "note", "s", "said", '"still here"'), ("--json", "log")],
    "gossip": [("create", "station", "water=1"), ("ls",), ("export",)],
}


def test_a_stopped_process_is_named_and_the_rest_goes_on():
    with Camp() as camp:
        node = camp.found(up=False)
        for name in PROCESSES:
            node.start(name)
        wait_until(lambda: ready(node) == set(PROCESSES), "healthy node")
        record = node.ok("create", "station", "water=50").strip()
        check(node.json("show", record), "no record")
        for name in PROCESSES:
            node.children[name].send_signal(signal.SIGSTOP)
            down = lambda: [p for p, line in node.table().items() if "does not answer" in line]  # noqa: E731
            wait_until(lambda: down() == [name], lambda: f"word that {name} alone is stopped: {node.table()}")
            for args in GOES_ON[name]:
                node.ok(*args)
            node.children[name].send_signal(signal.SIGCONT)
            wait_until(lambda: ready(node) == set(PROCESSES), f"healthy node after {name} goes on")
        node.ok("set", record, "water=60")
        node.stop(*reversed(PROCESSES))


main(globals())
