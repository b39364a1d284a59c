#!/usr/bin/env python3
# seconds: 300
"""The founder's machine is lost, and a member takes over with the heir key from paper: it invites, removes and adds again;
what the old founder writes later counts nowhere, whoever heard what first."""
import os
import pty
import shutil
import signal

from camp import Camp, Failed, check, converged, main
from hands import SECRET, Hand, gone


def found(camp):
    """A founder's node, and what it printed to be kept on paper."""
    base = Hand(camp, "base")
    paper = base.ok("init", "--dataset", "Test camp", "--name", "base").strip()
    return base.wake().meet(), paper


def members(node):
    """{(number, name): (role, state, self)}"""
    return {(m["number"], m["name"]): (m["role"], m["state"], m["self"]) for m in node.json("member", "ls")}


def names(node, form):
    return sorted(r["record"] for r in node.json("ls", form))


def use(node, paper, *options):
    """Takes over; returns the next paper."""
    return node.ok("-q", "heir", "use", "--yes", *options, "-", input=paper).strip()


def mistype(paper):
    return paper[:-1] + ("7" if paper[-1] != "7" else "8")


def test_a_member_takes_over():
    with Camp() as camp:
        base, paper = found(camp)
        team, late = Hand.join(base, "team"), Hand.join(base, "late")
        station = base.create("station", "water=1")
        converged([base, team, late])
        for node in (base, team, late):
            node.part()
        base.sleep()
        shutil.copytree(base.home, camp.dir / "thief")
        shutil.rmtree(base.home)

        check("yes" in team.ok("heir", "check", "-", input=paper), "the paper key is not known as the heir's")
        next_paper = use(team, paper)
        check(team.json("heir", "check", "-", input=next_paper)[0]["heir"] == "stands", "the next key is not the heir's")
        check(members(team)[1, "base"] == ("founder", "removed", False), lambda: str(members(team)))
        check(members(team)[1, "team"] == ("founder", "member", True), lambda: str(members(team)))
        check(members(team)[2, "team"][2] and team.status()["founder"], lambda: str(members(team)))

        # The thief writes with the founder's key, adds a member, and meets somebody who has not heard.
        thief = Hand(camp, "thief")
        thief.wake().meet()
        stolen = thief.create("station", "water=400")
        thief.ok("set", station, "water=500")
        crook = Hand.join(thief, "crook")
        late.meet(thief)
        converged([late, thief, crook])
        check(names(late, "station") == sorted([station, stolen]), "late does not hold what it is to unlearn")
        late.part(), crook.part()

        team.meet()
        fresh = Hand.join(team, "fresh")
        record = fresh.create("tent", "beds=3")
        late.meet(team)
        converged([team, late, fresh])
        spoilt = fresh.create("tent", "beds=4", f"who={SECRET}")
        converged([team, fresh])
        told = team.json("erase", spoilt, "who", "--why", "asked to")[0]
        check(told["at_once"] and len(told["erased"]) == 1, lambda: f"the successor is not the founder: {told}")
        converged([team, late, fresh])
        gone(team, late, fresh)
        for node in (team, late, fresh):
            check(names(node, "station") == [station] and names(node, "tent") == sorted([record, spoilt]), f"{node.name} shows a thief's")
            check(node.values(station, "water") == [1], f"{node.name} shows {node.values(station, 'water')}")
            check(node.status()["forks"] == 0, f"{node.name} takes several keys for a fork")
            check(node.show(station)["writes"][0]["author"] == "base", "somebody else wrote what the founder wrote")
            node.ok("verify")
        check(members(late)[3 if (3, "crook") in members(late) else 4, "crook"][1] == "orphaned", lambda: str(members(late)))

        # After restarts, and by a file as by the network.
        team.part().sleep()
        team.wake().meet()
        stick = camp.dir / "stick.cairn"
        thief.ok("bundle", "write", stick)
        late.run("bundle", "read", stick)
        thief.meet(late)
        team.ok("-q", "member", "remove", "fresh")
        late.meet(team)
        converged([team, late])
        check(members(late)[[n for n, name in members(late) if name == "fresh"][0], "fresh"][1] == "removed", "not removed")
        check(not any(p["state"] == "live" and p["member"] == 1 for p in late.status()["peers"]), "the thief is connected")

        for word in (paper, next_paper):
            check(word not in team.log_text() and word.replace(" ", "") not in team.log_text(), "a key is in the log")
        check((team.home / "merge/founder.key").stat().st_mode & 0o777 == 0o600, "the founder's key lies open")


