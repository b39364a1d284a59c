"""Bad input: one clear line that says what to do, the right exit code, nothing half done."""
import hashlib
import os
import shutil
import subprocess
import time

from camp import BIN, PROCESSES, Camp, Node, check, main, wait_until


def refused(node, code, words, *args, **options):
    """The command ends so, with one line on standard error that holds all of the words, and nothing on stdout."""
    result = node.run(*args, **options)
    check(result.code == code, f"exit {code} was expected: {result}")
    lines = [line for line in result.err.splitlines() if line and not line.startswith("Asking ")]
    check(len(lines) == 1 or (code == 2 and len(lines) <= 3), f"one line was expected: {result}")
    check(len(result.err) < 800, f"that is no clear line: {result}")
    for word in words if isinstance(words, tuple) else (words,):
        check(word.lower() in result.err.lower(), f"{word!r} is not said: {result}")
    check(not result.out.strip(), f"printed all the same: {result}")
    return result


def events(node):
    return len(node.json("log"))


def test_csv():
    with Camp() as camp:
        node = camp.found(lan=False)

        def file(name, content):
            path = camp.dir / name
            path.write_bytes(content)
            return path

        def partly(name, content, records, *words):
            """The broken rows are named by their line, the others go in; again adds nothing."""
            path = file(name, content)
            for _ in range(2):
                result = node.run("-q", "import", path, "--form", name, "--key", "id")
                check(result.code == 1, f"rows were broken, so exit 1: {result}")
                for word in words:
                    check(word.lower() in result.err.lower(), f"{word!r} is not said: {result}")
                check(len(result.err.strip().splitlines()) <= len(words) + 1, f"more than a line each: {result}")
                got = {r["record"] for r in node.json("ls", name)}
                check(got == set(records), f"{name}: records {got}")

        partly("latin1", b"id,name\na,Malm\xf6\nb,Oslo\n", "b", ":2:", "UTF-8")
        partly("ragged", b"id,name\na,x\nb\nc,x,y\nd,z\n", "ad", ":3:", ":4:")
        partly("nul", b"id,name\na,x\x00y\nb,z\n", "b", ":2:", "NUL")
        partly("giant", b"id,name\na," + b"x" * (10 << 20) + b"\nb,z\n", "b", ":2:", "more than")
        partly("open", b'id,name\na,x\n"b,y\n', "a", ":3:", "not closed")
        partly("twice", b"id,name\na,x\na,y\nb,z\n", "ab", ":3:")
        check(node.json("show", "a", "--form", "twice")[0]["conflicts"] == 0, "a duplicate key made a conflict")

        before = events(node)
        refused(node, 1, ("nothing.csv", "no such file"), "-q", "import", camp.dir / "nothing.csv", "--form", "f")
        refused(node, 1, "nokey", "-q", "import", file("k.csv", b"id,name\na,x\n"), "--form", "f", "--key", "nokey")
        refused(node, 1, "empty", "-q", "import", file("e.csv", b""), "--form", "f")
        refused(node, 1, "directory", "-q", "import", camp.dir, "--form", "f")
        refused(node, 1, ("two columns", "id"), "-q", "import", file("c.csv", b"id,id\na,x\n"), "--form", "f")
        refused(node, 1, ("header", "UTF-8"), "-q", "import", file("u.csv", "id,name\na,x\n".encode("utf-16")), "--form", "f")
        refused(node, 1, "nowhen", "-q", "import", camp.dir / "k.csv", "--form", "f", "--at", "nowhen")
        refused(node, 2, "--form", "import", camp.dir / "k.csv")
        check(events(node) == before, "something went in all the same")
        node.down()


