#!/usr/bin/env python3
"""Radio on real nodes, the modems being the laboratory's: what `cairn up --radio` asks for, what status and radio … say."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from camp import Camp, check, main, wait_until  # noqa: E402
from lab import Ether  # noqa: E402


def radio_of(node):
    return node.status().get("radio") or {}


def off_the_lan(node):
    return "--no-discovery", "--listen", node.address


def test_a_region_is_asked_for_and_never_guessed():
    with Camp() as camp:
        node = camp.node("base")
        node.ok("init", "--dataset", "hill", "--name", "base")
        for words, options in ((("--region", "eu868", "us915"), ("--radio", "/dev/null")),
                               (("no region", "eu868"), ("--radio", "/dev/null", "--region", "mars")),
                               (("no preset",), ("--radio", "/dev/null", "--region", "eu868", "--preset", "x")),
                               (("not allowed",), ("--radio", "/dev/null", "--region", "eu868", "--preset", "wide")),
                               (("--no-lan leaves out",), ("--radio", "/dev/null", "--region", "eu868", "--no-lan")),
                               (("need --radio",), ("--region", "eu868"))):
            said = node.run("up", "--detach", *options)
            check(said.code == 2 and all(w in said.err for w in words), str(said))


def test_a_radio_comes_up_gets_its_key_and_shows_its_book():
    with Ether("--stations", 1, pty=True) as ether, Camp() as camp:
        node = camp.node("base")
        node.ok("init", "--dataset", "hill", "--name", "base")
        node.ok("up", "--detach", *off_the_lan(node), "--radio", ether.line(1)["pty"], "--region", "eu868")
        wait_until(lambda: radio_of(node).get("state") == "ready", lambda: f"modem on the air: {radio_of(node)}")
        wait_until(lambda: "cairn radio key" in radio_of(node)["problem"], lambda: f"want of a key: {radio_of(node)}")
        check("goes to 1 member" in node.run("radio", "key").err, "the first key")
        check("All members have" in node.run("radio", "key").err, "nobody lacks one")
        wait_until(lambda: radio_of(node)["has_key"], lambda: f"key: {radio_of(node)}")
        check("epoch 1 goes to 1" in node.run("radio", "key", "--rotate").err, "a new one")
        check(node.ok("radio", "airtime").startswith("0.000 s of 360.0 s"), "nothing was sent yet")
        check(node.ok("radio", "airtime", "--csv") == "band,age_s,airtime_s,state,regulation\n", "an empty book")
        log = [json.loads(line) for line in node.ok("radio", "log", "--json").splitlines()]
        check(log[0]["what"] == "modem" and "Heltec" in log[0]["words"], log)
        check("eu868 band P" in node.run("status").out, node.run("status").out)
        check("radio-bridge" in node.run("status").out, "it is a process like the others")
        ether.command("unplug 1")
        wait_until(lambda: radio_of(node)["state"] == "closed" and radio_of(node)["problem"], "a line that is gone")


def test_a_line_that_is_not_there_is_a_state():
    with Camp() as camp:
        node = camp.node("base")
        node.ok("init", "--dataset", "hill", "--name", "base")
        node.ok("up", "--detach", *off_the_lan(node), "--radio", f"{camp.dir}/ttyACM0", "--region", "eu868")
        wait_until(lambda: "no such device" in radio_of(node).get("problem", ""), lambda: f"words: {radio_of(node)}")
        check(node.run("radio", "log").code == 0, "it answers")


def test_who_joins_later_gets_the_key_and_the_next_one_is_for_those_who_are_left():
    with Ether("--stations", 2, pty=True) as ether, Camp() as camp:
        base = camp.found("base")
        check("epoch 0 goes to 1 member" in base.run("radio", "key").err, "the first key")
        teams = [camp.join(base, name) for name in ("red", "blue")]
        for i, team in enumerate(teams, 1):
            team.down()
            team.ok("up", "--detach", *off_the_lan(team), "--peer", base.address,
                    "--radio", ether.line(i)["pty"], "--region", "eu868")
        for team in teams:
            wait_until(lambda node=team: radio_of(node).get("has_key"), lambda node=team: f"key: {radio_of(node)}")
        check("All members have" in base.run("radio", "key").err, "it was given by itself")
        red = teams[0]
        said = red.run("radio", "key", "--rotate")
        check(said.code == 1 and "only the founder" in said.err, str(said))
        base.ok("member", "remove", "blue")
        check("epoch 1 goes to 2 members" in base.run("radio", "key", "--rotate").err, "the next key")
        red.down()
        red.ok("up", "--detach", *off_the_lan(red), "--peer", base.address, "--radio", ether.line(1)["pty"], "--region", "eu868")
        wait_until(lambda: radio_of(red).get("epoch") == 1, lambda: f"the next key: {radio_of(red)}")


main(globals())
