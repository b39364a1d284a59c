#!/usr/bin/env python3
"""cairn-ether as its hosts and its users meet it: real lines, real time."""
import json
import os
import socket
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from lab import BIN, Ether, Host, check, wait_until
from camp import main


def test_serial_to_tcp():
    with Ether(pty=True, tcp=2) as ether:
        a, b = ether.serial(1), ether.tcp(2)
        a.configure()
        b.configure()
        a.send(b"hello \xc0\xdb over there")
        check(b.wait_data() == b"hello \xc0\xdb over there", lambda: f"{b.raw!r}")
        commands = [c for c, _ in b.frames()]
        at = commands.index(0x00)
        check(commands[at - 2:at] == [0x23, 0x24], "RSSI and SNR come first")
        b.send(b"and back")
        check(a.wait_data() == b"and back", lambda: f"{a.raw!r}")
        frame = ether.wait("frame")
        check(frame["from"] == 1 and frame["bytes"] == 20 and frame["heard"][0]["station"] == 2, frame)
        check(frame["airtime_ms"] == 123.392 and frame["band"] == "P" and frame["lost"] == [], frame)
        check(bytes.fromhex(frame["data"])[1:] == b"hello \xc0\xdb over there", frame)
        check(ether.wait("radio", station=1, on=True)["as_preset"], "medium it is")


def test_the_line_has_a_stable_name_and_opening_it_resets():
    with Ether("--board", "heltec-v3,rak4631", pty=True) as ether:
        first, second = ether.line(1), ether.line(2)
        check(Path(first["pty"]).name == "station-1" and os.path.realpath(first["pty"]) == first["device"], first)
        for station, resets in ((1, True), (2, False)):
            host = ether.serial(station)
            host.configure()
            host.close()
            ether.hosts.clear()
            ether.wait("host", station=station, line="none")
            again = ether.serial(station)
            if resets:
                again.wait_boot()
            again.detect()
            again.forget()
            again.say(b"\x06\xff")
            state = again.wait_frame(0x06)
            check(state == (b"\x00" if resets else b"\x01"), f"station {station}: {state}")
            check(first["pty"] == ether.line(1)["pty"] and second["pty"] == ether.line(2)["pty"], "other names")


def test_silent_tcp_host_is_dropped_and_its_radio_off():
    with Ether("--stations", 1, tcp=1) as ether:
        host = ether.tcp(1)
        host.configure()
        begun = time.monotonic()
        wait_until(host.ended, "end of the connection")
        check(6 < time.monotonic() - begun, "too early")
        check(not ether.wait("radio", station=1, on=False)["on"], "the radio is still on")
        again = ether.tcp(1)
        again.detect()
        again.say(b"\x06\xff")
        check(again.wait_frame(0x06) == b"\x00", lambda: f"{again.raw!r}")


def test_one_tcp_host_at_a_time():
    with Ether("--stations", 1, pty=True, tcp=1) as ether:
        serial = ether.serial(1)
        serial.detect()
        first = ether.tcp(1)
        first.detect()
        second = ether.tcp(1)
        second.say(b"\x08\x73")
        serial.forget()
        serial.say(b"\x08\x73")
        first.forget()
        first.detect()
        check(second.read() == b"" and serial.read() == b"", "two hosts at once")
        first.close()
        wait_until(second.ended, "end of who waited")
        serial.wait_frame(0x08, b"\x46")  # its bytes had waited


def test_wrong_baud_rate_is_nonsense():
    with Ether("--board", "heltec-v3,rak4631", pty=True) as ether:
        slow = ether.serial(1, termios.B9600)
        slow.say(b"\x08\x73")
        ether.command("do 1 reset")
        wait_until(lambda: slow.read() or len(slow.raw) > 50, "noise")
        check(b"\xc0" not in slow.raw and b"ESP" not in slow.raw, lambda: f"{slow.raw!r}")
        native = ether.serial(2, termios.B9600)
        native.detect()


