"""Nodes as real processes in a temporary directory, for tests. Python's standard library only.

    from camp import Camp, check, wait_until, converged, main

    def test_two_nodes_meet():
        with Camp() as camp:
            base = camp.found("base")                # init and up --detach on a free port of 127.0.0.1
            team = camp.join(base, "team-1")         # invite, join and up, with base as its peer
            record = base.ok("create", "station", "water=50").strip()
            converged([base, team])
            check(team.json("show", record), "the record is not there")

    main(globals())                                  # runs every test_*; or those named in argv

Camp() makes the directory (Camp(CAIRN_STORE_STORAGE="file"): options of all its nodes, as environment); its end stops everything and removes it, also after a failure, when it first prints the
ends of the logs. camp.rng is random.Random of a seed that is printed (CAIRN_SEED replays it).

Node (camp.node(name) for one that is not set up): home, port, lobby (the address for invitations), bin (its programs)
    run(*args, input=None, timeout=120)  one cairn command: .code .out .err
    ok(*args)                            the same, must exit 0; returns standard output
    json(*args)                          the same with --json: the list of its lines
    status()                             status --json as a dict, {} when there is none
    up(*peers, lan=True) · down()        peers are nodes or "HOST:PORT"
    process(name)                        row of status()["processes"]
    table()                              {process: its line of status}, without waiting for a digest
    start(name, *args) · kill(name, signal=SIGKILL) · stop(name)
                                         one process by hand, without supervisor; kill and stop await its end
    pids()                               {process: pid} of all that runs for this home, found in /proc
    log_text()                           what all its processes have said
"""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

BIN = Path(os.environ.get("CAIRN_BIN", "build/bin")).resolve()
SOURCE = Path(os.environ.get("CAIRN_SOURCE", Path(__file__).resolve().parents[2]))
PROCESSES = ("store", "merge", "projection", "gossip")
POLL_S = 0.02


class Failed(Exception):
    """A promise does not hold."""


class Skip(Exception):
    """This machine cannot run the test; says why."""


def check(condition, message):
    if not condition:
        raise Failed(message() if callable(message) else message)


