"""A running cairn-ether and hosts at its lines, for tests. Python's standard library only.

    with Ether("--stations", "2", pty=True, tcp=True) as ether:
        a, b = ether.serial(1), ether.tcp(2)      # Host: say, frames, configure, send
        a.configure(); b.configure()
        a.send(b"hello")
        b.wait_data()                             # b"hello"
        ether.wait("frame")                       # the line of JSON

Every line of JSON is kept in ether.lines.
"""
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from camp import BIN, Failed, check, wait_until  # noqa: E402

FEND, FESC, TFEND, TFESC = b"\xc0", b"\xdb", b"\xdc", b"\xdd"


def escape(data):
    return data.replace(FESC, FESC + TFESC).replace(FEND, FESC + TFEND)


def unescape(data):
    return data.replace(FESC + TFEND, FEND).replace(FESC + TFESC, FESC)


class Host:
    """One end of a line: what it hears is cut into frames (command, arguments)."""

    def __init__(self, fd, owner):
        self.fd, self.owner = fd, owner
        self.raw = b""
        os.set_blocking(fd, False)

    def close(self):
        self.owner.close()

    def say(self, *frames):
        """Frames as bytes, command first; escaped and framed here."""
        wire = b"".join(FEND + f[:1] + escape(f[1:]) + FEND for f in frames)
        self.write(wire)

    def write(self, wire):
        while wire:
            select.select([], [self.fd], [], 10)
            wire = wire[os.write(self.fd, wire):]

    def read(self):
        """What is there now; None when the line has ended."""
        try:
            more = os.read(self.fd, 65536)
        except BlockingIOError:
            return b""
        except OSError:
            return None
        if not more:
            return None
        self.raw += more
        return more

    def ended(self):
        return self.read() is None

    def frames(self):
        self.read()
        parts = [p for p in self.raw.split(FEND) if p]
        return [(p[0], unescape(p[1:])) for p in parts]

    def wait_frame(self, command, arguments=None, seconds=20):
        def there():
            return [a for c, a in self.frames() if c == command and (arguments is None or a == arguments)]
        return wait_until(there, lambda: f"frame {command:02x} {arguments}, but {self.raw[-300:]!r}", seconds)[0]

    def wait_data(self, seconds=20):
        return self.wait_frame(0x00, None, seconds)

    def data(self):
        return [a for c, a in self.frames() if c == 0x00]

    def forget(self):
        self.read()
        self.raw = b""

    def detect(self):
        """Asks until it answers: what it hears while it starts is lost."""
        asked = [0.0]

        def answered():
            if time.monotonic() > asked[0] + 0.3:
                asked[0] = time.monotonic()
                self.say(b"\x08\x73")
            return (0x08, b"\x46") in self.frames()
        wait_until(answered, lambda: f"answer to detect, but {self.raw[-300:]!r}", 20)

    def wait_boot(self):
        self.wait_frame(0x55, b"\xf8")

    def configure(self, hz=869525000, bw=125000, power=14, sf=8, cr=5):
        """The device is there and is set, as a careful host does it."""
        self.detect()
        self.say(b"\x06\x00", b"\x01" + hz.to_bytes(4, "big"), b"\x02" + bw.to_bytes(4, "big"), bytes([3, power]),
                 bytes([4, sf]), bytes([5, cr]), b"\x06\x01")
        self.wait_frame(0x06, b"\x01")
        self.forget()

    def send(self, data):
        self.say(b"\x00" + data)


class Ether:
    def __init__(self, *options, region="eu868", preset="medium", pty=False, tcp=0, **popen):
        self.dir = tempfile.TemporaryDirectory(prefix="ether")
        command = [str(BIN / "cairn-ether"), "--region", region, "--preset", preset, *map(str, options)]
        if pty:
            command += ["--pty", f"{self.dir.name}/lines"]
        if tcp:
            command += ["--tcp", ",".join(["0"] * tcp)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **popen)
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.hosts = []

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def all(self, kind, **fields):
        return [x for x in list(self.lines) if x["kind"] == kind and all(x.get(k) == v for k, v in fields.items())]

    def wait(self, kind, count=1, seconds=30, **fields):
        """The count-th line of that kind with these fields."""
        return wait_until(lambda: self.all(kind, **fields)[count - 1:], f"line {kind} {fields} number {count}", seconds)[0]

    def command(self, line):
        """Says a line and waits for its answer, which must be that it is done."""
        before = len(self.all("answer"))
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = wait_until(lambda: self.all("answer")[before:], f"answer to {line}")[0]
        check(answer["ok"], f"{line}: {answer}")
        return answer

    def line(self, station):
        self.wait("ready")
        return self.all("station", station=station)[-1]

    def serial(self, station, baud=termios.B115200):
        fd = os.open(self.line(station)["pty"], os.O_RDWR | os.O_NOCTTY)
        tty.setraw(fd)
        settings = termios.tcgetattr(fd)
        settings[4] = settings[5] = baud
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        host = Host(fd, os.fdopen(fd, "rb", 0))
        self.hosts.append(host)
        return host

    def tcp(self, station):
        where, port = self.line(station)["tcp"].split(":")
        s = socket.create_connection((where, int(port)))
        host = Host(s.fileno(), s)
        self.hosts.append(host)
        return host

    def stop(self, sig=None):
        """Ends it as Ctrl-C does; its exit code."""
        self.process.send_signal(sig or 2)
        code = self.process.wait(20)
        self.reader.join(20)
        return code

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for host in self.hosts:
            host.close()
        if self.process.poll() is None:
            self.process.kill() if kind else self.process.terminate()
        code = self.process.wait(20)
        self.reader.join(20)
        self.process.stdin.close()
        self.process.stdout.close()
        self.dir.cleanup()
        if kind:
            print("the last lines:", *map(json.dumps, self.lines[-15:]), sep="\n")
        elif code != 0:
            raise Failed(f"cairn-ether ended with {code}")
