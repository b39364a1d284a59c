#!/usr/bin/env python3
"""What people do by hand: a base camp and two members in three home directories, step by step as in the README."""
import csv
import io
import os
import re
import signal
import time
from collections import Counter

from camp import PROCESSES, SOURCE, Camp, check, converged, main, wait_until
from hands import PATIENCE, Hand

os.environ.update(PATIENCE)
SURVEY = SOURCE / "tests/data/mwefloodresponse.csv"


def rows_of(text):
    rows = list(csv.reader(io.StringIO(text.lstrip("\ufeff"), newline="")))
    return rows[0], Counter(map(tuple, rows[1:]))


def check_survey(node, form="flood"):
    with open(SURVEY, encoding="utf-8-sig", newline="") as f:
        columns, rows = rows_of(f.read())
    out = node.camp.dir / f"{node.name}.csv"
    node.ok("export", form, "--output", out)
    raw = out.read_bytes()
    check(raw.startswith(b"\xef\xbb\xbf") and b"\r\n" in raw, "the export has no BOM or no CRLF")
    got_columns, got = rows_of(raw.decode())
    check(got_columns == columns, f"{node.name} exports the columns {got_columns}")
    check(got == rows, lambda: f"{node.name} exports other values: {list((rows - got).items())[:2]} became "
                               f"{list((got - rows).items())[:2]}")


def kill_each_process(node):
    for name in PROCESSES:
        pid = node.pids()[name]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: node.pids().get(name, pid) != pid and node.process(name).get("ready"),
                   f"{name} of {node.name} again after kill -9")


def test_camp_by_hand():
    with Camp() as camp:
        base = camp.found("base")
        north, south = camp.join(base, "north"), camp.join(base, "south")
        nodes = [base, north, south]
        north.ok("-q", "import", SURVEY, "--form", "flood", "--at", "submitted_on")
        station = base.ok("-q", "create", "station", "name=Clinic", "water=500").split()[0]
        converged(nodes)
        for node in (north, south):
            node.down().up(lan=False)
        north.ok("set", station, "water=100", "--by", "Amina")
        south.ok("set", station, "water=80", "--by", "Joseph")
        south.ok("set", station, "name=Clinic 2")
        for node in (north, south):
            node.down().up(base)
        before = converged(nodes)
        for node in nodes:
            kill_each_process(node)
        check(converged(nodes) == before, "kill -9 changed what the nodes hold")
        for node in nodes:
            conflicts = node.json("conflicts")
            check(len(conflicts) == 1 and node.status()["conflicts"] == 1, f"{len(conflicts)} conflicts on {node.name}")
            sides = {(w["value"], w["by"], w["author"]) for w in conflicts[0]["writes"] if w["name"] == "water" and w["live"]}
            check(sides == {(100, "Amina", "north"), (80, "Joseph", "south")}, f"{node.name} shows {sides}")
            node.ok("verify")
            check_survey(node)
        base.ok("set", station, "water=90")
        converged(nodes)
        check(all(n.status()["conflicts"] == 0 for n in nodes), "set on a conflict does not resolve it")


def test_teams_meet_through_a_third():
    with Camp() as camp:
        base = Hand.found(camp)
        hill, river = Hand.join(base, "hill"), Hand.join(base, "river")
        base.part(), hill.part(), river.part()
        one = hill.create("station", "name=hill", "water=1")
        two = river.create("station", "name=river", "water=2")
        base.meet()
        hill.meet(base)
        converged([base, hill])
        hill.part()
        river.meet(base)
        converged([base, river])
        check(river.values(one, "name") == ["hill"], "river does not show what hill wrote")
        river.part()
        hill.meet(base)
        converged([base, hill, river])
        check(hill.values(two, "water") == [2], "hill does not show what river wrote")


