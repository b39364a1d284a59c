"""Runs tests/verify_bundle.py over the bundles of proto/vectors: it shares no code with the C side and must agree."""
import json
import os
import subprocess
import sys
import tempfile

top = os.environ.get("CAIRN_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# PyNaCl and msgpack come from Debian, so they belong to Debian's Python.
PYTHON = "/usr/bin/python3"


def verify(raw, *options):
    with tempfile.NamedTemporaryFile() as f:
        f.write(raw)
        f.flush()
        done = subprocess.run([PYTHON, f"{top}/tests/verify_bundle.py", f.name, "--json", *options],
                              capture_output=True, text=True, check=False)
    report = json.loads(done.stdout) if done.stdout else {}
    return done.returncode, report.get("bad", {}).get("kind", "ok"), report, done.stderr


def main():
    with open(f"{top}/proto/vectors/bundles.json", encoding="utf-8") as f:
        vectors = json.load(f)
    failed = 0
    for row in vectors["bundles"]:
        code, kind, report, err = verify(bytes.fromhex(row["bundle"]), "--dataset", vectors["dataset"])
        good = kind == row["verifier"] and code == (0 if kind == "ok" else 1)
        if row["name"] == "whole":
            good = good and (report["runs"], report["events"], report["erased"], report["members"]) == (4, 9, 1, 3)
        if not good:
            print(f"{row['name']}: exit {code}, {kind}, not {row['verifier']}\n{report}\n{err}")
            failed += 1
    whole = bytes.fromhex(vectors["bundles"][0]["bundle"])
    if verify(whole)[0] != 0:
        print("without --dataset the whole bundle is refused")
        failed += 1
    print(f"{len(vectors['bundles'])} bundles, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