def test_json_and_names():
    with Camp() as camp:
        node = camp.found(lan=False)
        record = node.ok("create", "station", "water=1").strip()
        before = events(node)
        refused(node, 2, "JSON", "emit", "c", "s", "k", '{"a": NaN}')
        refused(node, 2, ("a", "twice"), "emit", "c", "s", "k", '{"a": 1, "a": 2}')
        refused(node, 2, "JSON", "emit", "c", "s", "k", '{"a": ')
        refused(node, 2, "JSON", "emit", "c", "s", "k", "-", input="{} {}")
        refused(node, 2, "JSON", "emit", "c", "s", "k", '{"a": Infinity}')
        refused(node, 2, "too large", "emit", "c", "s", "k", '{"a": 1e999}')
        refused(node, 2, "nested", "emit", "c", "s", "k", "[" * 20 + "]" * 20)
        refused(node, 2, ("category", "64", "'/'"), "emit", "a/b", "s", "k", "1")
        refused(node, 2, ("category", "64"), "create", "f" * 65, "a=1")
        refused(node, 2, ("record", "128"), "create", "f", "a=1", "--id", "i" * 129)
        refused(node, 2, ("kind", "64"), "emit", "c", "s", "k" * 65, "1")
        refused(node, 2, ("twice", "a"), "create", "f", "a=1", "a=2")
        refused(node, 2, "UTF-8", "create", "f", "a=\udcff")
        refused(node, 1, "nosuchform", "export", "nosuchform")
        refused(node, 1, ("no member", "nobody"), "member", "remove", "nobody")
        refused(node, 1, "there is records", "projection", "rebuild", "no-such")
        refused(node, 2, "--expect", "emit", "c", "s", "k", "1", "--expect", "some")
        refused(node, 1, ("0 events", "nothing was written"), "emit", "c", "s", "k", "1", "--expect", "3")
        refused(node, 1, "nobody", "show", "nobody")
        refused(node, 1, "nobody", "set", "nobody", "water=2")
        refused(node, 1, "nobody", "delete", "nobody")
        refused(node, 2, "=", "set", record, "water")
        refused(node, 2, "--at", "set", record, "water=2", "--at", "tomorrow")
        refused(node, 2, "--replaces", "set", record, "water=2", "--replaces", "x")
        for args in (("create", "f" * 300, "a=1"), ("create", "f", "a=1", "--id", "i" * 300),
                     ("emit", "c" * 300, "s", "k", "1"), ("emit", "c", "s", "k" * 300, "1"),
                     ("create", "f", "a=" + "x" * 70000), ("emit", "c", "s", "k", "1", "--idem", "i" * 300)):
            result = node.run(*args)
            check(result.code in (1, 2) and len(result.err.strip().splitlines()) == 1 and len(result.err) < 800,
                  f"one clear line was expected: {result}")
        refused(node, 2, "help", "no-such-command")
        check("status" in node.run("statsu").err, "no did-you-mean")
        check(events(node) == before, "something went in all the same")
        node.down()


def test_names_and_addresses():
    with Camp() as camp:
        node = camp.node("a")
        for title, name in (("t" * 129, "a"), ("", "a"), ("t", "n" * 65), ("t", ""), ("t", "two\nlines"), ("t", "\x1b[2J")):
            refused(node, 2, "one line of 1 to", "init", "--dataset", title, "--name", name)
        refused(node, 2, "one line of 1 to", "join", "--name", "n" * 65, "cairn1")
        check(not node.home.exists(), "a name that cannot be left a home behind")
        node = camp.found(up=False)
        for address in ("camp", "camp:", ":7117", "127.0.0.1:65535", "a b:1"):
            refused(node, 2, ("--listen", "ADDR:PORT"), "up", "--detach", "--listen", address)
            refused(node, 2, ("--peer", "HOST:PORT"), "up", "--detach", "--no-lan", "--peer", address)
        check(not node.pids(), "half of the node is up")
        node.up()
        for name in ("n" * 65, "", "two\nlines"):
            refused(node, 2, "NAME", "invite", name)
        refused(node, 2, ("--address", "HOST:PORT"), "invite", "team", "--address", "camp")
        node.down()


