#!/usr/bin/python3
"""Verifies a Cairn bundle without any of Cairn's code: proto/FORMAT.md, the standard library, PyNaCl and msgpack.

    verify_bundle.py FILE [--dataset HEX] [--json]

Exit 0: all of it holds. 1: it does not; the first bad event (or record) is named. 2: wrong usage.
Membership is judged by genesis and member.add alone; a removal does not make a signature wrong.
"""
import argparse
import hashlib
import json
import struct
import sys

import msgpack
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

BODY_MAX, SEAL_EVENTS, RUN_MAX, RUN_EVENTS = 65536, 256, 1 << 20, 4096


class Bad(Exception):
    """`kind` says which layer refused: framing, dataset, author, gate, chain or seal."""

    def __init__(self, kind, why):
        super().__init__(why)
        self.kind = kind


def need(condition, kind, why):
    if not condition:
        raise Bad(kind, why)


def blake(*parts):
    h = hashlib.blake2b(digest_size=32)
    for part in parts:
        h.update(part)
    return h.digest()


# ---- the gate: what msgpack reads must be what canonical msgpack writes ----

def canonical(value, depth=1):
    """The one encoding of a value that the gate lets through."""
    need(depth <= 17, "gate", "nested too deeply")
    if isinstance(value, (list, dict)):
        need(depth <= 16, "gate", "nested too deeply")
    if isinstance(value, list):
        return array_header(len(value)) + b"".join(canonical(v, depth + 1) for v in value)
    if isinstance(value, dict):
        keys = list(value)
        need(all(isinstance(k, str) for k in keys), "gate", "a map key is no text")
        need(keys == sorted(keys, key=lambda k: k.encode()), "gate", "map keys out of order")
        return map_header(len(keys)) + b"".join(
            canonical(k, 17) + canonical(value[k], depth + 1) for k in keys)
    if isinstance(value, float) and value != value:
        return bytes.fromhex("cb7ff8000000000000")
    return msgpack.packb(value, use_bin_type=True)


def array_header(n):
    return msgpack.Packer().pack_array_header(n)


def map_header(n):
    return msgpack.Packer().pack_map_header(n)


def read_value(raw, what):
    """One msgpack value at the start of raw: the value, and the number of bytes it took."""
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=True, timestamp=0, max_buffer_size=BODY_MAX)
    unpacker.feed(raw)
    try:
        value = unpacker.unpack()
    except Exception as e:  # whatever msgpack raises, the bytes are at fault
        raise Bad("gate", f"{what}: {type(e).__name__} {e}") from None
    used = unpacker.tell()
    # msgpack keeps the last of two equal keys, so re-encoding notices duplicates as well
    need(canonical(value, 2) == raw[:used], "gate", f"{what} is not in its canonical form")
    return value, used


def elements(raw, count):
    """The first `count` elements and where the last of them ends; raw[0] is the array header."""
    at, values = 1, []
    for i in range(count):
        value, used = read_value(raw[at:], f"element {i}")
        values.append(value)
        at += used
    return values, at


def is_name(value, most, banned=""):
    return isinstance(value, str) and 1 <= len(value.encode()) <= most and not set(value) & set("\0" + banned)


def is_uint(value, below):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def is_reference(value):
    return is_uint(value, 1 << 64) and value > 0 or isinstance(value, list) and len(value) == 3 and \
        is_uint(value[0], 1 << 32) and is_uint(value[1], 1 << 64) and value[1] > 0 and is_uint(value[2], 1 << 16)


def understood(head):
    """Whether the six elements of a head are what FORMAT.md says; else the event is opaque."""
    wall, counter, replaces, category, stream, kind = head
    return is_uint(wall, 1 << 48) and is_uint(counter, 1 << 32) and isinstance(replaces, list) and \
        len(replaces) <= 32 and all(map(is_reference, replaces)) and is_name(category, 64, "/") and \
        is_name(stream, 128) and is_name(kind, 64)


class Event:
    def __init__(self, data, erased):
        need(data and 0x97 <= data[0] <= 0x9f, "gate", "no array of 7 to 15 elements")
        count = data[0] & 15
        head_values, cut = elements(data[:-36] if erased else data, 6)
        self.head = data[:cut]
        self.category, self.stream, self.kind = head_values[3:6]
        self.payload = None
        if erased:
            need(len(data) == cut + 36, "gate", "erased form of the wrong length")
            self.tail_len, self.tail_hash = struct.unpack(">I", data[cut:cut + 4])[0], data[cut + 4:]
            need(self.tail_len >= count - 6, "gate", "the erased tail is too short")
            need(not understood(head_values) or (self.category != "cairn" and self.kind != "event.erase"), "gate",
                 "the roster's events and erasures are never erased")
        else:
            values, end = elements(data, count)
            need(end == len(data), "gate", "bytes are left over")
            self.payload = values[6]
            self.tail_len, self.tail_hash = len(data) - cut, blake(data[cut:])
        self.written = cut + self.tail_len
        need(self.written <= BODY_MAX, "gate", "larger than 64 KiB")

    def id_after(self, previous, seq):
        return blake(b"cairn/1 event", previous, struct.pack(">QI", seq, self.tail_len),
                     self.tail_hash, self.head)


