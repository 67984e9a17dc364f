# Sourced by test scripts: `check` runs one thing that must succeed, `finish` prints the closing line that tests/run sums.
passed=0 failed=0 skipped=0

# check WHAT COMMAND…: COMMAND, which may be a function, must succeed; its output is shown where it does not.
check() {
    local what=$1 output status=0
    shift
    output=$("$@" 2>&1 </dev/null) || status=$?
    if ((status == 0)); then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what (status $status)"
        printf '%s\n' "$output" | tail -n 40 | sed 's/^/        /'
    fi
}

# skip WHAT WHY: what could not be tried here.
skip() {
    skipped=$((skipped + 1))
    echo "skipped $1: $2"
}

# finish: the closing line and the exit status.
finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    exit $((failed > 0))
}
