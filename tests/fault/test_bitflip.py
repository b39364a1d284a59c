"""A bit flipped in an event row of the store's file, wherever in the row: named by verify, counted by status, never served as
data, and healed by a peer."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from camp import Camp, check, converged, main, wait_until  # noqa: E402

RECORDS = 60
FLIPS = 6


def marker(rng, i):
    return f"flip-{i}-" + "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(24))


def write_records(camp, node):
    markers = [marker(camp.rng, i) for i in range(RECORDS)]
    path = camp.dir / "records.csv"
    path.write_text("id,what\n" + "".join(f"r{i},{m}\n" for i, m in enumerate(markers)), encoding="utf-8")
    node.ok("-q", "import", path, "--form", "thing", "--key", "id")
    return markers


def flip(rng, node, marks):
    """One bit in the row of each of them. Freed pages and earlier commits may hold older copies of a row: all are hit alike."""
    path = next(f for f in (node.home / "store/log").iterdir() if f.name in ("data.mdb", "commits"))
    data = bytearray(path.read_bytes())
    for mark in marks:
        place, bit, at = rng.randrange(-40, len(mark)), 1 << rng.randrange(8), -1
        copies = 0
        while (at := data.find(mark.encode(), at + 1)) >= 0:
            copies += 1
            data[at + place] ^= bit
            at += len(mark)
        check(copies, f"{mark} is not in {path}")
        print(f"   bit {bit:#04x} at {place:+} of {mark}, copies: {copies}")
    path.write_bytes(data)


def values(node):
    """Payload texts that the log serves, and how many rows it calls damaged."""
    rows = node.json("log")
    return {r["payload"]["what"] for r in rows if r.get("category") == "thing"}, sum(r.get("damaged", 0) for r in rows)


def damaged_node(camp):
    """A node with FLIPS damaged rows, started alone, and a peer that has all of them."""
    base = camp.found()
    far = camp.join(base, "far")
    markers = write_records(camp, base)
    converged([base, far])
    export = base.ok("export", "--format", "canonical")
    base.ok("verify")
    base.down()
    hit = camp.rng.sample(markers, FLIPS)
    flip(camp.rng, base, hit)
    base.up(lan=False)
    wait_until(lambda: base.status()["damaged"] == FLIPS, "status that counts the damaged rows")
    return base, far, markers, hit, export


def named_and_not_served(storage):
    with Camp(CAIRN_STORE_STORAGE=storage) as camp:
        base, _, markers, hit, _ = damaged_node(camp)
        result = base.run("verify")
        check(result.code == 1, f"verify did not find the damage: {result}")
        check("damaged" in result.out + result.err, f"verify does not say what it found: {result}")
        served, damaged = values(base)
        check(damaged == FLIPS, f"{damaged} rows are called damaged")
        check(served == set(markers) - set(hit), f"the log serves {served - set(markers)}, lacks more than {hit}")
        base.ok("-q", "projection", "rebuild", "records")
        shown = base.ok("export", "thing", "--format", "csv")
        check(all((m in shown) == (m not in hit) for m in markers), "a new view shows damaged rows, or lacks good ones")


def test_flipped_bits_are_named_and_not_served():
    named_and_not_served("lmdb")


def test_flipped_bits_are_named_and_not_served_in_one_file():
    named_and_not_served("file")


def healed_by_a_peer(storage):
    with Camp(CAIRN_STORE_STORAGE=storage) as camp:
        base, far, markers, _, export = damaged_node(camp)
        record = base.ok("create", "thing", "what=written beside the damage").strip()
        base.down()
        base.up(far)
        wait_until(lambda: base.status()["damaged"] == 0, lambda: f"healed rows: {base.status()}", 30)
        base.ok("verify")
        check(values(base) == (set(markers) | {"written beside the damage"}, 0), "not all values are back")
        converged([base, far])
        check(far.json("show", record), "what was written beside the damage has not reached the peer")
        base.ok("delete", record)
        healed = base.ok("export", "--format", "canonical").splitlines()
        check(all(line in healed for line in export.splitlines()), "the records are not what they were")


def test_a_peer_heals_them():
    healed_by_a_peer("lmdb")


def test_a_peer_heals_them_in_one_file():
    healed_by_a_peer("file")


main(globals())
