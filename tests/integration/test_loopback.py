#!/usr/bin/env python3
"""The line of line.py on addresses of 127.0.0.0/8, for whoever is not root. Each link is a relay in this process that is
opened and closed; nobody knows his neighbour under another address."""
import selectors
import socket
import threading

from camp import free_port, main
from line import NODES, run_line

CHUNK = 65536


class Relay(threading.Thread):
    """Takes connections at (host, port) and (host, port + 1) and passes them on to the same ports of `to`, from an
    address of its own. What is under way when it is closed is lost."""

    def __init__(self, host, source, to, port):
        super().__init__(daemon=True)
        self.source, self.to = source, to
        self.carried, self.open, self.ended = 0, False, False
        self.lock = threading.Lock()
        self.other = {}  # socket: the one on the other side
        self.selector = selectors.DefaultSelector()
        self.listeners = [self._listen(host, port + i) for i in range(2)]
        self.wake, self.woken = socket.socketpair()
        self.selector.register(self.woken, selectors.EVENT_READ)

    def _listen(self, host, port):
        s = socket.create_server((host, port))
        self.selector.register(s, selectors.EVENT_READ, port)
        return s

    def set(self, up):
        """When this returns, what is down is down."""
        with self.lock:
            self.open = up
            while self.other and not up:
                self._drop(next(iter(self.other)))

    def end(self):
        self.set(False)
        self.ended = True
        self.wake.send(b"x")
        self.join()
        for s in (*self.listeners, self.wake, self.woken):
            s.close()

    def run(self):
        while not self.ended:
            for key, _ in self.selector.select():
                with self.lock:
                    if key.data:
                        self._accept(key.fileobj, key.data)
                    elif key.fileobj in self.other:
                        self._pass_on(key.fileobj)

    def _accept(self, listener, port):
        near, _ = listener.accept()
        try:
            far = socket.create_connection((self.to, port), 5, (self.source, 0)) if self.open else None
        except OSError:
            far = None
        if far is None:
            near.close()
            return
        self.other.update({near: far, far: near})
        for s in (near, far):
            s.settimeout(20)
            self.selector.register(s, selectors.EVENT_READ)

    def _pass_on(self, s):
        try:
            data = s.recv(CHUNK)
            self.other[s].sendall(data)
        except OSError:
            data = b""
        self.carried += len(data)
        if not data:
            self._drop(s)

    def _drop(self, s):
        for end in (s, self.other.pop(s, None)):
            if end is not None:
                self.other.pop(end, None)
                self.selector.unregister(end)
                end.close()


class Relays:
    """Node i listens at 127.0.0.(10 + i); relay k, at 127.0.0.(100 + k), leads to node k."""

    def __init__(self, n):
        self.port = free_port()
        self.relays = [Relay(f"127.0.0.{100 + k}", f"127.0.0.{150 + k}", f"127.0.0.{10 + k}", self.port)
                       for k in range(n - 1)]
        self.cuts = [0] * (n - 1)

    def __enter__(self):
        for relay in self.relays:
            relay.start()
        return self

    def __exit__(self, *_):
        for relay in self.relays:
            relay.end()

    def prefix(self, i):
        return []

    def listen(self, i):
        return f"127.0.0.{10 + i}:{self.port}"

    def peer(self, i):
        return f"127.0.0.{100 + i - 1}:{self.port}"

    def set(self, k, up):
        self.cuts[k] += self.relays[k].open and not up
        self.relays[k].set(up)

    def carried(self, k):
        return self.relays[k].carried


def test_line_of_relays():
    run_line(Relays(NODES))


main(globals())
