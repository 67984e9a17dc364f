# Sourced by tests/run: what the tests need. Debian packages are installed where that is possible; Rust, Go and Node are
# the user's to choose, so they are only checked.

# What must be there, and the Debian package that has it.
tools=(
    "memcached memcached"
    "memccp libmemcached-tools"
    "nutcracker nutcracker"
    "saslpasswd2 sasl2-bin"
    "openssl openssl"
    "cmake cmake"
    "make make"
    "ninja ninja-build"
    "pkg-config pkg-config"
    "gcc gcc"
    "g++ g++"
    "clang++ clang"
    "readelf binutils"
    "valgrind valgrind"
    "strace strace"
    "kill procps"
    "python3 python3"
)

missing_packages() {
    local tool
    for tool in "${tools[@]}"; do
        # A program, not what the shell has built in.
        type -P "${tool% *}" >/dev/null || echo "${tool#* }"
    done
    python3 -c 'import venv, ensurepip' 2>/dev/null || echo python3-venv
    echo '#include <stdio.h>' | gcc -E -xc - >/dev/null 2>&1 || echo libc6-dev
    java --list-modules 2>/dev/null | grep -q jdk.compiler || echo default-jdk-headless
    [[ -e /usr/share/java/spymemcached.jar ]] || echo libspymemcached-java
    ruby -e 'require "dalli"' 2>/dev/null || printf "%s\n" ruby ruby-dalli
    # Cyrus SASL has each mechanism in a file of its own.
    compgen -G '/usr/lib/*/sasl2/libscram.so' >/dev/null || echo libsasl2-modules
    echo '#include <libmemcached/memcached.h>' | gcc -E -xc - >/dev/null 2>&1 || echo libmemcached-dev
}

# at_least WANTED FOUND: compares versions.
at_least() {
    [[ -n $2 && $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

# need NAME WANTED FOUND WHERE: adds to `problems`.
need() {
    if [[ -z $3 ]]; then
        problems+=("$1 $2 or newer is not installed ($4)")
    elif ! at_least "$2" "$3"; then
        problems+=("$1 $3 is too old: $2 or newer is needed ($4)")
    else
        found+=("$1 $3")
    fi
}

# version_of COMMAND…: the first number with dots that it prints.
version_of() {
    "$@" 2>/dev/null | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1
}

check_languages() {
    need Rust 1.85 "$(version_of rustc --version)" "https://rustup.rs"
    need Go 1.24 "$(version_of go version)" "https://go.dev/dl"
    need Node 20 "$(version_of node --version)" "https://nodejs.org"
    cargo fmt --version >/dev/null 2>&1 || problems+=("cargo fmt is not installed (rustup component add rustfmt)")
    cargo clippy --version >/dev/null 2>&1 || problems+=("cargo clippy is not installed (rustup component add clippy)")
}

# Packages start their services when they are installed; a test machine wants the programs alone. Debian asks this file.
install_packages() {
    local policy=/usr/sbin/policy-rc.d status=0
    echo "installing $*"
    [[ -e $policy ]] || { policy_made=$policy; printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; }
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$logs/apt.log" 2>&1 </dev/null || status=$?
    remove_policy
    ((status == 0)) || tail -n 20 "$logs/apt.log" >&2
    return "$status"
}

remove_policy() {
    [[ -z ${policy_made-} ]] || rm -f "$policy_made"
    policy_made=
}

# Everything is there afterwards, or the run ends with status 2 and says what to do.
check_prerequisites() {
    local packages problem
    problems=() found=()
    check_languages
    mapfile -t packages < <(missing_packages)
    if ((${#packages[@]})); then
        if ((EUID == 0)) && command -v apt-get >/dev/null && [[ -e /etc/debian_version ]]; then
            install_packages "${packages[@]}" || problems+=("apt-get could not install ${packages[*]}")
            mapfile -t packages < <(missing_packages)
            ((${#packages[@]} == 0)) || problems+=("still missing after apt-get: ${packages[*]}")
        else
            problems+=("missing, by the names of Debian's packages: ${packages[*]} (as root on Debian this installs them)")
        fi
    fi
    if ((${#problems[@]})); then
        for problem in "${problems[@]}"; do echo "tests/run: $problem" >&2; done
        exit 2
    fi
    printf '%s, ' "${found[@]}" && memcached -V
}
