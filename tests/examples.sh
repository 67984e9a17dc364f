#!/usr/bin/env bash
# tests/examples.sh SERVER SOCKET: runs examples/run with good and bad input, against the embedded server and against
# memcached at SERVER (host:port) and SOCKET (a path), and compares the README's code with the files.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
. "$root/tests/lib/check.sh"
server=$1 socket=$2
target=${CARGO_TARGET_DIR:-$root/target}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bmemc-examples.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# What runs: `language` is empty for C, or an option of examples/run.
language=

# caches STORED TOO-LARGE FILE [SERVER]: every line of FILE that could be stored was a hit.
caches() {
    local stored=$1 large=$2 output
    shift 2
    output=$("$root/examples/run" $language "$@") || return 1
    echo "$output"
    grep -q "^stored $stored, .* $large too large$" <<<"$output" &&
        grep -q "^read   $stored hits, 0 misses, 0 different, " <<<"$output"
}

# fails STATUS WORDS ARG…: ends with STATUS, says WORDS on stderr and nothing on stdout.
fails() {
    local wanted=$1 words=$2 status=0 printed
    shift 2
    printed=$("$root/examples/run" $language "$@" 2>"$scratch/stderr") || status=$?
    cat "$scratch/stderr"
    echo "status $status, printed: $printed"
    ((status == wanted)) && [[ -z $printed ]] && grep -qiF -- "$words" "$scratch/stderr"
}

help_is_shown() {
    [[ $("$root/examples/run" --help) == *"usage: examples/run "*"[FILE] [SERVER]"* ]]
}

# Anywhere, and with a path that is relative to where the user is.
from_elsewhere() {
    cd "$scratch" && cp "$root/README.md" relative.md && caches "$(wc -l <relative.md)" 0 relative.md
}

quiet_when_fast() {
    "$root/examples/run" $language "$root/README.md" 2>"$scratch/stderr" && [[ ! -s $scratch/stderr ]]
}

# C99, and not one warning: people copy these.
compiles_strictly() {
    gcc -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only -I"$root/include" "$root/examples/c/$1.c"
}

hello_prints() {
    gcc -std=c99 -I"$root/include" "$root/examples/c/hello.c" -o "$scratch/hello" -L"$target/release" -lbmemc \
        "-Wl,-rpath,$target/release" && [[ $("$scratch/hello" "$1") == "hello, world" ]]
}

hello_fails() {
    ! "$scratch/hello" "$scratch/no.sock" 2>"$scratch/stderr" && grep -F "$scratch/no.sock" "$scratch/stderr"
}

readme_has_hello() {
    diff <(sed -n '/^```c$/,/^```$/p' "$root/README.md" | sed '/^```/d') "$root/examples/c/hello.c"
}

# Each file that the README sends the reader to is there.
readme_names_files() {
    local name missing=0
    for name in $(grep -oE '\]\([A-Za-z][^):]*\)' "$root/README.md" | tr -d '])('); do
        [[ -e $root/$name ]] || { echo "the README names $name, which is not there" && missing=1; }
    done
    ((missing == 0))
}

readme_lines=$(wc -l <"$root/README.md")
seq 1 20000 >"$scratch/long"
printf '\n\nthree, after two empty lines\n\n' >"$scratch/empty-lines"
printf 'one\ntwo, without a newline' >"$scratch/unfinished"
printf 'a\0b\r\nVALUE x 0 3\r\n\r\nEND\r\n\xff\xfe\n' >"$scratch/bytes"
{ echo before && head -c 3000000 /dev/zero | tr '\0' x && echo && echo after; } >"$scratch/wide"
: >"$scratch/nothing"
binary=$(readlink -f /bin/bash)
binary_lines=$(python3 -c 'import sys; data = open(sys.argv[1], "rb").read(); print(data.count(b"\n") + (data[-1:] != b"\n"))' "$binary")

run_example() {
    local in=${language#--}
    in=${in:-c}
    check "from a clean checkout: the README, embedded server, $in" caches "$readme_lines" 0
    check "a relative FILE from another folder, $in" from_elsewhere
    check "nothing on stderr where it is fast and no terminal, $in" quiet_when_fast
    for where in "" "$server" "$socket"; do
        at=${where:-embedded}
        check "20,000 lines, $at, $in" caches 20000 0 "$scratch/long" $where
        check "empty lines, $at, $in" caches 4 0 "$scratch/empty-lines" $where
        check "no newline at the end, $at, $in" caches 2 0 "$scratch/unfinished" $where
        check "any bytes, $at, $in" caches 5 0 "$scratch/bytes" $where
        check "a line over the item limit is left out, $at, $in" caches 2 1 "$scratch/wide" $where
        check "a program as FILE, $at, $in" caches "$binary_lines" 0 "$binary" $where
    done
    check "--help, $in" help_is_shown
    check "no such file, $in" fails 1 "$scratch/absent: No such file or directory" "$scratch/absent"
    check "a folder, $in" fails 1 "Is a directory" "$scratch"
    check "an empty file, $in" fails 1 "the file is empty" "$scratch/nothing"
    check "nobody listens, $in" fails 1 "$scratch/no.sock" "$scratch/long" "$scratch/no.sock"
    check "not a server, $in" fails 1 "host:99999" "$scratch/long" host:99999
    check "an unknown option, $in" fails 2 "unknown option --fast" --fast
    check "too many arguments, $in" fails 2 "at most FILE and SERVER" a b c
}

for language in "" --go --node; do run_example; done
language=
check "cache_file.c is strict C99" compiles_strictly cache_file
check "hello.c is strict C99" compiles_strictly hello
check "hello.c, $server" hello_prints "$server"
check "hello.c, $socket" hello_prints "$socket"
check "hello.c, nobody listens" hello_fails
check "the README shows hello.c" readme_has_hello
check "the README's links" readme_names_files
finish
