# Sourced by tests/run: starts memcached and the embedded server on ports of the system's choosing and on Unix sockets
# in $scratch, remembers the process ids, and ends exactly those.
server_pids=()

# start_memcached NAME ARG…: sets `address`; without -s it listens on a free TCP port.
start_memcached() {
    local name=$1 socket="$scratch/$1.sock" ports="$scratch/$1.ports" as_root=() log="$logs/$suite.$1.log"
    shift
    ((EUID == 0)) && as_root=(-u root)
    if [[ $* == *--unix* ]]; then
        memcached "${as_root[@]}" -s "$socket" -a 0700 </dev/null >"$log" 2>&1 &
        server_pids+=($!)
        wait_for "$name" test -S "$socket" || return
        address=$socket
    else
        # -p -1: the system chooses the port, and memcached writes it to this file.
        MEMCACHED_PORT_FILENAME=$ports memcached "${as_root[@]}" -p -1 -U 0 "$@" </dev/null >"$log" 2>&1 &
        server_pids+=($!)
        wait_for "$name" test -s "$ports" || return
        address="$(tcp_host "$@"):$(sed -n 's/^TCP INET6*: //p' "$ports")"
    fi
}

# tcp_host -l HOST: the host as server strings write it.
tcp_host() {
    [[ $2 == *:* ]] && echo "[$2]" || echo "$2"
}

# start_embedded NAME ARG…: sets `address`.
start_embedded() {
    local name=$1 log="$logs/$suite.$1.log"
    shift
    "$target/debug/bmemc-server" "$@" </dev/null >"$log" 2>&1 &
    server_pids+=($!)
    wait_for "$name" grep -q '^listening on ' "$log" || return
    address=$(sed -n 's/^listening on //p' "$log")
}

# wait_for NAME CONDITION…: up to five seconds, or until the server that was started last has ended.
wait_for() {
    local name=$1 try
    shift
    for ((try = 0; try < 100; try++)); do
        "$@" 2>/dev/null && return 0
        kill -0 "${server_pids[-1]}" 2>/dev/null || break
        sleep 0.05
    done
    echo "tests/run: server $name did not start:" >&2
    tail -n 5 "$logs/$suite.$name.log" >&2
    return 1
}

stop_servers() {
    ((${#server_pids[@]})) || return 0
    kill "${server_pids[@]}" 2>/dev/null
    wait "${server_pids[@]}" 2>/dev/null
    server_pids=()
}
