#!/usr/bin/env python3
# seconds: 400
"""The proof by an outsider: Reticulum, whose authors wrote the firmware, drives the modems of cairn-ether as it drives real
ones, one over a serial line and one over TCP, and hears over the air what another instance announces.

The package comes from PyPI (reticulum.txt) into a virtual environment in the build tree; where it cannot be installed the
test is skipped and says so."""
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from camp import SOURCE, Skip, check, main, wait_until
from lab import Ether

BUILD = Path(os.environ.get("CAIRN_BUILD", SOURCE / "build")).resolve()
HERE = Path(__file__).resolve().parent
WANTED = (HERE / "reticulum.txt").read_text()

CONFIG = """
[reticulum]
enable_transport = no
share_instance = no
panic_on_interface_error = yes

[logging]
loglevel = 5

[interfaces]
[[radio]]
type = RNodeInterface
enabled = yes
port = {port}
frequency = 869525000
bandwidth = 125000
txpower = 14
spreadingfactor = 8
codingrate = 5
airtime_limit_long = 10
airtime_limit_short = 33
"""


def outsider():
    """The Python that has Reticulum."""
    place = BUILD / "reticulum"
    python, mark = place / "bin/python", place / "installed"
    if mark.exists() and mark.read_text() == WANTED:
        return python
    for command in (["python3", "-m", "venv", "--clear", str(place)],
                    [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "2",
                     "--timeout", "20", "-r",
                     str(HERE / "reticulum.txt")]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Skip(f"Reticulum cannot be installed here: {e}") from e
        if done.returncode != 0:
            said = (done.stderr + done.stdout).strip().splitlines()
            raise Skip(f"Reticulum cannot be installed here: {said[-1] if said else command}")
    mark.write_text(WANTED)
    return python


class Instance:
    def __init__(self, python, folder, port, *role):
        folder.mkdir()
        (folder / "config").write_text(CONFIG.format(port=port))
        self.lines = []
        self.process = subprocess.Popen([python, HERE / "reticulum_node.py", folder, *role], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def said(self, word):
        return [x for x in list(self.lines) if x.startswith(word + " ") or x == word]

    def wait(self, word, seconds=60):
        def there():
            check(self.process.poll() is None or self.said(word), lambda: f"Reticulum ended: {self.lines[-20:]}")
            return self.said(word)
        return wait_until(there, lambda: f"{word} from Reticulum, but {self.lines[-20:]}", seconds)[0]

    def announce(self):
        self.process.stdin.write("announce\n")
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(20)
        self.process.stdout.close()


def test_an_announce_is_heard():
    python = outsider()
    # Reticulum knows one port only, so this ether has an address of its own.
    address = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    with Ether("--stations", 2, "--tcp", f"0,{address}:7633", pty=True) as ether:
        folder = Path(ether.dir.name)
        serial = ether.line(1)["pty"]
        speaker = Instance(python, folder / "speaker", serial, "announce", "camp on the hill")
        listener = Instance(python, folder / "listener", f"tcp://{address}", "listen")
        try:
            speaker.wait("ONLINE")
            listener.wait("ONLINE")
            for station in (1, 2):
                radio = ether.wait("radio", station=station, on=True)
                check(radio["hz"] == 869525000 and radio["sf"] == 8 and radio["as_preset"], radio)
            who = speaker.wait("IS").split()[1]
            speaker.announce()
            heard = listener.wait("HEARD")
            check(heard == f"HEARD {who} camp on the hill", heard)
            frame = ether.wait("frame", **{"from": 1})
            check([h["station"] for h in frame["heard"]] == [2], frame)
            print(f"   Reticulum's announce: {frame['bytes']} bytes, {frame['airtime_ms']} ms on the air", flush=True)
        finally:
            speaker.end()
            listener.end()


main(globals())