def test_bundles():
    with Camp() as camp:
        node, other = camp.found(lan=False), camp.found("other", lan=False)
        node.ok("create", "station", "water=1")
        stick = camp.dir / "stick"
        node.ok("bundle", "write", stick)
        raw = stick.read_bytes()

        def file(name, content):
            path = camp.dir / name
            path.write_bytes(content)
            return path

        later = raw[:8] + (2).to_bytes(4, "big") + raw[12:48]
        later += hashlib.blake2b(later, digest_size=32).digest()[:8] + raw[56:]
        before = events(other)
        refused(other, 1, ("another dataset", str(stick)), "bundle", "read", stick)
        refused(node, 1, ("newer", "update"), "bundle", "read", file("later", later))
        refused(node, 1, "not a Cairn bundle", "bundle", "read", file("empty", b""))
        refused(node, 1, "not a Cairn bundle", "bundle", "read", file("text", b"hello" * 100))
        for words, content in (("cut short", raw[:-30]), ("damaged", raw[:-60] + bytes([raw[-60] ^ 1]) + raw[-59:])):
            result = node.run("bundle", "read", file("broken", content))  # what was whole is told on standard output
            check(result.code == 1 and words in result.err and "copy the file again" in result.err and
                  result.err.count("\n") == 1, f"one clear line was expected: {result}")
        refused(node, 1, "cannot read", "bundle", "read", camp.dir)
        refused(node, 1, ("cannot write", "nowhere"), "bundle", "write", camp.dir / "nowhere/stick")
        check(events(other) == before, "something of another dataset was taken")
        for n in (node, other):
            n.down()


def test_tokens():
    with Camp() as camp:
        base = camp.found()
        token = base.ok("-q", "invite", "a", "--address", base.lobby).strip()
        late = base.ok("-q", "invite", "b", "--address", base.lobby, "--expires", "1s").strip()
        expires = time.time() + 1.1
        joiner = camp.node("joiner")
        middle = len(token) // 2
        wrong = token[:middle] + ("q" if token[middle] != "q" else "p") + token[middle + 1:]
        for bad in (wrong, token[:-3], token + "x"):
            refused(joiner, 1, ("mistyped",), "join", bad)
        refused(joiner, 1, "token", "join", "hello")
        check(not (joiner.home / "dataset").exists(), "a mistyped token left something behind")
        joiner.ok("join", token)
        second = camp.node("second")
        refused(second, 1, "used", "join", token)
        wait_until(lambda: time.time() > expires, "passing of a second")
        refused(second, 1, "expired", "join", late)
        check(not (second.home / "dataset").exists(), "a refused joiner holds a dataset")
        refused(joiner, 1, "already", "join", token)
        refused(base, 1, "already", "init", "--dataset", "Another", "--name", "x")
        check(len(base.json("member", "ls")) in (1, 2) and "second" not in base.ok("member", "ls"), "who was refused is in")
        base.down()


def test_homes_ports_and_config():
    with Camp() as camp:
        base = camp.found()
        nowhere = camp.node("nowhere")
        refused(nowhere, 1, ("no dataset", "init"), "status")
        refused(nowhere, 1, ("no dataset", "init"), "up", "--detach")
        check(not nowhere.home.exists(), "asking made a home directory")
        (camp.dir / "file").write_text("x")
        refused(Node(camp, "file", camp.dir / "file"), 1, "not a directory", "status")
        refused(base, 1, "already", "up", "--detach")

        other = camp.found("other", up=False)
        gossip = other.start("gossip", "--no-discovery", "--listen", base.address)
        wait_until(lambda: f"port {base.port}" in other.log_text() and "in use" in other.log_text(), "word of the port")
        check(gossip.poll() is None, "gossip gave up instead of waiting for the port")
        other.stop("gossip")
        refused(other, 1, (f"port {base.port}", "in use", "--listen"), "up", "--detach", "--no-discovery", "--listen", base.address)
        check("in use" in other.process("gossip")["why"], f"status does not say why: {other.run('status')}")
        other.down()

        config = other.home / "cairn.conf"
        config.write_text("log {\n  level = \"info\"\n}\ngossip {\n  lissten = \"x\"\n}\n")
        result = other.run("config", "check")
        check(result.code == 1 and "lissten" in result.err and "5" in result.err, f"no line of the bad key: {result}")
        for name in PROCESSES:
            done = subprocess.run([BIN / f"cairn-{name}", "--home", other.home], capture_output=True, text=True,
                                  env=other.environment(), timeout=60)
            check(done.returncode == 78 and "lissten" in done.stderr and "5" in done.stderr,
                  f"{name} with a bad config: {done}")
        config.unlink()

        if os.geteuid() == 0:  # only root can give a directory away
            os.chown(other.home, 12345, 12345)
            refused(other, 1, ("another user", "12345"), "status")
            os.chown(other.home, 0, 0)
        shutil.rmtree(other.home / "store", ignore_errors=True)
        base.down()


main(globals())