def test_pulled_out_and_put_back():
    with Ether("--stations", 1, pty=True, tcp=1) as ether:
        serial, tcp = ether.serial(1), ether.tcp(1)
        tcp.configure()
        path, address = ether.line(1)["pty"], ether.line(1)["tcp"]
        ether.command("unplug 1")
        wait_until(serial.ended, "end of the serial line")
        wait_until(tcp.ended, "end of the connection")
        check(not os.path.lexists(path), "the name is still there")
        try:
            socket.create_connection(tuple(address.split(":")), 5).close()
            check(False, "somebody listens")
        except OSError:
            pass
        ether.command("plug 1")
        check(ether.line(1)["pty"] == path and ether.line(1)["tcp"] == address, "another place")
        ether.serial(1).detect()
        again = ether.tcp(1)
        again.detect()
        again.say(b"\x06\xff")
        check(again.wait_frame(0x06) == b"\x00", "it had no power")


def test_drips():
    with Ether("--stations", 1, pty=True) as ether:
        host = ether.serial(1)
        host.detect()
        host.forget()
        ether.command("drip 1")
        host.say(b"\x42\x01")  # 512 bytes of framebuffer
        pieces = []
        while sum(map(len, pieces)) < 515:
            piece = host.read()
            check(piece is not None, "the line ended")
            if piece:
                pieces.append(piece)
        check(len(pieces) > 50, f"{len(pieces)} pieces")


def test_faults_from_the_console():
    with Ether("--stations", 1, "--board", "rak4631", tcp=1) as ether:
        host = ether.tcp(1)
        host.configure()
        ether.command("do 1 error 5")
        check(host.wait_frame(0x90) == b"\x05", "no error")
        ether.command("do 1 reset")
        host.wait_boot()
        ether.command("do 1 version 0x0132")
        host.detect()
        host.say(b"\x50\x00")
        check(host.wait_frame(0x50) == b"\x01\x32", "another version")
        ether.process.stdin.write("do 9 reset\ndo 1 dance\nunheard of\n" + "x" * 5000 + "\ndo 1 error 300\n")
        ether.process.stdin.flush()
        for wrong in ("do 9 reset", "do 1 dance", "unheard of", "do 1 error 300"):
            check(not ether.wait("answer", to=wrong)["ok"], wrong)


def test_partition_and_loss_file():
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan"
        plan.write_text("# a hill\nlink 1 3 off\nway 2 1 rssi -100\n")
        with Ether("--stations", 3, "--loss", plan, "--totals", tcp=3) as ether:
            hosts = [ether.tcp(i) for i in (1, 2, 3)]
            for host in hosts:
                host.configure()
            hosts[0].send(b"one")
            frame = ether.wait("frame")
            check([h["station"] for h in frame["heard"]] == [2], frame)
            check(frame["lost"] == [{"station": 3, "why": "cut"}], frame)
            ether.command("cut 1 | 2,3")
            hosts[1].send(b"two")
            frame = ether.wait("frame", 2)
            check([h["station"] for h in frame["heard"]] == [3], frame)
            ether.command("heal")
            hosts[1].send(b"three")
            frame = ether.wait("frame", 3)
            check({"station": 1, "rssi_dbm": -100.0, "snr_db": 12.0} in frame["heard"], frame)
            check(ether.stop() == 0, "not a clean end")
        totals = ether.all("totals")
        check([t["station"] for t in totals] == [1, 2] and totals[1]["frames"] == 2, totals)
        frames = ether.all("frame", **{"from": 2})
        check(abs(totals[1]["airtime_ms"] - sum(f["airtime_ms"] for f in frames)) < 0.01, totals)
        check(totals[0]["limit_ms"] == 360000 and totals[0]["lawful"] and "EN 300 220" in totals[0]["regulation"], totals)


