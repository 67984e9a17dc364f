# Sourced by tests/run: one function for each suite, and the servers that they share.

# --- what several suites need ------------------------------------------------
# Each is made once, by suite_build where a suite that was chosen needs it, and is a test of that one.

need_debug_build() {
    [[ -n ${debug_built-} ]] || check "cargo build" cargo build --locked && debug_built=1
}

# So that cargo builds nothing while others use what it has built.
need_tests() {
    [[ -n ${tests_built-} ]] || check "cargo test --no-run" cargo test --locked --no-run && tests_built=1
}

# Clients for Python that memcached's own tests speak to.
need_python() {
    venv=$target/tests/venv
    [[ -n ${python_made-} ]] || check "Python clients" tests/peers/install "$venv" && python_made=1
}

# The library as it is installed, in target/tests/prefix: fills `installed` with what a build and a program need to find it.
need_prefix() {
    installed=(env "PKG_CONFIG_PATH=$target/tests/prefix/lib/pkgconfig" "LD_LIBRARY_PATH=$target/tests/prefix/lib")
    [[ -n ${prefix_made-} ]] || check "install into target/tests/prefix" tests/packaging/prefix && prefix_made=1
}

# memcached and the embedded server, each over TCP and over a Unix socket: fills `servers` with "NAME ADDRESS".
need_servers() {
    [[ -z ${servers_started-} ]] || return 0
    need_debug_build || return 1
    servers=() servers_started=1
    start_server memcached-tcp start_memcached -l 127.0.0.1
    if grep -q ' lo$' /proc/net/if_inet6 2>/dev/null; then
        start_server memcached-ipv6 start_memcached -l ::1
    else
        skip "memcached over IPv6" "this machine has no ::1"
    fi
    start_server memcached-unix start_memcached --unix
    start_server embedded-tcp start_embedded -p 0
    start_server embedded-unix start_embedded -s "$scratch/embedded.sock"
}

# start_server NAME COMMAND ARG…
start_server() {
    if "$2" "$1" "${@:3}"; then servers+=("$1 $address"); else broken "start $1"; fi
}

# address_of NAME: the address of a server that runs.
address_of() {
    printf '%s\n' "${servers[@]}" | sed -n "s/^$1 //p"
}

