"""A copy that runs beside its original: both write, nothing is lost. Where both used one feed, the fork is named at
both and kept as a tree everywhere."""
import shutil

from camp import Camp, check, converged, main, wait_until


def records(node):
    return {r["record"] for r in node.json("ls")}


def clone(camp, node, name):
    twin = camp.node(name)
    shutil.copytree(node.home, twin.home)
    return twin


def test_a_clone_loses_nothing():
    with Camp() as camp:
        base = camp.found()
        team = camp.join(base, "team-1")
        written = {team.ok("create", "station", "n=1").strip()}
        converged([base, team])
        team.down()
        twin = clone(camp, team, "twin")
        for node in (team, twin):  # each alone, and each believes to be team-1
            node.up(lan=False)
            written |= {node.ok("create", "station", f"at={node.name}", "--id", f"{node.name}-{n}").strip()
                        for n in range(3)}
            node.down()
        for node in (team, twin):
            node.up(base)
        frontier, _ = converged([base, team, twin])
        for node in (base, team, twin):
            check(records(node) == written, f"{node.name} shows {records(node)}, not {written}")
            node.ok("verify")
        # and they go on beside each other
        written |= {node.ok("create", "station", "--id", f"later-{node.name}").strip() for node in (team, twin)}
        after, _ = converged([base, team, twin])
        check(after != frontier and records(base) == written, "what they wrote later is missing")
        for node in (base, team, twin):
            node.down()


def test_a_fork_is_named_and_kept_as_a_tree():
    with Camp() as camp:
        base = camp.found()
        team = camp.join(base, "team-1")
        team.ok("create", "station", "--id", "common")
        converged([base, team])
        team.down()
        twin = clone(camp, team, "twin")
        # A copy of the whole disk, which nobody can tell from the original: the same inode and birth time. Done by
        # bringing both histories out of one directory, one after the other.
        other = camp.dir / "kept"
        data = next((team.home / "store").rglob("data.mdb"))
        before = data.read_bytes()
        team.up(lan=False)
        team.ok("create", "station", "--id", "left")
        team.down()
        shutil.copytree(team.home, other)
        data.write_bytes(before)  # in place: the file stays the same one
        team.up(base)
        team.ok("create", "station", "--id", "right")
        converged([base, team])
        team.down()
        # The other history, brought in by the copy.
        shutil.rmtree(twin.home)
        shutil.copytree(other, twin.home)
        twin.up(base)
        wait_until(lambda: {"common", "left", "right"} <= records(base), "both branches at base")
        team.up(base)
        converged([base, team, twin])
        for node in (base, team, twin):
            check(records(node) == {"common", "left", "right"}, f"{node.name} shows {records(node)}")
            wait_until(lambda: node.status()["forks"] > 0, f"{node.name} that tells of the fork")
            node.ok("verify")
        team.ok("create", "station", "--id", "after")
        converged([base, team, twin])
        check("after" in records(twin), "the author cannot go on")
        for node in (base, team, twin):
            node.down()


main(globals())
