#!/bin/sh
# Tops an account up and waits for the outcome: sh top-up.sh ACCOUNT AMOUNT PAYMENT
#
# HOST, PORT, PRODUCER, SECRET, REDISCLI_AUTH (the password), PARTITION, WAIT_SECONDS and TRIES come by the environment: what
# stands in a command line, everybody on the machine can read. Ends with 0 applied, 4 rejected, 3 no outcome yet (run it
# again), 2 wrong usage, 1 not let in. The arguments are ids and numbers, nothing that would need escaping in JSON.
set -eu
if [ $# -ne 3 ] || ! expr "$2" : '[0-9]*$' >/dev/null || [ -z "${PRODUCER:-}" ] || [ -z "${SECRET:-}" ]; then
    echo "usage: sh top-up.sh ACCOUNT AMOUNT PAYMENT, with a whole AMOUNT, and PRODUCER and SECRET in the environment" >&2
    exit 2
fi
account=$1 amount=$2 id=top-up-$3
outcomes=coins:events:$PRODUCER

redis() {
    said=$(redis-cli -h "${HOST:-127.0.0.1}" -p "${PORT:-6379}" --user "$PRODUCER" --no-auth-warning "$@" 2>&1) || {
        echo "$said" >&2
        return 3
    }
    case $said in
        NOPERM* | NOAUTH* | WRONGPASS* | AUTH\ failed*) echo "$said" >&2; exit 1 ;;
        ERR* | OOM* | MISCONF* | LOADING* | READONLY*) echo "$said" >&2; return 3 ;;
    esac
}

signed() {
    python3 -c 'import base64, hmac, os, sys
print(base64.b64encode(hmac.digest(os.environb[b"SECRET"], sys.stdin.buffer.read(), "sha256")).decode())'
}

data=$(printf '{"account":"%s","amount":%s,"reference":"%s"}' "$account" "$amount" "$3")
body=$(printf '{"specversion":"1.0","id":"%s","source":"%s","type":"coins.TopUp.v1","partitionkey":"%s","data":%s}' \
    "$id" "$PRODUCER" "$account" "$data")
signature=$(printf %s "$body" | signed)

attempt=0
while [ "$attempt" -lt "${TRIES:-3}" ]; do
    attempt=$((attempt + 1))
    # Where the stream ends now: our outcome comes behind it. Then send, and read on.
    if redis XREVRANGE "$outcomes" + - COUNT 1; then
        position=$(printf %s "$said" | head -n 1)
        position=${position:-0-0}
        if redis XADD "coins:commands:${PARTITION:-0}:$PRODUCER" '*' event "$body" signature "$signature"; then
            until=$(($(date +%s) + ${WAIT_SECONDS:-10}))
            while [ "$(date +%s)" -lt "$until" ]; do
                redis XREAD COUNT 100 BLOCK 1000 STREAMS "$outcomes" "$position" || break
                [ -n "$said" ] || continue
                # Each entry is five lines: its place, then `event`, the outcome, `type`, its type.
                position=$(printf '%s\n' "$said" | grep -E '^[0-9]+-[0-9]+$' | tail -n 1)
                found=$(printf '%s\n' "$said" | grep -F "\"causationid\":\"$id\"" | tail -n 1) || continue
                printf '%s\n' "$found"
                case $found in
                    *'"type":"coins.CommandApplied.v1"'*) exit 0 ;;
                    *) exit 4 ;;
                esac
            done
        fi
    fi
    echo "no outcome yet; sending $id again" >&2
done
exit 3
