#!/usr/bin/env python3
"""cairn radio probe at the laboratory's modems: what is there, and one clear line for everything that is not right."""
import grp
import json
import os
import pty
import socket
import subprocess
import tempfile
from pathlib import Path

from lab import BIN, Ether, check
from camp import Skip, main

NOBODY = 65534


def probe(where, *options, **popen):
    done = subprocess.run([BIN / "cairn", "radio", "probe", where, *map(str, options)], capture_output=True, text=True,
                          timeout=60, check=False, **popen)
    return done.returncode, done.stdout, done.stderr


def refused(words, where, *options, code=1, **popen):
    got, out, err = probe(where, *options, **popen)
    check(got == code and out == "", f"{got}: {out}")
    check(words in err and (code == 2 or err.count("\n") == 1), f"not one line with \"{words}\": {err}")


def test_what_is_there_on_a_line_and_on_tcp():
    with Ether("--board", "heltec-v3,t-beam", pty=True, tcp=2) as ether:
        code, out, err = probe(ether.line(1)["pty"])
        check((code, err) == (0, ""), f"{code} {err}")
        check(out == "RNode: Heltec LoRa32 v3 (ESP32, SX126x), firmware 1.86\n", out)
        ether.command("do 1 version 0x0140")
        code, out, err = probe(f"tcp:{ether.line(1)['tcp']}", "--json")
        about = json.loads(out)
        check(about["firmware"] == "1.64" and about["accepts"] is None and about["chip"] == "SX126x", about)
        check(not ether.all("radio", on=True), "its radio was left alone")


def test_what_it_takes():
    with Ether("--board", "rak4631,t-beam", pty=True) as ether:
        code, out, err = probe(ether.line(1)["pty"], "--region", "eu868", "--preset", "far")
        check(code == 0 and "869.525 MHz, 125 kHz, SF9, 4/5, 22 dBm" in out and "10 %" in out, f"{out}{err}")
        ether.wait("radio", station=1, on=True, sf=9)
        ether.wait("radio", station=1, on=False)
        code, out, err = probe(ether.line(2)["pty"], "--region", "eu868", "--json")
        accepts = json.loads(out)["accepts"]
        check(accepts["txpower_dbm"] == 17 and accepts["hz"] == 869525000, accepts)
        check(not ether.all("frame"), "it sent something")


def test_what_is_wrong_with_the_modem():
    with Ether("--stations", 6, "--board", ",".join(["rak4631"] * 5 + ["heltec-v3"]), pty=True, tcp=6) as ether:
        for line in ("1 babble 1", "2 hang 1", "3 version 0x0133", "4 provisioned 0", "4 reset"):
            ether.command(f"do {line}")
        where = {i: ether.line(i)["pty"] for i in range(1, 7)}
        refused("not an RNode: it says \"$GPGGA", where[1])
        refused("no answer", where[2])
        refused("firmware 1.51 is too old: 1.52 or newer", where[3])
        refused("does not start", where[4], "--region", "eu868")
        refused("baud rate", where[6], "--baud", 9600)
        refused("MeshCore", where[3], "--modem", "meshcore")
        taken = ether.tcp(5)
        taken.detect()
        refused("another host has it", f"tcp:{ether.line(5)['tcp']}")


def test_what_is_wrong_with_the_line():
    with tempfile.TemporaryDirectory() as folder, socket.socket() as unused:
        refused("no such device", f"{folder}/ttyACM0")
        Path(folder, "file").touch()
        refused("not a serial line", f"{folder}/file")
        unused.bind(("127.0.0.1", 0))
        refused("no modem listens on port", f"tcp:127.0.0.1:{unused.getsockname()[1]}")
        refused("no host is called", "tcp:nowhere.invalid")
    master, slave = pty.openpty()
    first = subprocess.Popen([BIN / "cairn", "radio", "probe", os.ttyname(slave)], stderr=subprocess.DEVNULL)
    check(os.read(master, 1) == b"\xc0", "the first host asks")
    refused("another program uses it", os.ttyname(slave))
    first.terminate()
    check(first.wait(20) == 1, "ends when asked to")


def test_no_permission_names_the_group():
    if os.geteuid() != 0:
        raise Skip("needs root, to be somebody else")
    master, slave = pty.openpty()
    os.chown(slave, 0, grp.getgrnam("dialout").gr_gid)
    os.chmod(slave, 0o660)
    refused("usermod -aG dialout", os.ttyname(slave), user=NOBODY, group=NOBODY, extra_groups=[])
    os.close(master)
    os.close(slave)


def test_usage():
    for words, options in (("no region \"mars\"", ("--region", "mars")),
                           ("no preset \"warp\"", ("--region", "eu868", "--preset", "warp")),
                           ("not allowed in", ("--region", "eu868", "--preset", "wide")),
                           ("needs --region", ("--preset", "far"))):
        refused(words, "/dev/null", *options, code=2)


main(globals())