# ---- who is who ----

class Roster:
    """Which keys may sign for which member number."""

    def __init__(self):
        self.keys, self.ranges = {}, {}

    def add(self, number, key):
        need(isinstance(number, int) and isinstance(key, bytes) and len(key) == 32, "author",
             "a member's number or key is none")
        if key not in self.keys.setdefault(number, []):
            self.keys[number].append(key)

    def learn(self, feed, event):
        if (event.category, event.stream, event.kind) != ("cairn", "members", event.kind):
            return
        payload = event.payload if isinstance(event.payload, dict) else {}
        if event.kind == "member.add" and self.may_add(feed, payload):
            self.add(payload.get("number"), payload.get("key"))
            if feed == 1 and payload.get("role") == "coordinator":
                self.ranges.setdefault(payload["number"], []).append(payload.get("numbers"))
        elif event.kind == "founder.replace" and feed == 1:
            self.add(1, payload.get("key"))
            self.add(1, payload.get("heir"))

    def may_add(self, feed, payload):
        if feed == 1:
            return payload.get("number") != 1
        number = payload.get("number")
        ranges = self.ranges.get(feed, [])  # of a routine feed, whose number is the member's
        return isinstance(number, int) and any(
            isinstance(r, list) and len(r) == 2 and all(isinstance(n, int) for n in r) and r[0] <= number <= r[1]
            for r in ranges)


def start_ids(dataset, feed, key):
    number = struct.pack(">I", feed)
    roots = [blake(b"cairn/1 feed", dataset, number, key)]
    if feed == 1:
        roots.append(blake(b"cairn/1 feed", bytes(32), number, key))
    return roots


# ---- runs ----

class Run:
    def __init__(self, raw):
        need(len(raw) >= 56, "framing", "a run ends in its header")
        need(raw[:4] == b"\x01\0\0\0", "framing", "a run of another version or codec")
        self.feed, self.first, self.count, size = struct.unpack(">IQII", raw[4:24])
        self.previous = raw[24:56]
        need(1 <= self.count <= RUN_EVENTS and self.first >= 1, "framing", "a run out of its bounds")
        need(size == len(raw) - 56, "framing", "the length of a run is wrong")
        self.items, at = [], 56
        for _ in range(self.count):
            need(at + 4 <= len(raw), "framing", "a run ends within an event")
            word = struct.unpack(">I", raw[at:at + 4])[0]
            need(word & 0x3ffc0000 == 0, "framing", "reserved bits in a run are set")
            end = at + 4 + (word & 0x3ffff)
            seal_end = end + (64 if word >> 30 & 1 else 0)
            need(seal_end <= len(raw), "framing", "a run ends within an event")
            self.items.append((raw[at + 4:end], bool(word >> 31), raw[end:seal_end] or None))
            at = seal_end
        need(at == len(raw), "framing", "bytes are left over in a run")
        need(self.items[-1][2] is not None, "seal", "a run does not end in a seal")


