#!/bin/sh
# The first and only process of the virtual machine: traces each program of /programs twice, under `exec` and
# attached, then /threads/concurrency and a script of Python's, and sends what came of it to the second serial line. The
# host judges.
#
# What the host reads: `@@ PROGRAM MODE STATUS`, then the report's one line, then what memtrace said, each of its lines
# after `| `, and what the program knows of its stacks, each line after `> `; at the end `@@ end`. Other than that,
# nothing. $ITERATIONS and $THREADS (how many, and for how many ms; a comma between) come with the kernel's command line.

/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tracefs trace /sys/kernel/tracing
mount -t tmpfs tmp /tmp
stty -F /dev/ttyS1 raw -echo
exec 4>/dev/ttyS1

# As `result PROGRAM MODE STATUS`.
result() {
    echo "@@ $*" >&4
    cat /tmp/report >&4
    echo >&4
    sed 's/^/| /' /tmp/said >&4
    sed 's/^/> /' /tmp/known >&4
    echo "vm-test: $1 $2: status $3 after $(cut -d. -f1 /proc/uptime) s"
}

# Waits for a text in a file, in steps of a tenth of a second. The whole machine has a time limit.
await() {
    until grep -q "$1" "$2"; do
        sleep 0.1
    done
}

under_exec() {
    memtrace exec -vv --mark-fn mark_iteration --format json -o /tmp/report --force \
        -- "/programs/$1" $ITERATIONS >/tmp/output 2>/tmp/said </dev/null
    result "$1" exec $?
}

# Starts a program that says `ready` and goes on at a line, as `start COMMAND…`.
start() {
    rm -f /tmp/input
    mkfifo /tmp/input
    : >/tmp/output
    "$@" </tmp/input >/tmp/output &
    target=$!
    exec 5>/tmp/input
    await ready /tmp/output
}

# Attaches to it, with more options.
attach() {
    : >/tmp/said
    memtrace -vv --pid $target "$@" --format json -o /tmp/report --force 2>/tmp/said </dev/null 5>&- &
    tracer=$!
    # It may end without ever being attached: the program runs to its end all the same.
    until grep -q 'attached to' /tmp/said || ! kill -0 $tracer 2>/dev/null; do
        sleep 0.1
    done
}

attached() {
    start "/programs/$1" $ITERATIONS wait
    attach --mark-fn mark_iteration
    for _ in $(seq $ITERATIONS); do
        echo >&5
    done
    await done /tmp/output
    exec 5>&-
    wait $tracer
    result "$1" pid $?
}

many_threads() {
    export KNOWN_FILE=/tmp/known
    start /threads/concurrency ${THREADS%,*} ${THREADS#*,}
    attach --interval 1h
    echo >&5
    await done /tmp/output
    kill -INT $tracer
    wait $tracer
    status=$?
    exec 5>&-
    wait $target
    result concurrency threads $status
}

# Both steps of the script, of which the first fills pools that the second one's are compared with.
python() {
    : >/tmp/report
    start /usr/bin/python3 -S -E /python/pools.py
    attach --interval 1h
    for steps in 2 3; do
        printf . >&5
        until [ "$(grep -c ready /tmp/output)" -ge $steps ]; do
            sleep 0.1
        done
    done
    kill -INT $tracer
    wait $tracer
    result python pools $?
    exec 5>&-
    wait $target
}

: >/tmp/known
for program in /programs/*; do
    : >/tmp/report
    under_exec "${program##*/}"
    : >/tmp/report
    attached "${program##*/}"
done
many_threads
[ -x /usr/bin/python3 ] && : >/tmp/known && python
echo "@@ end" >&4
exec 4>&-
sleep 1 # the line's last bytes are still on their way
poweroff -f