def test_one_file_at_two_nodes():
    with Camp() as camp:
        base = Hand.found(camp)
        team = Hand.join(base, "team")
        team.part()
        for node in (base, team):
            node.ok("-q", "import", SURVEY, "--form", "flood")
        with open(SURVEY, encoding="utf-8-sig", newline="") as f:
            records = len(set(map(tuple, list(csv.reader(f))[1:])))
        team.meet(base)
        converged([base, team])
        for node in (base, team):
            s = node.status()
            check((s["records"], s["conflicts"]) == (records, 0), f"{node.name}: {s['records']} records of {records}, "
                                                                  f"{s['conflicts']} conflicts")
            check(not any(r["anomalies"] for r in node.json("conflicts")), "a collision is listed")
        events = base.status()["events"]
        base.ok("-q", "import", SURVEY, "--form", "flood")
        check(base.status()["events"] == events, "importing once more wrote events")


def test_changed_row_is_an_edit():
    with Camp() as camp:
        base = Hand.found(camp)
        team = Hand.join(base, "team")

        def give(node, *lines):
            text = "id,name,beds,phone\n" + "".join(line + "\n" for line in lines)
            node.ok("-q", "import", "-", "--form", "clinic", "--key", "id", input=text)

        give(base, "007,Mzuzu,12,+265 1", "008,Zomba,7,+265 2")
        converged([base, team])
        events = base.status()["events"]
        give(team, "007,Mzuzu,15,+265 1", "008,Zomba,7,+265 2")
        converged([base, team])
        check(base.status()["events"] == events + 1, "one changed row is not one event")
        for node in (base, team):
            live = {w["name"]: (w["value"], w["author"]) for w in node.show("007")["writes"]
                    if w["what"] == "field" and w["live"]}
            check(live["beds"] == (15, "team") and live["name"] == ("Mzuzu", "base"), f"{node.name} shows {live}")
            check(node.status()["conflicts"] == 0, "the edit conflicts with what it replaces")


def refused(camp, name, token, words):
    node = Hand(camp, name)
    result = node.run("join", token)
    check(result.code == 1 and re.search(words, result.err), f"{name}: {result}")
    check(not (node.home / "dataset").exists(), "a refused joiner has a dataset")


def test_tokens():
    with Camp() as camp:
        base = Hand.found(camp)

        def invite(*options):
            return base.ok("-q", "invite", "team", "--address", base.lobby, *options).strip()

        token = invite()
        mistyped = token[:-3] + ("x" if token[-3] != "x" else "y") + token[-2:]
        refused(camp, "typo", mistyped, "mistyped|typing|checksum|wrong")
        Hand(camp, "first").ok("join", "--name", "first", token)
        refused(camp, "second", token, "used")
        short, made = invite("--expires", "1s"), time.time()
        wait_until(lambda: time.time() > made + 1.1, "end of the second for which the token is valid")
        refused(camp, "late", short, "expired|until")
        names = [m["name"] for m in base.json("member", "ls")]
        check(names == ["base", "team"], f"the members are {names}")


def confirm(camp, base, name, answer):
    """The inviting screen, the joiner, and whether both show one code."""
    screen = base.popen("invite", name, "--confirm", "--address", base.lobby, stdin=-1, stdout=-1, stderr=-1)
    token = screen.stdout.readline().decode().strip()
    joiner = Hand(camp, name)
    child = joiner.popen("join", token, stdin=-3, stdout=-1, stderr=-1)
    words = b""
    while b"[y/N]" not in words:
        byte = os.read(screen.stderr.fileno(), 1)
        check(byte, f"the inviting screen ended: {words.decode()}")
        words += byte
    asked = re.search(r"show (\S+)\?", words.decode()).group(1)
    check(name not in {m["name"] for m in base.json("member", "ls")}, "in before anybody confirmed")
    screen.stdin.write(answer)
    screen.stdin.close()
    said = child.communicate(timeout=60)[1].decode()
    check(asked in said, f"the joiner does not show {asked}: {said}")
    return screen.wait(60), child.returncode, joiner


def test_confirm():
    with Camp() as camp:
        base = Hand.found(camp)
        codes = confirm(camp, base, "friend", b"y\n")
        check(codes[:2] == (0, 0), f"a confirmed joiner is not in: {codes}")
        friend = codes[2].wake(wait=False).meet(base)
        converged([base, friend])
        codes = confirm(camp, base, "stranger", b"n\n")
        check(codes[:2] == (1, 1), f"a refused joiner: {codes}")
        check("stranger" not in {m["name"] for m in base.json("member", "ls")}, "a refused joiner is in")


main(globals())
