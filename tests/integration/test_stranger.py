#!/usr/bin/env python3
"""Strangers at the ports: keys of their own, no keys, noise, connections that say nothing, messages without end. Nobody
gets in, gossip's memory stays flat, and the members do not notice. (Without its ZAP handler nobody gets in either: the
service tests show that.)"""
import hashlib
import os
import socket
import sys

try:
    import zmq
    from zmq.utils import z85
    from zmq.utils.monitor import recv_monitor_message
except ImportError:  # Debian's Python has it
    if sys.executable != "/usr/bin/python3":
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    raise

from camp import Camp, check, converged, main, wait_until
from hands import Hand

MIB = 1 << 20
HUGE = 96 * MIB
FLAT_MIB = 64  # more than the queues of all links and AddressSanitizer keep, less than one message without end
OVER = (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_AUTH,
        zmq.EVENT_DISCONNECTED, zmq.EVENT_CLOSED)
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + bytes(33)  # ZMTP 3.0, mechanism CURVE, a client


def memory_mib(node, what):
    with open(f"/proc/{node.children['gossip'].pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(what)) / 1024


def open_files(node):
    return len(os.listdir(f"/proc/{node.children['gossip'].pid}/fd"))


def key_of(node):
    secret = (node.home / "gossip/transport.key").read_bytes()[:32]
    secret = z85.encode(secret)
    return zmq.curve_public(secret), secret


def lobby_key(node):
    """Whoever knows the dataset's id may knock at the lobby."""
    secret = hashlib.blake2b(b"cairn/1 lobby" + bytes.fromhex(node.status()["dataset"]), digest_size=32).digest()
    return zmq.curve_public(z85.encode(secret))


class Caller:
    """A ZeroMQ client of its own making."""

    def __init__(self, context, port, server=None, keys=None):
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.reconnect_ivl = -1
        if server:
            self.socket.curve_serverkey = server
            self.socket.curve_publickey, self.socket.curve_secretkey = keys or zmq.curve_keypair()
        self.events = self.socket.get_monitor_socket()
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    def say(self, *frames):
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            pass  # the connection is over already

    def end(self, seconds=60):
        """What became of it: all events until the connection was over."""
        seen = []
        while not seen or seen[-1] not in OVER:
            check(self.events.poll(seconds * 1000), f"no end of a stranger's connection: {seen}")
            seen.append(recv_monitor_message(self.events)["event"])
        return seen

    def close(self):
        self.socket.disable_monitor()
        self.socket.close(0)


def knock_with_own_key(context, base, server):
    for _ in range(20):
        caller = Caller(context, base.port, server)
        caller.say(b"let me in", b"please")
        seen = caller.end()
        check(zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen and zmq.EVENT_HANDSHAKE_FAILED_AUTH in seen, f"a stranger: {seen}")
        check(not caller.socket.poll(0, zmq.POLLIN), "a stranger was answered")
        caller.close()


def knock_without_key(context, base):
    for port in (base.port, base.port + 1):
        caller = Caller(context, port)
        caller.say(b"x" * MIB)
        seen = caller.end()
        check(zmq.EVENT_HANDSHAKE_SUCCEEDED not in seen, f"let in without CURVE: {seen}")
        caller.close()


def noise(rng, port):
    with socket.create_connection(("127.0.0.1", port)) as s:
        start = rng.choice((b"", GREETING[:10], GREETING, GREETING + b"\x06" + b"\xff" * 8))
        try:
            s.sendall(start + rng.randbytes(rng.randrange(1, 20000)))
        except (ConnectionResetError, BrokenPipeError):
            pass


def endless_bytes(port):
    """The header of a frame of 2**56 bytes, and as many of them as the other side takes."""
    sent, chunk = 0, bytes(MIB)
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(20)
        try:
            s.sendall(GREETING + b"\x06" + (1 << 56).to_bytes(8, "big"))
            while sent < HUGE:
                sent += s.send(chunk)
        except OSError:
            return True
    return False


def over_long(context, port, server, keys=None):
    """From somebody whose key is good: a message that no member would ever send."""
    caller = Caller(context, port, server, keys)
    caller.say(b"envelope", bytes(HUGE))
    seen = caller.end()
    check(zmq.EVENT_HANDSHAKE_SUCCEEDED in seen and zmq.EVENT_DISCONNECTED in seen, f"after a message of {HUGE >> 20} MiB: {seen}")
    caller.close()


def test_strangers():
    context = zmq.Context()
    try:
        attack(context)
    finally:
        context.destroy(0)


def attack(context):
    with Camp() as camp:
        base = Hand.found(camp, ASAN_OPTIONS=f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=8")
        member, insider = Hand.join(base, "member"), Hand.join(base, "insider")
        converged([base, member, insider])
        insider.part()
        server = key_of(base)[0]
        knock_with_own_key(context, base, server)
        before, files = memory_mib(base, "VmRSS"), open_files(base)

        held = [socket.create_connection(("127.0.0.1", base.port + i % 2)) for i in range(60)]
        for s in held[::2]:
            s.sendall(GREETING[:11])
        record = member.create("tent", "beds=1")
        knock_with_own_key(context, base, server)
        knock_without_key(context, base)
        for i in range(60):
            noise(camp.rng, base.port + i % 2)
        for port in (base.port, base.port + 1):
            check(endless_bytes(port), f"port {port - base.port}: a frame without end was taken")
        converged([base, member])
        check(record in [r["record"] for r in base.json("ls", "tent")], "the members did notice")
        for _ in range(3):
            over_long(context, base.port, server, key_of(insider))
            over_long(context, base.port + 1, lobby_key(base))
        for s in held:
            s.close()

        grown = memory_mib(base, "VmHWM") - before
        print(f"   memory of gossip: {before:.0f} MiB, at most {grown:.0f} MiB more meanwhile", flush=True)
        check(grown < FLAT_MIB, f"gossip grew by {grown:.0f} MiB")
        wait_until(lambda: open_files(base) <= files + 4, lambda: f"{files} open files again, but {open_files(base)}")
        check([m["name"] for m in base.json("member", "ls")] == ["base", "member", "insider"], "somebody got in")
        base.ok("set", record, "beds=2")
        converged([base, member])
        insider.meet(base)  # it is not to blame for who has used its key
        converged([base, member, insider])


main(globals())
