#!/usr/bin/env python3
"""The rules of the tree, run as the suite `tidy`:   tests/tidy/tidy.py [BUILD-TREE]

Every rule is a function in RULES that yields (file, line, what is wrong). Without a build tree, clang-tidy is
left out, because it needs compile_commands.json. Ends with "N passed, N failed".
"""
import collections
import concurrent.futures
import functools
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
FUNCTION_LINES = 70
FILE_LINES = 600
LINE_COLUMNS = 130  # code is held to 100 by clang-format; comments may be tables
CODE = (".c", ".h", ".py", ".sh")

Source = collections.namedtuple("Source", "path lines bare")


def tracked():
    """What git knows or would add; else (no git, an unpacked archive) what is there outside the build trees."""
    try:
        git = subprocess.run(["git", "-C", TOP, "ls-files", "-co", "--exclude-standard"],
                             capture_output=True, text=True, check=True)
        names = git.stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        names = []
        for folder, folders, files in os.walk(TOP):
            folders[:] = [f for f in folders if not re.match(r"build|\.git$|__pycache__", f)]
            names += [os.path.relpath(os.path.join(folder, name), TOP) for name in files]
    return sorted(n for n in names if n and os.path.isfile(os.path.join(TOP, n)))


def blank(match):
    """Keeps the line breaks of what is removed, so that line numbers stay."""
    return "\n" * match.group(0).count("\n") or " "


def without_comments_and_strings(text):
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
                  blank, text, flags=re.S)


def load(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        text = file.read()
    bare = without_comments_and_strings(text) if path.endswith((".c", ".h")) else text
    return Source(path, text.split("\n"), bare.split("\n"))


def is_c(source):
    return source.path.endswith((".c", ".h"))


def is_product(source):
    return source.path.startswith(("common/", "proto/", "services/"))


def functions(source):
    """(first line, lines) of each function: the layout puts its braces alone into column 0."""
    start = None
    for number, line in enumerate(source.lines, 1):
        if line == "{":
            start = number
            while start > 1 and re.match(r"\s|[A-Za-z_]", source.lines[start - 2]):
                start -= 1
                if not source.lines[start - 1].startswith((" ", "\t")):
                    break
        elif line == "}" and start:
            yield start, number - start + 1
            start = None


# ---- rules -----------------------------------------------------------------------------------------------


def function_length(sources):
    for source in filter(is_c, sources):
        for first, length in functions(source):
            if length > FUNCTION_LINES:
                yield source.path, first, f"function of {length} lines, {FUNCTION_LINES} are allowed"


def file_length(sources):
    for source in sources:
        if source.path.endswith(CODE) and len(source.lines) - 1 > FILE_LINES:
            yield source.path, 1, f"{len(source.lines) - 1} lines, {FILE_LINES} are allowed"


BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|atoi|atol|atoll|atof|rand|srand"
                    r"|random|srandom|ctime|asctime|localtime|gmtime|alloca)\s*\(")


def banned_calls(sources):
    for source in filter(is_c, sources):
        if source.path == "common/base/banned.h":
            continue
        for number, line in enumerate(source.bare, 1):
            for call in BANNED.findall(line):
                yield source.path, number, f"{call}() is banned"
            if re.search(r"\bZMQ_REQ\b", line):
                yield source.path, number, "a REQ socket never recovers from a lost reply: use DEALER"


LAYERS = ["common/base", "proto", "common/pure", "core", "shell"]


@functools.lru_cache(maxsize=None)
def pure_service_files():
    """Stems that a service's CMakeLists.txt names as CORE."""
    stems = set()
    for folder in os.listdir(os.path.join(TOP, "services")):
        try:
            with open(os.path.join(TOP, "services", folder, "CMakeLists.txt"), encoding="utf-8") as file:
                text = re.sub(r"#.*", "", file.read())
        except OSError:
            continue
        for names in re.findall(r"\bCORE\s+([^)]*?)(?:\bLIBS\b|\))", text, flags=re.S):
            stems |= {f"services/{folder}/{os.path.splitext(name)[0]}" for name in names.split()}
    return stems


def resolve(name):
    for root in ("common/", "", "services/"):
        if os.path.exists(os.path.join(TOP, root + name)):
            return root + name
    return None


