#!/usr/bin/env python3
# seconds: 600
"""The base camp of docker-compose.yml, as somebody would run it: image, first start, survey in and out, a second camp that
joins over the published port, containers killed, paused and replaced under load, a network cut, and an end without a trace.

CAIRN_IMAGE names an image to test instead of making one."""
import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from camp import SOURCE, Failed, Skip, check, free_port, main, wait_until  # noqa: E402

SURVEY = SOURCE / "tests/data/mwefloodresponse.csv"
SERVICES = ("store", "merge", "projection", "gossip")
IMAGE = os.environ.get("CAIRN_IMAGE", "cairn:test")
BASE = "debian:bookworm-slim"


def command(*args, check_code=True, env=None, stdin=None, timeout=600):
    done = subprocess.run([str(a) for a in args], capture_output=True, env={**os.environ, **(env or {})}, timeout=timeout,
                          **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}))
    check(not check_code or done.returncode == 0,
          lambda: f"{' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr.decode(errors='replace')[-3000:]}")
    return done


def need_engine():
    if not shutil.which("docker"):
        raise Skip("there is no docker on this machine")
    if command("docker", "version", check_code=False).returncode != 0:
        raise Skip("the Docker engine does not answer")
    if command("docker", "compose", "version", check_code=False).returncode != 0 and not shutil.which("docker-compose"):
        raise Skip("there is no docker-compose on this machine")


def compose_command():
    ok = command("docker", "compose", "version", check_code=False).returncode == 0
    return ["docker", "compose"] if ok else ["docker-compose"]


def make_image():
    begun = time.monotonic()
    if "CAIRN_IMAGE" in os.environ:
        return
    if command("docker", "image", "inspect", BASE, check_code=False).returncode != 0:
        command("bash", SOURCE / "deploy/base-image", BASE)
    command("docker", "build", "-q", "-t", IMAGE, "-f", SOURCE / "deploy/Dockerfile", SOURCE, timeout=900)
    size = int(command("docker", "image", "inspect", "-f", "{{.Size}}", IMAGE).stdout)
    base = int(command("docker", "image", "inspect", "-f", "{{.Size}}", BASE).stdout)
    print(f"   image: {size / 1e6:.0f} MB, of which {base / 1e6:.0f} MB are {BASE}; {time.monotonic() - begun:.0f} s", flush=True)


