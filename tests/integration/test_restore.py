"""A home directory copied back from a backup goes on under a new incarnation; nothing is lost on any side."""
import shutil

from camp import Camp, check, converged, main


def copy(home, to):
    """As a backup program does it: new files, hence new inodes."""
    shutil.copytree(home, to, ignore=lambda d, names: [n for n in names if n == "log" and d == str(home)])


def records(node):
    return {r["record"] for r in node.json("ls")}


def test_a_restored_node_begins_a_new_incarnation():
    with Camp() as camp:
        base = camp.found()
        team = camp.join(base, "team-1")
        early = {team.ok("create", "station", f"n={n}").strip() for n in range(5)}
        converged([base, team])
        was = team.status()["incarnation"]
        team.down()
        copy(team.home, camp.dir / "backup")

        team.up(base)
        late = {team.ok("create", "station", f"n={n}").strip() for n in range(5, 10)}
        converged([base, team])
        team.down()
        shutil.rmtree(team.home)
        copy(camp.dir / "backup", team.home)

        team.up(lan=False)  # writes before it hears of anybody
        check(team.status()["incarnation"] != was, "the restored node goes on in its old incarnation")
        alone = team.ok("create", "station", "n=alone").strip()
        check(records(team) == early | {alone}, "the restored node shows something else than its backup")
        team.down()
        team.up(base)
        converged([base, team])
        for node in (base, team):
            check(records(node) == early | late | {alone}, f"{node.name} shows {records(node)}")
            check(node.status()["forks"] == 0, f"{node.name} sees a fork")
            node.ok("verify")
            node.down()


main(globals())