IMPURE = re.compile(r"<(zmq|lmdb|sqlite3|confuse|libsmartcols/|unistd|fcntl|pthread|threads|poll|signal|time|sys/"
                    r"|netinet/|arpa/|netdb|dirent|termios)")


def includes(source):
    """(line, '"name' or '<name') of each."""
    for number, line in enumerate(source.lines, 1):
        include = re.match(r'\s*#\s*include\s*([<"][^>"]+)', line)
        if include:
            yield number, include.group(1)


@functools.lru_cache(maxsize=None)
def layer_of(path):
    for number, prefix in enumerate(LAYERS[:3]):
        if path.startswith(prefix + "/"):
            return number
    if not path.startswith("services/"):
        return 4
    stem = os.path.splitext(path)[0]
    if "_core" in os.path.basename(path) or stem in pure_service_files():
        return 3
    if path.endswith(".h") and not os.path.exists(os.path.join(TOP, stem + ".c")):
        # An interface without code of its own is as pure as what it includes.
        names = [name for _, name in includes(load(path))]
        above = any(IMPURE.match(name) or (name[0] == '"' and layer_of(resolve(name[1:]) or "") > 3) for name in names)
        return 4 if above else 3
    return 4


def layers(sources):
    for source in filter(is_product, filter(is_c, sources)):
        own = layer_of(source.path)
        for number, name in includes(source):
            if name.startswith("<"):
                if own < 4 and IMPURE.match(name) and source.path != "common/base/banned.h":
                    yield source.path, number, f"{name}> has no place in pure code"
                continue
            target = resolve(name[1:])
            if target is None:
                yield source.path, number, f'{name}" is not found from common/, the top or services/'
                continue
            if layer_of(target) > own:
                yield source.path, number, f"{LAYERS[own]} must not include {target}"
            services = [re.match(r"services/(\w+)/", path) for path in (source.path, target)]
            stub = target.endswith("_clnt.h")  # what a service publishes for the others
            if all(services) and services[0][1] != services[1][1] and layer_of(target) > 3 and not stub:
                yield source.path, number, f"{services[0][1]} must not know the shell of {services[1][1]}"


def criterion_traps(sources):
    for source in sources:
        if source.path.startswith("tests/") and source.path.endswith((".c", ".h")):
            for number, line in enumerate(source.bare, 1):
                if re.search(r"(?<!\w)(gt|ge)\s*\(", line):
                    yield source.path, number, "gt() and ge() of Criterion 2.4.1 are wrong for equal values"


def header_contracts(sources):
    for source in filter(is_product, sources):
        if not source.path.endswith(".h"):
            continue
        comment = re.match(r"/\*(.*?)\*/", "\n".join(source.lines), flags=re.S)
        if not comment or len(comment.group(1).split()) < 6:
            yield source.path, 1, "a header starts with a comment that says what it promises"
        if not any(re.match(r"#ifndef CAIRN_\w+_H$|#pragma once", line) for line in source.lines):
            if not re.search(r"included more than once|no include guard", "\n".join(source.lines), flags=re.I):
                yield source.path, 1, "no include guard CAIRN_…_H"


PLACES = re.compile(r"pypi\.org|npmjs|crates\.io|proxy\.golang|deb\.debian\.org|docker\.io|ghcr\.io|quay\.io"
                    r"|artifactory|(?<![\w.$}])/work/|(?<![\w/])(\.\./)?shared/(design|reference|data)")


def places(sources):
    """Nothing committed depends on where it was made."""
    for source in sources:
        for number, line in enumerate(source.lines, 1):
            found = PLACES.search(line)
            if found and source.path != "tests/tidy/tidy.py":
                yield source.path, number, f"'{found.group(0)}' has no place here"


def layout(sources):
    for source in sources:
        if source.path == "LICENSE" or source.path.startswith(("tests/data/", "proto/vectors/", "tests/fuzz/corpus/")):
            continue
        for number, line in enumerate(source.lines, 1):
            if line != line.rstrip() or "\r" in line:
                yield source.path, number, "blanks at the end of the line"
            elif is_c(source) and len(line) > LINE_COLUMNS:
                yield source.path, number, f"{len(line)} columns, {LINE_COLUMNS} are allowed"
        if source.lines[-1] != "" or source.lines[-2:] == ["", ""]:
            yield source.path, len(source.lines), "a file ends with exactly one line break"


# ---- tools -----------------------------------------------------------------------------------------------