class Verifier:
    def __init__(self, dataset):
        self.dataset, self.roster = dataset, Roster()
        self.seen = set()
        self.counts = dict.fromkeys(("runs", "events", "seals", "erased", "bytes"), 0)
        self.feeds = {}

    def author_of(self, run, first_event):
        """The key whose chain this is; the seals prove it."""
        if run.feed == 1 and run.first == 1 and first_event.kind == "genesis":
            payload = first_event.payload
            need(isinstance(payload, dict), "author", "genesis has no fields")
            self.roster.add(1, payload.get("key"))
            if isinstance(payload.get("heir"), bytes):
                self.roster.add(1, payload["heir"])
        keys = self.roster.keys.get(run.feed & 0xffff, [])
        need(keys, "author", f"member {run.feed & 0xffff} was never added")
        for key in keys:
            if run.first > 1 and self.signs(key, run):
                return key
            if run.first == 1 and run.previous in start_ids(self.dataset, run.feed, key):
                return key
        raise Bad("author", "no key of this member begins this chain or seals this run")

    def signs(self, key, run):
        previous = run.previous
        for i, (data, erased, seal) in enumerate(run.items):
            previous = Event(data, erased).id_after(previous, run.first + i)
            if seal is not None:
                return self.seal_holds(key, run.feed, run.first + i, previous, seal)
        return False

    def seal_holds(self, key, feed, seq, event_id, seal):
        message = b"cairn/1 seal" + self.dataset + struct.pack(">IQ", feed, seq) + event_id
        try:
            VerifyKey(key).verify(message, seal)
            return True
        except (BadSignatureError, ValueError):
            return False

    def verify(self, run):
        """Raises Bad with .at = (feed, seq) of the first bad event."""
        seq = run.first
        try:
            first_event = Event(*run.items[0][:2])
            key = self.author_of(run, first_event)
            zero_root = start_ids(self.dataset, 1, key)[1] if run.feed == 1 else None
            previous, since_events, since_bytes = run.previous, 0, 0
            if run.first > 1:
                need((run.feed, run.first - 1, previous) in self.seen or run.first - 1 not in
                     self.feeds.get(run.feed, ()), "chain", "does not follow what came before")
            learned = []
            for data, erased, seal in run.items:
                event = Event(data, erased)
                since_events, since_bytes = since_events + 1, since_bytes + event.written
                need(since_events <= SEAL_EVENTS and since_bytes <= BODY_MAX, "seal", "too far from seal to seal")
                event_id = event.id_after(previous, seq)
                if seq == 1 and previous == zero_root:
                    need(event_id == self.dataset, "dataset", "genesis is of another dataset")
                learned.append((event, seq, event_id))
                self.counts["bytes"] += len(data)
                self.counts["erased"] += erased
                if seal is not None:
                    need(self.seal_holds(key, run.feed, seq, event_id, seal), "seal", "the seal does not hold")
                    self.counts["seals"] += 1
                    since_events = since_bytes = 0
                    self.admit(run.feed, learned)
                    learned = []
                previous, seq = event_id, seq + 1
            self.counts["runs"] += 1
        except Bad as bad:
            bad.at = (run.feed, seq)
            raise

    def admit(self, feed, learned):
        """Only what lies under a seal that holds is believed."""
        for event, seq, event_id in learned:
            self.seen.add((feed, seq, event_id))
            self.feeds.setdefault(feed, set()).add(seq)
            self.counts["events"] += 1
            self.roster.learn(feed, event)


# ---- the file ----

def records(raw, dataset):
    need(len(raw) >= 56 and raw[:8] == b"CAIRNBDL", "framing", "this is no bundle, or only the start of one")
    need(raw[8:16] == b"\0\0\0\x01\0\0\0\0", "framing", "a bundle of another version")
    need(blake(raw[:48])[:8] == raw[48:56], "framing", "the header is damaged")
    need(dataset in (None, raw[16:48]), "dataset", "it belongs to another dataset")
    at, runs, events = 56, 0, 0
    while at < len(raw):
        need(at + 8 <= len(raw), "framing", f"cut short in record {runs + 1}")
        kind, length = struct.unpack(">II", raw[at:at + 8])
        need(kind in (1, 2) and length <= RUN_MAX, "framing", f"record {runs + 1} is of an unknown kind or too long")
        end = at + 8 + length
        need(end + 8 <= len(raw), "framing", f"cut short in record {runs + 1}")
        need(blake(raw[at:end])[:8] == raw[end:end + 8], "framing", f"record {runs + 1} is damaged")
        if kind == 2:
            need(raw[at + 8:end] == struct.pack(">QQQ", runs, events, at), "framing", "the counts at the end are wrong")
            need(end + 8 == len(raw), "framing", "bytes follow the end")
            return
        run = Run(raw[at + 8:end])
        yield run
        runs, events, at = runs + 1, events + run.count, end + 8
    raise Bad("framing", f"cut short after record {runs}")


def verify_file(path, dataset):
    with open(path, "rb") as f:
        raw = f.read()
    verifier, bad = Verifier(raw[16:48]), None
    try:
        for run in records(raw, dataset):
            verifier.verify(run)
    except Bad as e:
        bad = e
    return verifier, bad


def main():
    parser = argparse.ArgumentParser(description="Verifies a Cairn bundle independently.")
    parser.add_argument("file")
    parser.add_argument("--dataset", type=bytes.fromhex, help="refuse any other dataset (64 hex digits)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        verifier, bad = verify_file(args.file, args.dataset)
    except OSError as e:
        print(f"verify_bundle: {e}", file=sys.stderr)
        return 1
    counts = dict(verifier.counts, feeds=len(verifier.feeds), dataset=verifier.dataset.hex(),
                  members=len(verifier.roster.keys))
    if bad is not None:
        at = getattr(bad, "at", None)
        counts["bad"] = {"kind": bad.kind, "why": str(bad), "feed": at and at[0], "seq": at and at[1]}
    if args.json:
        print(json.dumps(counts, sort_keys=True))
    else:
        print("dataset {dataset}: {runs} runs, {events} events of {members} members in {feeds} feeds, "
              "{seals} seals, {erased} erased".format(**counts))
    if bad is not None:
        where = f"feed {at[0]} seq {at[1]}: " if at else ""
        print(f"BAD ({bad.kind}): {where}{bad}", file=sys.stderr)
    return 1 if bad is not None else 0


if __name__ == "__main__":
    sys.exit(main())
