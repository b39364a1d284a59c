"""A full disk: writes are refused with words that help, reads and the exchange of what is held go on, and the node
recovers by itself once there is space. Needs root for a small tmpfs."""
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from camp import Camp, Skip, check, converged, main, wait_until  # noqa: E402

SIZE = "24m"
FORMATS = ("csv", "ndjson", "geojson", "canonical")


class SmallDisk:
    """A tmpfs at a node's home."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip("a small tmpfs needs root")
        self.path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "small", self.path],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"no tmpfs here: {done.stderr.strip()}")
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", self.path], check=False)

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def fill(self):
        """Takes all that is left, again and again until nothing is: the node may still be giving some back."""
        with open(self.path / "ballast", "ab", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * min(max(self.free(), 4096), 1 << 20))
            except OSError:
                pass

    def make_room(self):
        (self.path / "ballast").unlink()


def still_full(node, disk, written):
    """The node may give space back at any moment (SQLite's journal …) and has then recovered: it is taken away again, and the
    next write, which may still succeed, says how it is."""
    disk.fill()
    name = f"late-{len(written)}"
    if node.run("create", "station", "--id", name).code == 0:
        written.append(name)
    return "no space" in node.process("store").get("why", "")


def a_full_disk_refuses_writes_and_nothing_else(storage):
    with Camp(CAIRN_STORE_STORAGE=storage) as camp:
        home = camp.dir / "far"
        with SmallDisk(home) as disk:
            base = camp.found()
            far = camp.join(base, "far")
            record = far.ok("create", "station", "water=50").strip()
            converged([base, far])

            disk.fill()
            written = []
            refused = None
            for n in range(200):  # the database has free pages of its own first
                disk.fill()
                result = far.run("create", "station", f"n={n}", "--id", f"full-{n}")
                if result.code != 0:
                    refused = result
                    break
                written.append(f"full-{n}")
            check(refused, "200 events were written to a full disk")
            check(refused.code == 1 and "no space left" in refused.err and refused.err.count("\n") == 1,
                  f"one clear line was expected: {refused}")
            check(far.json("show", record), "reads stopped")
            check(len(far.json("log")) >= len(written) + 2, "the log cannot be read")
            wait_until(lambda: still_full(far, disk, written), "status that tells of the full disk")
            peer = camp.join(base, "third")
            peer.down()
            peer.up(far)  # gets everything from the node whose disk is full
            wait_until(lambda: len(peer.json("log")) >= len(written) + 3, "what is held to reach another node")
            there = base.ok("create", "station", "where=base").strip()

            disk.make_room()
            wait_until(lambda: far.run("create", "station", "--id", "after").code == 0, "a node that recovers unattended")
            wait_until(lambda: far.process("store").get("why", "?") == "", "status without complaint")
            converged([base, far, peer])
            check(far.json("show", there), "what others wrote meanwhile is missing")
            shown = {r["record"] for r in base.json("ls", "station")}
            check(set(written) | {"after", record} <= shown, f"lost: {set(written) - shown}")
            check(refused.args[-1] not in shown, "what was refused is there")
            far.ok("verify")
            for node in (peer, far, base):
                node.down()


def test_a_full_disk_refuses_writes_and_nothing_else():
    a_full_disk_refuses_writes_and_nothing_else("lmdb")


def test_a_full_disk_under_a_log_in_one_file():
    a_full_disk_refuses_writes_and_nothing_else("file")


def test_files_on_a_full_disk():
    with Camp() as camp:
        with SmallDisk(camp.dir / "small") as disk:
            base = camp.found(lan=False)
            rows = camp.dir / "rows.csv"
            rows.write_text("id,text\n" + "".join(f"r{n},{'x' * 300}\n" for n in range(1000)), encoding="utf-8")
            base.ok("-q", "import", rows, "--form", "row", "--key", "id")
            old, fresh = disk.path / "old", disk.path / "fresh"
            old.write_text("what was there before")
            disk.fill()
            newcomer = camp.node("newcomer", disk.path / "newcomer")
            attempts = [(newcomer, ("init", "--dataset", "T", "--name", "n"))]
            for path in (old, fresh):
                attempts += [(base, ("export", "row", "--format", f, "--output", path)) for f in FORMATS]
                attempts.append((base, ("bundle", "write", path)))
            for node, args in attempts:
                result = node.run(*args)
                check(result.code == 1 and "no space left" in result.err.lower() and result.err.count("\n") == 1,
                      f"one clear line was expected: {result}")
            check(old.read_text() == "what was there before", "what was there before is gone")
            check(not fresh.exists() and not [f for f in disk.path.iterdir() if f.name.startswith(("old.", "fresh."))],
                  f"half a file is left: {list(disk.path.iterdir())}")
            disk.make_room()
            newcomer.ok(*attempts[0][1])
            for node, args in attempts[1:]:
                node.ok(*args)
            base.down()


main(globals())