def output_of(command):
    run = subprocess.run(command, cwd=TOP, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def reports(text):
    """file:line:column: error or warning: text, as compilers print it, without the notes that follow."""
    seen = set()
    for path, number, what in re.findall(r"^(\S+?):(\d+):\d+: (?:error|warning): (.*)$", text, flags=re.M):
        path = os.path.relpath(os.path.join(TOP, path), TOP)
        if (path, number, what) not in seen:
            seen.add((path, number, what))
            yield path, int(number), what


def clang_format(sources):
    files = [s.path for s in sources if is_c(s)]
    code, text = output_of(["clang-format-14", "--dry-run", "-Werror", *files])
    if code != 0:
        per_file = collections.Counter()
        first = {}
        for path, number, _ in reports(text):
            per_file[path] += 1
            first.setdefault(path, number)
        for path, count in per_file.items():
            yield path, first[path], f"clang-format-14 -i would change {count} places"
        if not per_file:
            yield "clang-format", 1, text.strip()[-300:]


def shellcheck(sources):
    files = [s.path for s in sources if s.path.endswith(".sh") or re.match(r"#!.*\b(ba)?sh\b", s.lines[0])]
    _, text = output_of(["shellcheck", "--severity=warning", "--format=gcc", *files])
    yield from reports(text)


# Each function by itself: twenty times faster than following every call, and without the false alarms that come
# from not knowing that an error code and a pointer belong together.
SHALLOW = ["--extra-arg=" + word for word in
           ("-Wno-unknown-warning-option", "-Xclang", "-analyzer-config", "-Xclang", "mode=shallow")]


def clang_tidy(sources):
    """Each product file once; what passed is remembered in the build tree by the hash of all it could read."""
    with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as file:
        known = {os.path.relpath(entry["file"], TOP) for entry in json.load(file)}
    files = [s for s in sources if is_product(s) and s.path.endswith(".c") and s.path in known]
    shared = hashlib.sha256()
    for source in sources:
        if source.path.endswith((".h", ".def")) or source.path == ".clang-tidy":
            shared.update("\n".join(source.lines).encode())
    memory = os.path.join(BUILD, "tidy")
    os.makedirs(memory, exist_ok=True)

    def check(source):
        mark = shared.copy()
        mark.update((source.path + "\n".join(source.lines)).encode())
        mark = os.path.join(memory, mark.hexdigest())
        if os.path.exists(mark):
            return []
        code, text = output_of(["clang-tidy-14", "--quiet", "-p", BUILD, *SHALLOW, source.path])
        found = [r for r in reports(text)]
        if code == 0:
            open(mark, "w").close()
            return []
        return found or [(source.path, 1, text.strip()[-300:])]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(check, files):
            yield from found


RULES = [function_length, file_length, banned_calls, layers, criterion_traps, header_contracts, places, layout,
         clang_format, shellcheck]


def figures(sources):
    product = [s for s in sources if is_c(s) and is_product(s)]
    lengths = sorted(length for s in product for _, length in functions(s))
    if not lengths:
        return
    comment = code = 0
    for source in product:
        for line, bare in zip(source.lines, source.bare):
            if line.strip():
                code += bool(bare.strip())
                comment += not bare.strip()
    tests = sum(len(s.lines) - 1 for s in sources if is_c(s) and s.path.startswith("tests/"))
    print(f"{len(product)} product files, {comment + code} lines that are not blank, {100 * comment // (comment + code)} % "
          f"of them comment; {tests} lines of C tests")
    print(f"{len(lengths)} functions: median {statistics.median_low(lengths)} lines, p90 "
          f"{lengths[int(len(lengths) * 0.9)]}, longest {lengths[-1]}")


def main():
    sources = []
    for path in tracked():
        try:
            sources.append(load(path))
        except UnicodeDecodeError:
            pass  # test data and vectors may be anything
    rules = RULES + ([clang_tidy] if BUILD else [])
    passed = failed = 0
    for rule in rules:
        found = list(rule(sources))
        passed, failed = passed + (not found), failed + bool(found)
        for path, number, what in found:
            print(f"{path}:{number}: {what} [{rule.__name__}]")
    figures(sources)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


BUILD = os.path.realpath(sys.argv[1]) if len(sys.argv) > 1 else None

if __name__ == "__main__":
    sys.exit(main())