def test_recorded_and_played_again():
    with tempfile.TemporaryDirectory() as folder:
        tape = Path(folder) / "tape"
        with Ether("--record", tape, tcp=2) as ether:
            a, b = ether.tcp(1), ether.tcp(2)
            a.configure()
            b.configure()
            for word in (b"first", b"second"):
                b.forget()
                a.send(word)
                b.wait_data()
            ether.wait("frame", 2)
        lines = [json.loads(x) for x in tape.read_text().splitlines()]
        check([x["kind"] for x in lines] == ["frame", "frame"], lines)
        with Ether("--stations", 1, tcp=1) as ether:
            host = ether.tcp(1)
            host.configure()
            ether.command(f"play {tape} 100ms")
            frames = [ether.wait("frame", i) for i in (1, 2)]
            check([f["from"] for f in frames] == ["player", "player"], frames)
            check([f["data"] for f in frames] == [x["data"] for x in lines], frames)
            gap = frames[1]["at_ms"] - frames[0]["at_ms"]
            check(abs(gap - (lines[1]["at_ms"] - lines[0]["at_ms"])) < 0.01, gap)
            wait_until(lambda: host.data() == [b"first", b"second"], lambda: f"both, but {host.data()}")


def test_speed():
    """Five minutes of the ether within the patience of a test, and a host that is not in a hurry keeps its connection."""
    with Ether("--stations", 1, "--speed", 60, tcp=1) as ether:
        host = ether.tcp(1)
        host.configure()

        def at_ms():
            ether.command("stations")
            return ether.all("state")[-1]["at_ms"]
        wait_until(lambda: at_ms() > 300000, "five minutes of the ether", 60)
        host.forget()
        host.detect()


def run(*options):
    done = subprocess.run([BIN / "cairn-ether", *options], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=30)
    return done.returncode, done.stderr


def test_clear_errors():
    base = ("--region", "eu868", "--preset", "medium")
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        bad = Path(folder) / "bad"
        bad.write_text("link 1 2 off\n\nlink 1 7 off\n")
        tape = Path(folder) / "tape"
        tape.write_text('{"kind":"ready"}\n{"kind":"frame","at_ms":1}\n')
        cases = [
            (("--preset", "medium"), 2, "--region is missing"),
            (("--region", "eu868"), 2, "--preset is missing"),
            (("--region", "mars"), 2, 'no region "mars"'),
            ((*base, "--stations", "0"), 2, "--stations wants"),
            ((*base, "--stations", "256"), 2, "--stations wants"),
            ((*base, "--speed", "nan"), 2, "--speed wants"),
            ((*base, "--seed", "x"), 2, "--seed wants"),
            ((*base, "--board", "toaster"), 2, 'no board "toaster"'),
            ((*base, "--tcp", "99999"), 2, "--tcp wants"),
            ((*base, "--tcp", "1,2,3"), 2, "more ports than"),
            ((*base, "--tcp", f"127.0.0.1:{taken.getsockname()[1]}"), 69, "cannot listen on"),
            ((*base, "--tcp", "nowhere.example:1"), 69, "no address"),
            ((*base, "--loss", f"{folder}/none"), 65, "cannot read"),
            ((*base, "--loss", str(bad)), 65, "bad:3: "),
            ((*base, "--replay", str(tape)), 65, "tape:2: "),
            ((*base, "--record", f"{folder}/no/where"), 73, "cannot write"),
            ((*base, "--pty", f"{folder}/no/where"), 69, "cannot make"),
            ((*base, "--bogus",), 2, "--bogus"),
            ((*base, "word"), 2, "unexpected argument"),
        ]
        for options, code, words in cases:
            got, text = run(*options)
            check(got == code and words in text, f"{options}: {got} {text}")


def test_nobody_reads():
    read, write = os.pipe()
    done = subprocess.Popen([BIN / "cairn-ether", "--region", "eu868", "--preset", "medium"], stdin=subprocess.DEVNULL,
                            stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    os.close(read)
    code = done.wait(20)
    text = done.stderr.read().decode()
    done.stderr.close()
    check(code == 74 and "standard output" in text, f"{code} {text}")


main(globals())
