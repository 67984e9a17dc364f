#!/usr/bin/env bash
# Other people's clients against a server: libmemcached's tools, then pymemcache and python-binary-memcached.
# usage: server_peers.sh ADDRESS      (127.0.0.1:11211 or /path of a socket)
# The server is flushed. PYTHON names the interpreter that has the two packages (default: python3).
# The first mismatch ends it; the last line is "N passed, N failed, N skipped", and any failure gives status 1.
set -uo pipefail

if [ $# -ne 1 ] || [ -z "$1" ]; then
    echo "usage: $0 ADDRESS, as in 127.0.0.1:11211 or /path/of/socket" >&2
    exit 2
fi
server=$1
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
passed=0 failed=0 skipped=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

# check NAME EXPECTED-STATUS EXPECTED-OUTPUT-FILE|- TOOL ARGUMENTS...
check() {
    local name=$1 status=$2 expected=$3 got
    shift 3
    if ! command -v "$1" > /dev/null; then
        echo "skip $name: $1 is not installed (Debian: libmemcached-tools)"
        skipped=$((skipped + 1))
        return
    fi
    "$1" --servers="$server" "${@:2}" > "$folder/out" 2> "$folder/err"
    got=$?
    if [ "$got" -ne "$status" ]; then
        echo "FAIL $name: status $got, not $status: $(cat "$folder/out" "$folder/err")"
        failed=$((failed + 1))
        finish
    fi
    if [ "$expected" != - ] && ! cmp "$folder/out" "$expected" > "$folder/err" 2>&1; then
        echo "FAIL $name: not what was stored: $(cat "$folder/err")"
        failed=$((failed + 1))
        finish
    fi
    echo "ok   $name"
    passed=$((passed + 1))
}

printf 'one line and no end' > "$folder/small"
head -c 100000 /dev/urandom | base64 > "$folder/large"
# memccat ends what it prints with a newline.
{ cat "$folder/small"; echo; } > "$folder/small.printed"
for protocol in text binary; do
    option=$([ "$protocol" = binary ] && echo --binary)
    # memcping alone has no option for it.
    [ "$protocol" = binary ] || check "memcping $protocol" 0 - memcping
    check "memcflush $protocol" 0 - memcflush $option
    check "memcexist $protocol, missing" 1 - memcexist $option small
    check "memccp $protocol, small" 0 - memccp $option "$folder/small"
    check "memccat $protocol, small" 0 "$folder/small.printed" memccat $option small
    check "memccp $protocol, large" 0 - memccp $option "$folder/large"
    check "memcexist $protocol, there" 0 - memcexist $option large
    check "memcrm $protocol" 0 - memcrm $option small
    check "memccat $protocol, removed" 1 - memccat $option small
    check "memctouch $protocol" 0 - memctouch $option --expire=100 large
done
check "memcstat" 0 - memcstat

if ! "$python" -c 'import pymemcache, bmemcached' 2> "$folder/err"; then
    echo "skip server_peers.py: $(tail -n 1 "$folder/err"); PYTHON names an interpreter with pymemcache and python-binary-memcached"
    skipped=$((skipped + 1))
    finish
fi
"$python" "$here/server_peers.py" "$server" | tee "$folder/python"
counts=$(tail -n 1 "$folder/python" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p')
if [ -z "$counts" ]; then
    echo "FAIL server_peers.py ended without its counts"
    failed=$((failed + 1))
    finish
fi
read -r more_passed more_failed more_skipped <<< "$counts"
passed=$((passed + more_passed)) failed=$((failed + more_failed)) skipped=$((skipped + more_skipped))
finish
