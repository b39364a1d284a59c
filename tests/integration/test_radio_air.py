#!/usr/bin/env python3
"""Two teams out of reach of any network: what one of them says urgently, the other has by radio alone."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from camp import Camp, check, converged, free_port, main, wait_until  # noqa: E402
from lab import Ether  # noqa: E402


def radio_of(node):
    return node.status().get("radio") or {}


def test_an_urgent_event_goes_by_radio_alone():
    with Ether("--stations", 2, pty=True) as ether, Camp() as camp:
        base = camp.found("base")
        teams = red, blue = [camp.join(base, name) for name in ("red", "blue")]
        check("goes to 3 members" in base.run("radio", "key").err, "the key")
        converged([base, *teams])
        for node in (base, *teams):
            node.down()
        for i, team in enumerate(teams, 1):
            team.ok("up", "--detach", "--no-discovery", "--listen", f"127.0.0.1:{free_port()}",
                    "--radio", ether.line(i)["pty"], "--region", "eu868")
        for team in teams:
            wait_until(lambda node=team: radio_of(node).get("has_key") and radio_of(node)["state"] == "ready",
                       lambda node=team: f"a radio with a key: {radio_of(node)}")
            check(not [p for p in team.status()["peers"] if p["link"] == "lan"], "no network")
        name = red.ok("create", "water", "status=broken", "--urgent").split()[0]
        wait_until(lambda: "broken" in blue.run("show", name).out,
                   lambda: f"{name}: {red.ok('radio', 'log')} {blue.ok('radio', 'log')}", 60)
        check(any(p["link"] == "radio" and p["name"] == "red" for p in blue.status()["peers"]), blue.status()["peers"])


main(globals())