def test_less_is_kept_and_members_come_back():
    with Camp() as camp:
        base, paper = found(camp)
        team, other = Hand.join(base, "team"), Hand.join(base, "other")
        converged([base, team, other])
        base.part()
        team.part()
        use(team, paper, "--heads", "1:2")  # genesis, and the event that added team
        check(members(team)[3, "other"][1] == "orphaned" and team.status()["orphans"] == 1, lambda: str(members(team)))
        check("readd" in team.run("member", "ls").err + team.ok("status"), "the one command is not told")
        check(other.run("member", "readd", "other").code == 1, "somebody adds himself")
        team.ok("member", "readd", "--all")
        check(members(team)[3, "other"][:2] == ("field", "member") and team.status()["orphans"] == 0, lambda: str(members(team)))
        team.meet()
        other.meet(team)
        converged([team, other])  # before, it has lost whoever added it, and may not write
        record = other.create("tent", "beds=1")
        converged([team, other])
        check(names(team, "tent") == [record], "what other writes does not count")
        check(base.run("create", "tent").code == 0 and "team" in str(members(base)), "base has heard by itself")
        base.meet(team)
        team.meet(other)
        use_again = base.run("heir", "use", "--yes", "-", input=paper)
        check(use_again.code == 1, "the founder's own machine takes over from itself")


def test_two_people_have_the_paper():
    with Camp() as camp:
        base, paper = found(camp)
        a, b = Hand.join(base, "a"), Hand.join(base, "b")
        converged([base, a, b])
        for node in (base, a, b):
            node.part()
        only_b = base.create("tent", "beds=1")
        base.meet()
        b.meet(base)
        converged([base, b])
        base.part(), b.part()
        papers = [use(a, paper), use(b, paper)]
        a.meet()
        b.meet(a)
        converged([a, b])
        check(names(a, "tent") == [] == names(b, "tent"), f"{only_b} was kept by one of the two")
        for node in (a, b):
            founders = sorted(name for (number, name), (_, state, _) in members(node).items()
                              if number == 1 and state == "member")
            check(founders == ["a", "b"] and node.status()["founder"], f"{founders}")
            for word, state in ((paper, "used"), (papers[0], "stands"), (papers[1], "stands")):
                check(f'"{state}"' in node.run("--json", "heir", "check", "-", input=word).out, f"a key is not {state}")
        joined = [Hand.join(a, "by-a"), Hand.join(b, "by-b")]
        converged([a, b, *joined])


def unanswered(*_):
    raise Failed("a question that the test does not know")


def at_terminal(node, *args, answers):
    """A command at a terminal of its own: what is seen there, and its exit code."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(node.command()[0], node.command(*args), node.environment())
    seen = b""
    signal.signal(signal.SIGALRM, unanswered)
    signal.alarm(60)
    try:
        while piece := os.read(fd, 4096):
            seen += piece
            if answers and answers[0][0].encode() in seen:
                os.write(fd, answers.pop(0)[1].encode() + b"\n")
    except OSError:
        pass  # the other end is gone
    signal.alarm(0)
    return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_typed_at_a_terminal():
    with Camp() as camp:
        base, paper = found(camp)
        team = Hand.join(base, "team")
        for answer, code in (("n", 1), ("y", 0)):
            seen, got = at_terminal(team, "heir", "use", answers=[("not matter)", paper), ("[y/N]", answer)])
            check(got == code and paper not in seen and "KEPT UP TO" in seen, f"exit {got}: {seen}")
            check(team.status()["founder"] == (code == 0), f"after {answer}")


def test_what_is_said():
    with Camp() as camp:
        base, paper = found(camp)
        other_paper = Hand(camp, "elsewhere").ok("init", "--dataset", "Another", "--name", "x").strip()
        team = Hand.join(base, "team")

        def says(node, words, *args, **options):
            result = node.run(*args, **options)
            check(result.code == 1 and words in result.out + result.err, str(result))

        says(team, "another", "heir", "check", "-", input=other_paper)
        says(team, "another", "heir", "use", "--yes", "-", input=other_paper)
        says(team, "mistyped", "heir", "check", "-", input=mistype(paper))
        says(team, "mistyped", "heir", "use", "--yes", "-", input=mistype(paper))
        says(team, "never given on the command line", "heir", "check", paper)
        says(team, "no terminal", "heir", "check", start_new_session=True)
        check(team.run("heir", "use", "--heads", "1:x", "-", input=paper).code == 2, "1:x is no head")
        says(base, "founder's", "heir", "use", "--yes", "-", input=paper)
        typed = paper.upper().replace(" ", "-").replace("0", "O").replace("1", "l") + "\n"
        check(team.json("heir", "check", "-", input=typed)[0]["heir"] == "stands", "a careless hand is not forgiven")
        key_file = camp.dir / "paper.txt"
        key_file.write_text(paper)
        team.ok("-q", "heir", "use", "--yes", key_file)
        says(team, "used already", "heir", "use", "--yes", key_file)
        says(team, "used already", "heir", "check", key_file)
        stick = camp.dir / "stick.cairn"  # its connections are cut, so it may hear of it by hand only
        team.ok("bundle", "write", stick)
        base.ok("bundle", "read", stick)
        check(base.status()["removed"] and not base.status()["founder"], "base takes itself for the founder")
        says(base, "replaced", "create", "tent", "beds=1")
        team.part().sleep()
        says(team, "cairn up", "heir", "check", key_file)
        says(Hand(camp, "nobody"), "no dataset", "heir", "check", key_file)


main(globals())
