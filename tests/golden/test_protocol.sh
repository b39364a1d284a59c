#!/bin/sh
# The protocol page and the smallest body of each message follow from proto/*.def; whoever changes a row sees it here.
set -eu
page=$("$CAIRN_BIN/protocol_md" | cmp - "$CAIRN_SOURCE/proto/PROTOCOL.md" 2>&1) || {
    echo "proto/PROTOCOL.md is not what the declarations say: $page"
    echo "after a deliberate change: build/bin/protocol_md > proto/PROTOCOL.md"
    exit 1
}
vectors=$("$CAIRN_BIN/protocol_md" --example | cmp - "$CAIRN_SOURCE/proto/vectors/messages.txt" 2>&1) || {
    echo "messages changed on the wire: $vectors"
    echo "after a deliberate change: build/bin/protocol_md --example > proto/vectors/messages.txt"
    exit 1
}