def host_address():
    """An address of this machine that containers reach too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 9))  # sends nothing
        return s.getsockname()[0]


class Project:
    """A camp: one compose project with a network and volumes of its own."""

    def __init__(self, name, **env):
        self.name = f"cairntest{os.getpid()}{name}"
        self.port = free_port()
        self.env = {"CAIRN_IMAGE": IMAGE, "CAIRN_PORT": str(self.port), "CAIRN_LOBBY_PORT": str(self.port + 1),
                    "CAIRN_ADVERTISE": f"{host_address()}:{self.port}", "CAIRN_NODE": name, "CAIRN_PROJECT": self.name,
                    "COMPOSE_PROJECT_NAME": self.name, **env}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.compose("logs", "--no-color", "--tail", "15", check_code=False).stdout.decode(errors="replace")[-6000:])
        self.compose("down", "--volumes", "--timeout", "5", check_code=False)

    def compose(self, *args, **options):
        return command(*compose_command(), "--project-directory", SOURCE, "-f", SOURCE / "docker-compose.yml", "-p", self.name,
                       *args, env=self.env, **options)

    def up(self):
        self.compose("up", "-d", "--no-build")
        return self.healthy()

    def container(self, service):
        return self.compose("ps", "-q", service).stdout.decode().split()[0]

    def run(self, *args, stdin=None):
        """deploy/cairn: what a user types at this host."""
        return command("bash", SOURCE / "deploy/cairn", *args, env=self.env, stdin=stdin, check_code=False)

    def ok(self, *args, **options):
        done = self.run(*args, **options)
        check(done.returncode == 0, lambda: f"{args}: {done.stdout.decode()[-500:]}{done.stderr.decode()[-1000:]}")
        return done.stdout.decode()

    def status(self):
        lines = self.run("--json", "status").stdout.splitlines()
        return json.loads(lines[0]) if lines else {}

    def healthy(self):
        for name in SERVICES:
            wait_until(lambda: self.run("health", name).returncode == 0, lambda: f"{name} of {self.name} ready", 60)
        return self


def converged(*projects):
    def same():
        rows = [(s.get("frontier_digest"), s.get("view_digest")) for s in (p.status() for p in projects)]
        return rows[0][0] and rows[0][1] and len(set(rows)) == 1
    wait_until(same, lambda: f"equal digests: {[p.status() for p in projects]}", 90)


def survey_comes_back(camp):
    camp.ok("-q", "import", SURVEY, "--form", "flood")
    with open(SURVEY, encoding="utf-8-sig", newline="") as f:
        given = sorted(map(tuple, csv.reader(f)))
    back = sorted(map(tuple, csv.reader(io.StringIO(camp.ok("export", "flood").removeprefix("\ufeff"), newline=""))))
    check(given == back, lambda: f"the survey came back otherwise: {set(given) ^ set(back)}"[:600])


def nothing_but_the_volumes(camp):
    for name in SERVICES:
        container = camp.container(name)
        uid = command("docker", "exec", container, "id", "-u").stdout.decode().strip()
        check(uid == "10117", f"{name} runs as {uid}")
        changed = command("docker", "diff", container).stdout.decode().splitlines()
        mounted = ("/run", "/run/cairn", "/var", "/var/lib", "/var/lib/cairn", f"/var/lib/cairn/{name}", "/tmp", "/usr", "/usr/sbin",
                   "/usr/sbin/docker-init")
        check(all(line[2:] in mounted for line in changed), f"{name} wrote outside of its volumes: {changed}")
        others = [other for other in SERVICES if other != name]
        for other in others:
            seen = command("docker", "exec", container, "ls", "-A", f"/var/lib/cairn/{other}").stdout
            check(not seen.strip(), f"{name} sees files of {other}: {seen}")


class Writer:
    """Writes with an idempotency key until it is told that it is written, as a careful program would."""

    def __init__(self, camp):
        self.camp, self.n = camp, 0

    def write(self):
        self.n += 1
        args = ("-q", "emit", "load", f"s{self.n}", "note", "{}", "--idem", f"k{self.n}")
        wait_until(lambda: self.camp.run(*args).returncode == 0, lambda: f"event {self.n} to be written: {self.camp.run(*args).stderr}", 90)

    def all_there(self):
        rows = [json.loads(line) for line in self.camp.ok("--json", "log", "--category", "load").splitlines()]
        names = [row["stream"] for row in rows]
        check(sorted(names) == sorted(f"s{i + 1}" for i in range(self.n)), f"{self.n} written, the log has {len(names)}: {names[-5:]}")


def disturb(camp, writer, name):
    container = camp.container(name)
    command("docker", "kill", container)
    camp.compose("up", "-d", "--no-build", "--no-deps", name)
    writer.write()
    container = camp.container(name)
    command("docker", "pause", container)
    up = [other for other in SERVICES if other != name]
    for other in up:
        check(camp.run("health", other, "--live").returncode == 0 or other == "projection" or name == "projection",
              f"{other} suffers while {name} is paused")
    command("docker", "unpause", container)
    writer.write()
    camp.compose("up", "-d", "--no-build", "--no-deps", "--force-recreate", name)
    camp.healthy()
    writer.write()


def replaced_containers_keep_who_they_are(camp, writer):
    before = camp.status()
    for name in SERVICES:
        disturb(camp, writer, name)
    after = camp.status()
    check(before["incarnation"] == after["incarnation"], "a replaced container began a new incarnation")
    check(after["forks"] == 0, "a feed has forked")
    writer.all_there()
    camp.ok("verify")


def cut_and_heal(one, two):
    gossip = two.container("gossip")
    networks = command("docker", "inspect", "-f", "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}", gossip)
    network = networks.stdout.decode().split()[0]
    command("docker", "network", "disconnect", network, gossip)
    here = one.ok("-q", "create", "station", "where=one").split()[0]
    there = two.ok("-q", "create", "station", "where=two").split()[0]
    check(one.run("show", there).returncode == 1, "what was written behind the cut is here")
    command("docker", "network", "connect", network, gossip)
    converged(one, two)
    one.ok("show", there), two.ok("show", here)


def down_in_time(camp):
    containers = {name: camp.container(name) for name in SERVICES}
    camp.compose("stop")
    for name, container in containers.items():
        code = command("docker", "inspect", "-f", "{{.State.ExitCode}}", container).stdout.decode().strip()
        check(code == "0", f"{name} ended with {code}")


def test_a_camp():
    need_engine()
    make_image()
    with Project("base", CAIRN_DATASET="Flood response") as one:
        begun = time.monotonic()
        one.up()
        print(f"   healthy after {time.monotonic() - begun:.1f} s", flush=True)
        paper = one.ok("-q", "heir", "take").strip()
        check(len(paper.split()) == 14, f"no heir key: {paper}")
        logs = one.compose("logs", "--no-color").stdout.decode(errors="replace")
        check(paper not in logs and paper.replace(" ", "") not in logs, "the heir key is in the logs")
        survey_comes_back(one)
        nothing_but_the_volumes(one)
        token = one.ok("-q", "invite", "second").strip()
        with Project("second", CAIRN_JOIN=token) as two:
            two.up()
            converged(one, two)
            check(two.status()["records"] == one.status()["records"], "the second camp shows other records")
            writer = Writer(one)
            replaced_containers_keep_who_they_are(one, writer)
            cut_and_heal(one, two)
            converged(one, two)
            down_in_time(two)
        down_in_time(one)
        one.up()  # as after the host was switched off
        writer.all_there()


main(globals())
