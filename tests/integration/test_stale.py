#!/usr/bin/env python3
"""People who saw only part of a record's history edit it. No value ever vanishes without an edit whose author had it on
screen, and every node that holds the same events shows the same."""
from camp import Camp, check, converged, main
from hands import Hand

FIELD = "water"


class Story:
    """What must be shown, from the rule alone: a value is live unless a write names it in what its author's screen
    showed. Each node knows the writes it has made or met."""

    def __init__(self, nodes, record):
        self.nodes, self.record, self.kills = nodes, record, {}
        first = nodes[0].live(record, FIELD)
        self.known = {n: set(first.values()) for n in nodes}
        self.screens = {n: [first] for n in nodes}  # as they were shown, the newest last
        self.kills.update({value: set() for value in first.values()})

    def look(self, node):
        self.screens[node].append(node.live(self.record, FIELD))

    def write(self, node, value, screen=None):
        """With a screen: what a form shows that was opened then. Without: what set sees by itself."""
        if screen is None:
            screen = node.live(self.record, FIELD)
            node.ok("set", self.record, f"{FIELD}={value}")
        else:
            refs = [word for ref in screen for word in ("--replaces", ref)]
            node.ok("set", self.record, f"{FIELD}={value}", *refs)
        self.kills[value] = set(screen.values())
        self.known[node].add(value)

    def meet(self, a, b):
        a.meet()
        b.meet(a)
        converged([a, b])
        a.part(), b.part()
        self.known[a] |= self.known[b]
        self.known[b] |= self.known[a]

    def check(self, node):
        known = self.known[node]
        dead = set().union(*(self.kills[v] for v in known))
        live = set(node.live(self.record, FIELD).values())
        check(live == known - dead, f"{node.name} shows {sorted(live)}, but {sorted(known - dead)} are live")
        history = {w["value"] for w in node.show(self.record, history=True)["history"] if w["name"] == FIELD}
        check(history == known, f"{node.name} has a history of {sorted(history)}, not {sorted(known)}")
        conflicts = node.status()["conflicts"]
        check(conflicts == (len(live) > 1), f"{node.name} counts {conflicts} conflicts")


def three(camp):
    base = Hand.found(camp)
    nodes = [base, Hand.join(base, "hill"), Hand.join(base, "river")]
    record = base.create("station", f"{FIELD}=0")
    converged(nodes)
    for node in nodes:
        node.part()
    return nodes, Story(nodes, record)


def test_each_saw_a_part():
    with Camp() as camp:
        (base, hill, river), story = three(camp)
        story.write(hill, 1)
        story.write(river, 2)
        story.meet(base, hill)
        form = base.live(story.record, FIELD)  # a form is opened: it shows 1
        story.meet(base, river)
        story.check(base)
        story.write(base, 3, form)  # saved after 2 has come in, which it never showed
        story.check(base)
        check(base.values(story.record, FIELD) == [2, 3], "a value that was not on screen is gone")
        story.write(hill, 4)  # has seen 1 only
        story.meet(hill, river)
        story.meet(base, hill)
        story.meet(base, river)
        for node in (base, hill, river):
            story.check(node)
            check(node.values(story.record, FIELD) == [2, 3, 4], f"{node.name} lost one of three")
        story.write(river, 5)  # set on a conflict names all its sides
        story.meet(river, base)
        story.meet(base, hill)
        for node in (base, hill, river):
            story.check(node)
            check(node.values(story.record, FIELD) == [5], f"{node.name} does not show the resolution")


def test_random_screens():
    with Camp() as camp:
        nodes, story = three(camp)
        rng = camp.rng
        for value in range(1, 21):
            node = rng.choice(nodes)
            what = rng.random()
            if what < 0.25:
                story.meet(*rng.sample(nodes, 2))
            if what < 0.5:
                story.look(node)
            if what < 0.8:
                story.write(node, value, rng.choice(story.screens[node]))
            else:
                story.write(node, value)
            story.check(node)
        for a, b in ((0, 1), (1, 2), (0, 1)):
            story.meet(nodes[a], nodes[b])
        converged(nodes)
        for node in nodes:
            story.check(node)


main(globals())
