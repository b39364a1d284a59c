#!/usr/bin/env python3
"""A node whose processes share nothing but the run directory, as under docker-compose: it founds or joins a dataset by
itself, in any order of starting; each process has a directory of its own that nobody else needs."""
import itertools
import shutil
import signal

from camp import PROCESSES, Camp, check, converged, main, wait_until
from hands import Hand

TITLE = "Flood response"


def box(camp, name, **options):
    """Nothing is set up: not even its directory has anything in it but one for each process."""
    env = {f"CAIRN_{key}": value for key, value in options.items()}
    node = Hand(camp, name, CAIRN_CAMP_CONTAINERS="true", CAIRN_CAMP_NODE=name, **env)
    node.home.mkdir()
    node.run_dir.mkdir()
    return node


def start(node, *names):
    for name in names or PROCESSES:
        node.start(name)
    return node


def healthy(*nodes):
    for node in nodes:
        for name in PROCESSES:
            wait_until(lambda: node.run("health", name).code == 0, lambda: f"{name} of {node.name} ready: {node.run('health', name)}")


def founded(camp, name="base"):
    node = start(box(camp, name, CAMP_DATASET=TITLE))
    healthy(node)
    return node


def invited(host, name):
    return host.ok("-q", "invite", name, "--address", host.lobby).strip()


def test_it_founds_a_dataset_in_any_order():
    with Camp() as camp:
        for order in camp.rng.sample(list(itertools.permutations(PROCESSES)), 6):
            node = box(camp, "-".join(name[0] for name in order), CAMP_DATASET=TITLE)
            for name in order:
                node.start(name)
                wait_until(lambda: node.run("health", name, "--live").code == 0, f"{name} alive")
            healthy(node)
            status = node.status()
            check(status["title"] == TITLE and status["member"] == 1 and status["events"] == 1, status)
            node.stop()
            shared = sorted(f.name for f in node.home.iterdir())
            check(shared == sorted(PROCESSES), f"outside of the processes' own directories: {shared}")


def test_who_waits_says_so_and_can_be_stopped():
    with Camp() as camp:
        node = start(box(camp, "base"), "store", "merge", "projection")
        for name in ("store", "merge", "projection"):
            wait_until(lambda: node.run("health", name, "--live").code == 0, f"{name} alive")
            ready = node.run("health", name)
            check(ready.code == 1 and "waiting for the camp's dataset" in ready.out, ready)
        check(node.run("health", "gossip", "--live").code == 1, "a process that does not run is alive")
        check(node.run("health", "stoer").code == 2, "there is no such process")
        node.stop()


def test_the_heir_key_is_taken_once():
    with Camp() as camp:
        node = founded(camp)
        file = node.home / "merge/heir.key"
        check(file.stat().st_mode & 0o777 == 0o400, f"heir.key has mode {file.stat().st_mode:o}")
        check("cairn heir take" in node.ok("status"), "status does not say that the heir key waits")
        paper = node.ok("-q", "heir", "take").strip()
        check(not file.exists(), "the key is still there")
        check("stands" in node.ok("--json", "heir", "check", "-", input=paper), "it is not the heir's key")
        check(node.run("heir", "take").code == 1, "it was shown twice")
        check("heir take" not in node.ok("status"), "status still says that it waits")
        check(paper not in node.log_text() and paper.replace(" ", "") not in node.log_text(), "the key is in the log")
        node.stop()


def test_it_joins_by_a_token():
    with Camp() as camp:
        base = founded(camp)
        record = base.ok("-q", "create", "station", "water=50").split()[0]
        team = box(camp, "team", CAMP_DATASET="not this", CAMP_JOIN=invited(base, "team-1"))
        start(team)
        team.ok("join", "--if-asked")
        healthy(team)
        converged([base, team])
        check(team.status()["title"] == TITLE and team.status()["member"] == 2, team.status())
        check(team.json("show", record), "the record is not there")
        team.ok("set", record, "water=40")
        converged([base, team])
        team.ok("join", "--if-asked")  # as at every later start
        check(team.run("join", invited(base, "again")).code == 1, "it joins twice")
        base.ok("join", "--if-asked")  # nobody asked it to
        base.stop(), team.stop()


def test_the_run_directory_may_be_lost():
    with Camp() as camp:
        node = founded(camp)
        record = node.ok("-q", "create", "station", "water=50").split()[0]
        before = node.status()
        node.stop()
        shutil.rmtree(node.run_dir)
        for order in camp.rng.sample(list(itertools.permutations(PROCESSES)), 3):
            start(node, *order)
            healthy(node)
            now = node.status()
            check(now["incarnation"] == before["incarnation"] and now["frontier_digest"] == before["frontier_digest"], now)
            check(node.json("show", record), "the record is not there")
            node.stop()
            shutil.rmtree(node.run_dir)


def test_a_lost_volume_of_the_store_is_no_fork():
    with Camp() as camp:
        base = founded(camp)
        team = start(box(camp, "team", CAMP_JOIN=invited(base, "team")))
        team.ok("join", "--if-asked")
        healthy(team)
        record = team.ok("-q", "create", "station", "water=50").split()[0]
        converged([base, team])
        team.stop()
        shutil.rmtree(team.home / "store")
        start(team, "store", "merge", "projection")
        team.start("gossip", "--no-discovery", "--listen", team.address, "--peer", base.address)
        healthy(team)
        converged([base, team])
        check(team.status()["incarnation"] != 0, "it goes on in the feeds of the database that was lost")
        team.ok("set", record, "water=40")
        converged([base, team])
        check(base.status()["forks"] == 0 and base.values(record, "water") == [40], base.show(record))
        base.stop(), team.stop()


def test_a_volume_of_another_dataset_is_refused():
    with Camp() as camp:
        one, two = founded(camp, "one"), founded(camp, "two")
        one.stop("store")
        shutil.rmtree(one.home / "store")
        two.stop()
        shutil.copytree(two.home / "store", one.home / "store")
        child = one.start("store")
        check(child.wait(30) == 78, "it serves another dataset's log")
        check("belongs to dataset" in one.log_text(), one.log_text()[-500:])
        del one.children["store"]
        shutil.rmtree(one.home / "store")
        start(one, "store")
        healthy(one)
        one.kill("store", signal.SIGTERM)
        one.stop()


main(globals())
