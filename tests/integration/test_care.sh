#!/usr/bin/env bash
# verify, bundle, projection, doctor and config with the real processes: what is damaged is found and named, files carry
# events between nodes that never talk, wrong files and wrong options are said plainly.
set -uo pipefail

cairn=$CAIRN_BIN/cairn
work=$(mktemp -d "${TMPDIR:-/tmp}/care.XXXXXX")
export XDG_RUNTIME_DIR
XDG_RUNTIME_DIR=$(mktemp -d /tmp/care.XXXXXX)
unset CAIRN_HOME CAIRN_RUN
passed=0 failed=0

stop() {
    for home in "$work"/*/; do
        [ -f "$home/dataset" ] && "$cairn" --home "$home" down >/dev/null 2>&1
    done
    rm -rf "$work" "$XDG_RUNTIME_DIR"
}
trap stop EXIT

# expect NAME EXIT-CODE PATTERN COMMAND…: the code, and the pattern in what it says on either output.
expect() {
    local name=$1 code=$2 pattern=$3 said got
    shift 3
    said=$("$@" 2>&1)
    got=$?
    if [ "$got" -eq "$code" ] && grep -qE -- "$pattern" <<<"$said"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name: exit $got instead of $code, or no /$pattern/ in:"
        echo "$said"
    fi
}

same() {
    if [ "$2" = "$3" ] && [ -n "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $1: \"$2\" is not \"$3\""
    fi
}

node() {
    local name=$1
    shift
    "$cairn" --home "$work/$name" "$@"
}

digest() {
    node "$1" status --json | grep -oE '"(frontier|view)_digest":"[0-9a-f]{64}"' | sort | tr '\n' ' '
}

port=$(python3 - <<'PY'
import socket
while True:
    a, b = socket.socket(), socket.socket()
    a.bind(("127.0.0.1", 0))
    try:
        b.bind(("127.0.0.1", a.getsockname()[1] + 1))
    except OSError:
        continue
    print(a.getsockname()[1])
    break
PY
)

# ---- without a node ----
expect "doctor before there is a node" 0 'WARN +home +there is no dataset' node none doctor
expect "doctor says NDJSON" 0 '^\{"v":1,"level":"OK","check":"libraries"' node none doctor --json
expect "verify before there is a node" 1 'no dataset' node none verify
mkdir "$work/conf"
expect "no file is no mistake" 0 'every option has its default' node conf config check
printf 'gossip {\n  retry_max_ms = "500"\n}\n' >"$work/conf/cairn.conf"
expect "a right file" 0 'is right' node conf config check
expect "where a value comes from" 0 'retry_max_ms = "500"  # .*cairn.conf' node conf config show --origin
CAIRN_LOG_LEVEL=debug expect "an option from the environment" 0 'log.level = "debug"  # CAIRN_LOG_LEVEL' \
    node conf config show --origin
printf '%s\n' 700 >"$work/secret"
expect "a value from a file that the environment names" 0 'retry_max_ms = "700"  # CAIRN_GOSSIP_RETRY_MAX_MS_FILE' \
    env CAIRN_GOSSIP_RETRY_MAX_MS_FILE="$work/secret" "$CAIRN_BIN/cairn" --home "$work/conf" config show --origin
expect "that file must be there" 1 'CAIRN_CAMP_JOIN_FILE: cannot read .*/nothing' \
    env CAIRN_CAMP_JOIN_FILE="$work/nothing" "$CAIRN_BIN/cairn" --home "$work/conf" config check
printf 'gossip {\n  listen = "0.0.0.0:1"\n  lissten = "x"\n}\n' >"$work/conf/cairn.conf"
expect "an unknown option with its line" 1 "cairn.conf:3: .*lissten" node conf config check
expect "doctor fails on it" 1 "FAIL +config .*cairn.conf:3" node conf doctor
node none config example >"$work/conf/cairn.conf"
expect "the example is right" 0 'is right' node conf config check
rm -rf "$work/conf"

# ---- three nodes; anna and ben never talk, and meet base only to be enrolled ----
node base init --dataset Care --name base >/dev/null 2>&1
node base up --detach --no-discovery --listen "127.0.0.1:$port" 2>/dev/null
for name in anna ben; do
    token=$(node base invite $name --address "127.0.0.1:$((port + 1))" 2>/dev/null | grep -o 'cairn1[a-z0-9]*' | head -n 1)
    node $name join "$token" >/dev/null 2>&1
    node $name up --detach --no-lan 2>/dev/null
done
expect "doctor of a node that is up" 0 'OK +port +members connect to' node base doctor

expect "base writes a bundle" 0 'holds 3 events' node base bundle write "$work/roster.cairn"
expect "anna learns that she is a member" 0 '3 events: 2 new, 1 here already, 0 refused' \
    node anna bundle read "$work/roster.cairn"
expect "ben too, from a pipe" 0 '"accepted":2,"duplicates":1,"refused":0' \
    sh -c "'$cairn' --home '$work/base' bundle write - | '$cairn' --home '$work/ben' bundle read - --json"

python3 - >"$work/rows.csv" <<'PY'
print("key,depth,remark")
for i in range(3000):
    print(f"k{i},{i},needle-{i:05d} " + "x" * 400)
PY
node anna import "$work/rows.csv" --form depth --key key 2>/dev/null
node ben create depth depth=7 remark=ben >/dev/null
expect "anna writes" 0 'holds 3004 events in [0-9]+ runs' node anna bundle write "$work/anna.cairn"
expect "ben reads" 0 '3004 events: 3001 new, 3 here already' node ben bundle read "$work/anna.cairn"
expect "again is harmless" 0 '3004 events: 0 new, 3004 here already' node ben bundle read "$work/anna.cairn"
expect "ben writes what is new since" 0 'holds 1 events in 1 runs.*3004 events are in the earlier one' \
    node ben bundle write "$work/ben.cairn" --since "$work/anna.cairn"
expect "anna reads that" 0 '1 events: 1 new' node anna bundle read "$work/ben.cairn"
same "both hold the same" "$(digest anna)" "$(digest ben)"
expect "both verify" 0 '"ok":true,"whole":true,"events":3005' node ben verify --json

# ---- files that are wrong ----
head -c 700000 "$work/anna.cairn" >"$work/cut.cairn"
expect "what is whole of a cut bundle is taken, by whoever lacks it" 1 'cut short behind byte [0-9]+: [1-9][0-9]* whole runs' \
    node base bundle read "$work/cut.cairn"
held=$(node base status --json | grep -oE '"events":[0-9]+' | head -n 1 | cut -d : -f 2)
same "base holds a part" "$((held > 3 && held < 3004))" 1
# What begins later than what is held waits; in one go with what it follows, a second pass brings it in.
sed '2,$s/^k/late/' "$work/rows.csv" | head -n 5 >"$work/late.csv"
node anna import "$work/late.csv" --form depth --key key 2>/dev/null
expect "only what is new" 0 'holds 5 events' node anna bundle write "$work/late.cairn" --since "$work/anna.cairn"
expect "alone it waits" 1 '0 new, 0 here already, 0 refused, 4 wait for earlier ones|1 new.* 4 wait' node base bundle read "$work/late.cairn"
expect "with what it follows it comes in" 0 'late.cairn: 5 events: [0-9]+ new' \
    node base bundle read "$work/late.cairn" "$work/anna.cairn"
expect "both are here now" 0 '3004 events: 0 new' node base bundle read "$work/anna.cairn"
python3 - "$work/anna.cairn" "$work/flipped.cairn" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 4
open(sys.argv[2], "wb").write(data)
PY
expect "a flipped bit in a bundle" 1 'is damaged behind byte' node base bundle read "$work/flipped.cairn"
expect "no bundle at all" 1 'rows.csv is not a Cairn bundle' node base bundle read "$work/rows.csv"
expect "no file" 1 'cannot read .*nowhere' node base bundle read "$work/nowhere"
expect "no folder" 1 'cannot write .*nowhere' node base bundle write "$work/nowhere/x"
expect "an earlier bundle that is none" 1 'rows.csv is not a Cairn bundle' \
    node base bundle write "$work/x.cairn" --since "$work/rows.csv"
same "nothing half done" "$(find "$work" -maxdepth 1 -name 'x.cairn*' | wc -l)" 0

node other init --dataset Other --name other >/dev/null 2>&1
node other up --detach --no-lan 2>/dev/null
expect "a bundle of another dataset" 1 'another dataset \([0-9a-f]{12}' node other bundle read "$work/anna.cairn"
expect "nothing of it was taken" 0 '"events":1,' node other verify --json
expect "nor by --since" 1 'another dataset' node other bundle write "$work/x.cairn" --since "$work/anna.cairn"

# ---- projections ----
expect "projections" 0 '"name":"records","state":"live".*"lag":0' node anna projection ls --json
before=$(digest anna)
expect "rebuild" 0 'Built records anew' node anna projection rebuild records
same "a rebuilt view says the same" "$(digest anna)" "$before"
expect "rebuild of nothing" 1 'no projection' node anna projection rebuild nothing

# ---- a bit flipped in the database ----
node anna down 2>/dev/null
expect "doctor of a node that is down" 0 'WARN +processes +the node is not up' node anna doctor
python3 - "$work/anna/store/log/data.mdb" <<'PY'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
at, found = data.find(b"needle-01234"), 0
while at >= 0:
    data[at + 15] ^= 1
    found += 1
    at = data.find(b"needle-01234", at + 1)
assert found > 0
open(sys.argv[1], "r+b").write(data)
PY
node anna up --detach --no-lan 2>/dev/null
expect "verify names the flipped event" 1 '"ok":false.*"bad":1,"first_bad":\{"event":"2-bulk-1236".*checksum' \
    node anna verify --json
expect "and in words" 1 'BAD: 1 event\. The first is 2-bulk-1236 at offset [0-9]+: damaged' node anna verify
expect "doctor says so" 1 'FAIL +database +1 damaged' node anna doctor
expect "a bundle goes up to it and says so" 1 'left out: 2-bulk-1[0-9]+ and what follows' node anna bundle write "$work/part.cairn"
expect "which is a good bundle" 0 'here already, 0 refused' node ben bundle read "$work/part.cairn"
# merge hears of the damage at its next look at the store, and from then on good copies mend it
for _ in $(seq 200); do
    node anna bundle read "$work/anna.cairn" >/dev/null 2>&1
    node anna verify >/dev/null 2>&1 && break
done
expect "a file mends it" 0 'All good' node anna verify

# ---- permissions ----
chmod 755 "$work/anna"
expect "an open home" 0 'WARN +home .*open to other users' node anna doctor
chmod 700 "$work/anna"
chmod 644 "$work/anna/merge/member.key"
expect "an open key" 1 'FAIL +keys .*member.key' node anna doctor
chmod 600 "$work/anna/merge/member.key"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