# The tests in C, compiled as a user would against cargo's debug library.
need_c_tests() {
    [[ -z ${c_tests_made-} ]] || return 0
    need_debug_build || return 1
    local source
    c_tests=() c_tests_made=1
    for source in tests/c/*.c; do
        [[ -e $source ]] || { broken "there is no tests/c/*.c"; return; }
        local name
        name=$(basename "$source" .c)
        check "compile $source" gcc -std=c11 -g -O1 -Wall -Wextra -Werror -Iinclude -Ibindings/c "$source" \
            -o "$built/$name" -L"$target/debug" -lbmemc "-Wl,-rpath,$target/debug" -lpthread && c_tests+=("$name")
    done
}

# each_c_test PREFIX…: behind PREFIX, every test in C that takes arguments as NAME SERVER PROTOCOL, for every server and
# protocol; one that takes none runs once.
each_c_test() {
    local server protocol name
    need_servers
    need_c_tests
    for name in "${c_tests[@]}"; do
        if ! grep -q '\<argv\>' "tests/c/$name.c"; then
            counted plain "$name" "$@" "$built/$name"
            continue
        fi
        for server in "${servers[@]}"; do
            for protocol in text meta binary; do
                counted plain "$name ${server% *} $protocol" "$@" "$built/$name" "${server#* }" "$protocol"
            done
        done
    done
}

# --- the suites --------------------------------------------------------------

# What those that were chosen need, one after the other: so no two of them build the same.
suite_build() {
    local -A needs=([cargo]="debug_build tests" [c]="c_tests" [cpp]="debug_build" [valgrind]="c_tests prefix"
        [peers]="debug_build python" [values]="debug_build python" [packaging]="debug_build" [examples]="debug_build prefix"
        [go]="prefix" [node]="prefix")
    local name need
    for name in "${suites[@]}"; do
        for need in ${needs[$name]-}; do "need_$need"; done
    done
}

suite_fmt() {
    check "cargo fmt" cargo fmt --check
}

suite_clippy() {
    check "cargo clippy" cargo clippy --locked --all-targets -- -D warnings
}

suite_doc() {
    check "cargo doc" env RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps
}

suite_cargo() {
    counted cargo "cargo test" cargo test --locked --no-fail-fast
}

# A build of its own: the model replaces locks, atomics and sockets.
suite_model() {
    counted cargo "model-check of the blocking driver" env RUSTFLAGS="--cfg bmemc_model" CARGO_PROFILE_TEST_OPT_LEVEL=1 \
        CARGO_TARGET_DIR="$target/model" cargo test --locked --lib pool::model
}

suite_c() {
    each_c_test env
}

suite_cpp() {
    need_servers
    counted plain "bmemc.hpp and bmemc_easy.h" tests/cpp/compile
    # One more server, which wants a certificate of its clients.
    local certificates=$scratch/certificates
    check "certificates" tests/lib/certificates "$certificates" || return
    start_memcached memcached-tls -l 127.0.0.1 -Z -o ssl_chain_cert="$certificates/server.pem" \
        -o ssl_key="$certificates/server.key" -o ssl_ca_cert="$certificates/ca.pem" -o ssl_verify_mode=2 || return
    counted plain "C++ tests" tests/cpp/run "$target/debug" "$address" "$certificates" "${servers[@]}"
}

suite_valgrind() {
    # Memory does not depend on who answers: one server of each kind, one of each kind of socket. The library as it is
    # installed is what users have, and takes a third of the time of the other one.
    need_servers
    need_c_tests
    need_prefix || return
    check "the tests take the library as it is installed" "${installed[@]}" bash -c 'ldd "$1" | grep -F "$2"' bash \
        "$built/abi" "=> $target/tests/prefix/lib/libbmemc.so" || return
    local servers=("${servers[0]}" "${servers[-1]}") name kept=()
    # The ciphers of TLS are assembler (ring), some of whose results valgrind takes for unknown bytes.
    for name in "${c_tests[@]}"; do [[ $name == tls ]] || kept+=("$name"); done
    local c_tests=("${kept[@]}")
    each_c_test "${installed[@]}" valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=99
}

suite_peers() {
    need_servers
    need_python || return
    # A server of their own: they look at its counts.
    local address
    start_embedded embedded-peers -p 0 || return
    counted plain "peers" env PATH="$venv/bin:$PATH" tests/peers/server_peers.sh "$address"
    # tests/ring compares our rings with the committed choices of other clients; here these are made again.
    local chosen=$target/tests/rings/peers.json
    check "other clients' rings" tests/vectors/generate/run "$target/tests/rings" "$chosen" || return
    check "they choose what tests/vectors says" cmp tests/vectors/peers.json "$chosen"
}

# Values from libbmemc to other clients and back, over a real memcached.
suite_values() {
    need_servers
    need_python || return
    local node=$target/tests/node driver=$built/values_driver
    check "Node clients" tests/peers/install-node "$node" || return
    check "compile tests/peers/values_driver.c" gcc -std=gnu11 -g -O1 -Wall -Wextra -Werror -Iinclude \
        tests/peers/values_driver.c -o "$driver" -L"$target/debug" -lbmemc "-Wl,-rpath,$target/debug" || return
    counted plain "values" env NODE_PATH="$node/node_modules" "$venv/bin/python" tests/peers/values_peers.py \
        "$(address_of memcached-tcp)" "$driver"
}

suite_packaging() {
    need_debug_build
    counted plain "packaging" tests/packaging/run
}

suite_examples() {
    need_servers
    counted plain "examples" tests/examples.sh "$(address_of memcached-tcp)" "$(address_of memcached-unix)"
}

suite_go() {
    need_prefix || return
    local module modules=(bindings/go bindings/go/otel benches/go examples/go) tools=$target/tests/go
    local run=("${installed[@]}" go -C)
    check "gofmt" bash -c '! gofmt -l "$@" | grep .' gofmt "${modules[@]}"
    check "go install staticcheck" env GOBIN="$tools" go install honnef.co/go/tools/cmd/staticcheck@v0.8.2
    for module in "${modules[@]}"; do
        check "go vet $module" "${run[@]}" "$module" vet ./...
        check "staticcheck $module" "${installed[@]}" env -C "$module" "$tools/staticcheck" ./...
    done
    counted go "go test -race" "${run[@]}" bindings/go test -race -v -count=1 ./...
    counted go "allocations" "${run[@]}" bindings/go test -v -count=1 -run 'TestAllocations|TestMemoryIsFlat|TestUnderGarbageCollection' .
    counted go "every name of gomemcache has one here" "${run[@]}" benches/go test -v -count=1 .
    counted go "OpenTelemetry" "${run[@]}" bindings/go/otel test -race -v -count=1 ./...
    # Without LD_LIBRARY_PATH: the archive is in the program.
    counted go "linked statically" env PKG_CONFIG_PATH="$target/tests/prefix/lib/pkgconfig" \
        go -C bindings/go test -tags bmemc_static -v -count=1 -run 'TestSetAndGet|TestCounters|Example' ./...
    check "the static program needs no libbmemc.so" tests/lib/links_no_libbmemc bindings/go "$built/go-static"
}

suite_node() {
    need_prefix || return
    check "npm install" tests/lib/npm_install bindings/node || return
    check "prebuilt addon" "${installed[@]}" node bindings/node/scripts/build.js --prebuilt || return
    counted node "node --test" "${installed[@]}" node --test --test-reporter=tap bindings/node/test/*.test.js
}

# The servers are ended here; then nothing that carries the mark of this run may be alive.
suite_guest() {
    stop_servers
    check "no process is left behind" tests/lib/no_process_left "$BMEMC_TEST_RUN"
}