def wait_until(condition, what, seconds=60):
    """Asks other processes again and again: what they do has no event here. Returns the first true answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        check(time.monotonic() < deadline, lambda: f"no {what if isinstance(what, str) else what()} within {seconds} s")
        time.sleep(POLL_S)


def free_port(guards=[]):
    """The first of two free TCP ports, below the range that the kernel gives out by itself. Tests run beside each other:
    a third port next to them stays bound as long as this process lives, and says that they are taken."""
    for port in random.SystemRandom().sample(range(20000, 32000, 4), 2000):
        sockets = [socket.socket() for _ in range(3)]
        try:
            for i, s in enumerate(sockets):
                s.bind(("127.0.0.1", port + i))
        except OSError:
            continue
        else:
            guards.append(sockets.pop())
            return port
        finally:
            for s in sockets:
                s.close()
    raise Failed("no free port")


class Result:
    def __init__(self, args, done):
        self.args, self.code = args, done.returncode
        self.out, self.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def __str__(self):
        return f"cairn {' '.join(map(str, self.args))[:300]}: exit {self.code}\n{self.out[-2000:]}{self.err[-2000:]}"


class Node:
    def __init__(self, camp, name, home=None):
        self.camp, self.name = camp, name
        self.home = Path(home or camp.dir / name)
        self.port = free_port()
        self.bin = BIN  # where its programs are
        self.run_dir = camp.dir / f"r{len(camp.nodes)}"  # short: paths of sockets end at 107 bytes
        self.children = {}
        camp.nodes.append(self)

    # ---- addresses and environment ----

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def lobby(self):
        return f"127.0.0.1:{self.port + 1}"

    def environment(self):
        own = {"CAIRN_RUN": str(self.run_dir), "CAIRN_HOME": str(self.home), "CAIRN_BIN": str(self.bin)}
        return {**os.environ, **self.camp.options, **own}

    # ---- commands ----

    def command(self, *args):
        return [str(self.bin / "cairn"), "--home", str(self.home), *map(str, args)]

    def popen(self, *args, **options):
        """A cairn command that goes on meanwhile; ended with the camp."""
        child = subprocess.Popen(self.command(*args), env=self.environment(), **options)
        self.camp.children.append(child)
        return child

    def run(self, *args, input=None, timeout=120, **options):
        if isinstance(input, str):
            input = input.encode()
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return Result(args, subprocess.run(self.command(*args), capture_output=True, env=self.environment(),
                                           timeout=timeout, **stdin, **options))

    def ok(self, *args, **options):
        result = self.run(*args, **options)
        check(result.code == 0, lambda: f"on {self.name}: {result}")
        return result.out

    def json(self, *args, **options):
        return [json.loads(line) for line in self.ok("--json", *args, **options).splitlines()]

    def status(self):
        lines = self.run("--json", "status").out.splitlines()
        return json.loads(lines[0]) if lines else {}

    def process(self, name):
        return next((p for p in self.status().get("processes", ()) if p["name"] == name), {})

    def table(self):
        lines = {line.split()[0]: line for line in self.run("status").out.splitlines() if line.split()}
        return {name: lines.get(name, "") for name in PROCESSES}

    # ---- the whole node ----

    def up(self, *peers, lan=True):
        args = ["up", "--detach"]
        args += ["--no-discovery", "--listen", self.address] if lan else ["--no-lan"]
        for peer in peers:
            args += ["--peer", peer.address if isinstance(peer, Node) else peer]
        self.ok(*args)
        return self

    def down(self):
        self.ok("down")
        return self

    # ---- single processes ----

    def start(self, name, *args):
        if name == "gossip" and not args:
            args = ("--no-discovery", "--listen", self.address)
        log = open(self.camp.dir / f"{self.name}.{name}.log", "ab")
        self.children[name] = subprocess.Popen(
            [str(self.bin / f"cairn-{name}"), "--home", str(self.home), *map(str, args)], env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        return self.children[name]

    def kill(self, name, sig=signal.SIGKILL):
        child = self.children.pop(name)
        child.send_signal(sig)
        return child.wait(60)

    def stop(self, *names):
        """SIGTERM, and the end must be a clean one."""
        for name in names or tuple(self.children):
            code = self.kill(name, signal.SIGTERM)
            check(code == 0, f"{name} of {self.name} ended with {code} when asked to stop")

    def pids(self):
        found = {}
        for pid, words in self.camp.processes(self):
            name = Path(words[0]).name
            if name.startswith("cairn-"):
                found[name[6:]] = pid
            elif "up" in words:
                found["supervisor"] = pid
        return found

    def log_text(self):
        files = [self.home / "log/cairn.log", *sorted(self.camp.dir.glob(f"{self.name}.*.log"))]
        return "".join(f.read_text(errors="replace") for f in files if f.exists())


class Camp:
    def __init__(self, **options):
        self.options = options
        base = tempfile.gettempdir()
        self.dir = Path(tempfile.mkdtemp(prefix="c", dir=base if len(base) < 60 else "/tmp"))
        self.seed = int(os.environ.get("CAIRN_SEED") or random.SystemRandom().randrange(2**32))
        self.rng = random.Random(self.seed)
        self.nodes, self.children = [], []
        print(f"seed {self.seed} (CAIRN_SEED replays it)", flush=True)

    def node(self, name, home=None):
        return Node(self, name, home)

    def found(self, name="base", up=True, lan=True):
        node = self.node(name)
        node.ok("init", "--dataset", "Test camp", "--name", name)
        return node.up(lan=lan) if up else node

    def join(self, host, name, up=True):
        node = self.node(name)
        token = host.ok("-q", "invite", name, "--address", host.lobby).strip()
        node.ok("join", "--name", name, token)
        return node.up(host) if up else node

    # ---- the end ----

    def processes(self, node=None):
        """(pid, command line) of what was started for the camp or a node: only they have its CAIRN_RUN."""
        marks = {f"CAIRN_RUN={n.run_dir}".encode() for n in ([node] if node else self.nodes)}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and marks & set((entry / "environ").read_bytes().split(b"\0")):
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                    if words[0]:
                        yield int(entry.name), words
            except OSError:
                pass  # ended meanwhile, or is not ours

    def _end(self):
        for pid, _ in self.processes():  # first: a SIGCONT during its end would hang LeakSanitizer
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        for child in self.children:
            child.terminate()
        for node in self.nodes:
            for child in node.children.values():
                child.terminate()
            if "supervisor" in node.pids():
                node.run("down")
        for child in [c for n in self.nodes for c in n.children.values()] + self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
        for pid, _ in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def _show_logs(self):
        for node in self.nodes:
            lines = node.log_text().splitlines()
            status = {k: v for k, v in node.status().items() if k != "feeds"}
            print(f"--- {node.name}: {json.dumps(status)}")
            print(f"--- the last of its {len(lines)} lines")
            print("\n".join(lines[-15:]))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind not in (None, Skip):
                self._show_logs()
            self._end()
        except (OSError, subprocess.SubprocessError) as e:
            print(f"cleaning up: {e}")
        if os.environ.get("CAIRN_KEEP"):
            print(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def digests(node):
    s = node.status()
    return s.get("frontier_digest"), s.get("view_digest")


def converged(nodes, seconds=60):
    """Waits until all hold the same events and show the same records; returns their two digests."""
    seen = {}

    def same():
        for node in nodes:
            seen[node.name] = digests(node)
        values = set(seen.values())
        return len(values) == 1 and None not in next(iter(values)) and next(iter(values))

    return wait_until(same, lambda: f"equal digests, but {seen}", seconds)


def main(names):
    """Runs the functions test_* of a module (or those named on the command line) and exits as tests/one expects."""
    tests = {k: f for k, f in names.items() if k.startswith("test_") and callable(f)}
    chosen = sys.argv[1:] or list(tests)
    passed = failed = skipped = 0
    for name in chosen:
        begun = time.monotonic()
        try:
            print(f"== {name}", flush=True)
            tests[name]()
            passed += 1
            print(f"   {time.monotonic() - begun:.1f} s", flush=True)
        except Skip as e:
            skipped += 1
            print(f"   skipped: {e}", flush=True)
        except Exception as e:  # a test that breaks has failed; the others still run
            failed += 1
            print(f"FAILED: {name}: {e}", flush=True)
            if not isinstance(e, Failed):
                traceback.print_exc(file=sys.stdout)
    if skipped and not passed + failed:
        sys.exit(77)
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    sys.exit(1 if failed else 0)
