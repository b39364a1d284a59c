#!/usr/bin/env python3
"""plant.py TREE PLANTS.TXT OUT: writes OUT/<file with _ for />, a copy of each product file that plants.txt names, in
which every planted bug of that file is switched by sim_plant, and OUT/plants.h with the list. A bug whose text is not
found exactly once is listed as stale and left out; the test then fails and names it."""
import os
import sys


def blocks(path):
    plant = None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("== "):
            head, title = line[3:].split(" | ")
            number, file = head.split(" ")[:2]
            plant = {"n": int(number), "file": file, "title": title, "edits": []}
            yield plant
        elif line.startswith("-"):
            edits = plant["edits"]
            if not edits or edits[-1][1]:
                edits.append(([], []))
            edits[-1][0].append(line[2:])
        elif line.startswith("+"):
            plant["edits"][-1][1].append(line[2:])


def squeeze(text):
    return "".join(text.split())


def find(text, old):
    """Where `old` stands in `text`, however it is laid out: (begin, end), or None unless exactly once."""
    want = squeeze(old)
    places = [i for i, c in enumerate(text) if not c.isspace()]
    packed = "".join(text[i] for i in places)
    at = packed.find(want)
    if at < 0 or packed.find(want, at + 1) >= 0:
        return None
    return places[at], places[at + len(want) - 1] + 1


def main():
    tree, plants, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    all_plants = list(blocks(plants))
    texts = {}
    for p in all_plants:
        if p["edits"] and p["file"] not in texts:
            texts[p["file"]] = open(os.path.join(tree, p["file"]), encoding="utf-8").read()
    for p in all_plants:
        p["stale"] = False
        text = texts.get(p["file"], "")
        for old, new in p["edits"]:
            place = find(text, "\n".join(old))
            if place is None:
                p["stale"] = True
                break
            text = text[: place[0]] + "\n".join(new).lstrip() + text[place[1]:]
        if p["edits"] and not p["stale"]:
            texts[p["file"]] = text
    for file, text in texts.items():
        head = "extern int sim_plant;\n#define P(n) (sim_plant == (n))\n"
        with open(os.path.join(out, file.replace("/", "_")), "w", encoding="utf-8") as f:
            f.write(head + text)
    with open(os.path.join(out, "plants.h"), "w", encoding="utf-8") as f:
        f.write("static const struct {\n    int number;\n    int stale;\n    const char *title;\n} plants[] = {\n")
        for p in all_plants:
            f.write('    {%d, %d, "%s"},\n' % (p["n"], p["stale"], p["title"]))
        f.write("};\n")


main()
