#!/bin/busybox sh
# Process 1 of the virtual machine: checks that the daemon loads, runs it beside a small workload, and
# writes what it and the kernel say of that to the second serial port, each part between markers. The
# judging is done outside.

# The kernel's console stays the first serial port.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
# Its second serial port is the first of that kind where the console is of another.
results=/dev/ttyS1
[ "$(uname -m)" != aarch64 ] || results=/dev/ttyS0
stty -F $results raw
exec 9>$results

# part NAME COMMAND...: what a command prints, with its exit code.
part() {
    echo "@@@ $1" >&9
    shift
    "$@" >&9 2>&1
    printf '\n@@@ end %s\n' $? >&9
}

# The body of an answer. busybox's wget crashes where it is linked statically, and a server takes the
# end of what it is sent for a hang-up, so that comes later than the answer.
get() {
    { printf 'GET /%s HTTP/1.0\r\n\r\n' "$1"; sleep 2; } | nc -w 10 127.0.0.1 9464 | sed '1,/^\r$/d'
}

# What the daemon counted, and the kernel's count at about the same moment.
counts() {
    grep '^ctxt ' /proc/stat
    get metrics
}

# The disks, each with a scheduler.
for module in /modules/*; do
    case $module in *.xz) unxz $module ;; esac
    insmod ${module%.xz}
done
# The kernel names those of a kind in the order in which it gets to know them, several at a time. Hidden
# ones, each a path to another, have its serial number.
named() {
    for disk in /sys/block/*; do
        case $disk in */nvme*c*n*) continue ;; esac
        serial=$(cat $disk/serial $disk/device/serial 2>/dev/null)
        [ "${serial%% *}" != $1 ] || echo ${disk##*/}
    done
}
while read serial scheduler; do
    echo $scheduler >/sys/block/$(named $serial)/queue/scheduler
done <<'END'
disk0 none
disk1 mq-deadline
disk2 none
disk3 mq-deadline
disk4 bfq
END

# As large as systemd makes it. More ids than slots for stamps: some threads have to share.
echo 4194304 >/proc/sys/kernel/pid_max

# Every probe, those too that are off by default.
mkdir -p /etc/monitor
printf '[probes]\nfaults = true\n' >/etc/monitor/monitor.toml
part kernel uname -r
# Where some probes cannot work: why, and that what happens beside them does no harm.
case $(cat /proc/cmdline) in *monitor.limited*)
    part check monitor check
    NO_COLOR=1 monitor run >/tmp/log 2>&1 &
    daemon=$!
    sleep 5
    for n in $(seq 100); do /bin/true; done
    get metrics >/tmp/metrics
    kill -TERM $daemon
    wait $daemon
    reboot -f
    ;;
esac
part check monitor check --format json

echo 0 >/sys/devices/system/cpu/cpu1/online
NO_COLOR=1 monitor run >/tmp/log 2>&1 &
daemon=$!
tries=0
until get ready | grep -q '^ready' || [ $tries -ge 20 ]; do
    tries=$((tries + 1))
done

# A script's file name is its command name, by which the daemon groups processes. It says how often it had run
# before it was certain to have that name.
script() {
    { echo '#!/bin/sh'; echo 'read -r _ _ runs </proc/$$/schedstat; echo $runs >/tmp/unnamed.$$'; cat; } >"/bin/$1"
    chmod +x "/bin/$1"
}
mkfifo /tmp/there /tmp/back /tmp/never /tmp/done
exec 3<>/tmp/there 4<>/tmp/back 5<>/tmp/never 6<>/tmp/done

# Never blocks: two of them on one CPU wait for each other.
script hog <<'END'
while :; do :; done
END
# Wake each other, from a cgroup that looks like a container's.
id=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
export container=/sys/fs/cgroup/docker/$id
mkdir -p $container
script waker <<'END'
echo $$ >$container/cgroup.procs
for n in $(seq 2000); do echo x >&3; read x <&4; done
echo waker >&6
read x <&5
END
script echoer <<'END'
echo $$ >$container/cgroup.procs
while read x <&3; do echo x >&4; done
END
# Blocked for a known time, again and again.
script sleeper <<'END'
for n in $(seq 300); do read -t 0.01 x <&5; done
echo sleeper >&6
read x <&5
END
# Wants more memory than it can get: than the cgroup may have that is named, or than there is.
mkdir /sys/fs/cgroup/small
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
echo 16M >/sys/fs/cgroup/small/memory.max
script hungry <<'END'
[ -z "$1" ] || echo $$ >/sys/fs/cgroup/$1/cgroup.procs
exec /bin/tail /dev/zero
END
# Many processes that live for a moment.
script forks <<'END'
for n in $(seq 300); do /bin/true; done
echo forks >&6
read x <&5
END

# Page faults on a CPU that comes online, each of which reads from a disk.
echo 1 >/sys/devices/system/cpu/cpu1/online
sleep 2
ln -s workload /bin/reader
part reader taskset 2 reader fault-times 200 /dev/$(named disk2) </dev/null

# Nothing happens in the tick that the first scrape shows.
sleep 2
part before counts
taskset 2 /bin/echoer & echoer=$!
/bin/sleeper & sleeper=$!
# From here on ids have the low bits of those of the kernel's first threads.
echo 262144 >/proc/sys/kernel/ns_last_pid
taskset 1 /bin/hog & hog1=$!
taskset 1 /bin/hog & hog2=$!
taskset 2 /bin/waker & waker=$!
/bin/forks & forks=$!
for n in 1 2 3; do read -t 60 name <&6; done
part top monitor top --count 1

# Processes that are made and end beside the hogs, and the kernel's count of all that it makes. The
# shell makes none to read that.
processes() {
    while read -r name count; do [ $name != processes ] || echo "processes $count"; done </proc/stat
}
crowd() {
    processes
    for n in 1 2 3; do /bin/crowd exits 300 </dev/null >/tmp/crowd$n & crowds="$crowds $!"; done
    wait $crowds
    processes
    cat /tmp/crowd?
}
ln -s workload /bin/crowd
part crowd crowd

# Stopped processes stay as they are, so that two readers see the same numbers. The daemon has them
# after the tick that is under way and one more.
kill -STOP $hog1 $hog2 $waker $echoer $sleeper $forks
read -r stopped idle </proc/uptime
# Servers of names that take a known time to answer, and processes that ask them.
for name in resolver asker stray asker6 mapped misled racer server caller mptcp-server mptcp-caller fast-server fast-caller ends; do ln -s workload /bin/$name; done
resolver dns-serve - 127.0.0.1 100 0 <&5 >/dev/null &
resolver dns-serve - 127.0.0.2 300 0 <&5 >/dev/null &
resolver dns-serve - ::1 100 0 <&5 >/dev/null &
# One that drops every query.
resolver dns-serve - 127.0.0.3 100 1 <&5 >/dev/null &
sleep 2
part asker asker dns-ask - 127.0.0.1 connected 20 1 5000 </dev/null
part stray stray dns-ask - 127.0.0.1,127.0.0.2 unconnected 10 1 5000 </dev/null
part asker6 asker6 dns-ask - ::1 unconnected 10 1 5000 </dev/null
part mapped mapped dns-ask - ::ffff:127.0.0.1 unconnected 10 1 5000 </dev/null
part misled misled dns-cases - 127.0.0.1 misled 5 0 </dev/null
part racer racer dns-race - 127.0.0.1,127.0.0.3 5 </dev/null
# Starts a server by its name and what it serves by; its port is in $port.
serve() {
    $1 $2 - 127.0.0.1 <&5 >/tmp/port &
    sleep 1
    read -r word port </tmp/port
}
# A connection.
serve server tcp-serve
part caller caller tcp-ask - 127.0.0.1 $port 30 1000 3000 </dev/null
# The same by MPTCP, and the kernel's count of the connections that are.
serve mptcp-server mptcp-serve
mptcp() {
    mptcp-caller mptcp-ask - 127.0.0.1 $port 30 1000 3000 </dev/null
    grep '^MPTcpExt:' /proc/net/netstat
}
part mptcp-caller mptcp
# Requests in the first segment: of clients and servers, without cookies, for all listeners.
echo 1543 >/proc/sys/net/ipv4/tcp_fastopen
serve fast-server tcp-serve
fast() {
    fast-caller tcp-ask-fast - 127.0.0.1 $port 10 992 3000 </dev/null
    grep '^TcpExt:' /proc/net/netstat
}
part fast-caller fast
# Processes whose threads end all at once.
part ends ends exits-threads 900 </dev/null
# Units that exist for less than a tick. Their processes end in them.
short() {
    for n in 0 1 2 3 4 5 6 7 8 9; do
        unit=/sys/fs/cgroup/system.slice/short-$n.service
        mkdir -p $unit
        sh -c "echo 0 >$unit/cgroup.procs; for m in 1 2 3 4 5; do /bin/uname; done" >/dev/null
        sleep 0.3
        until rmdir $unit; do sleep 0.01; done
    done
}
short
# A unit that its quota throttles. It ends between two readings of its files.
throttled() {
    unit=/sys/fs/cgroup/throttled.service
    echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
    mkdir $unit
    echo 2000 10000 >$unit/cpu.max
    # One process alone: of several, each would count what it is throttled for.
    sh -c "echo 0 >$unit/cgroup.procs
        read -r begin idle </proc/uptime
        while read -r now idle </proc/uptime; do
            [ \${now%.*} -le \$((\${begin%.*} + 1)) ] || exit 0
        done"
    sleep 0.5
    cat $unit/cpu.stat
    until rmdir $unit; do sleep 0.01; done
}
part throttled throttled
# Each disk, read and written by programs without the kernel's memory in between: reads, writes, a
# write and an fsync, writes that are on the medium when they are done.
ln -s workload /bin/syncer
disk() {
    echo $1
    # One with several paths has no requests of its own to schedule.
    cat /sys/block/$1/queue/scheduler 2>/dev/null || echo none
    cat /sys/block/$1/queue/write_cache /sys/block/$1/queue/fua
    requests $1
    dd if=/dev/$1 of=/dev/null bs=4096 count=200 iflag=direct status=none
    dd if=/dev/zero of=/dev/$1 bs=4096 count=200 oflag=direct status=none
    syncer disk-sync /dev/$1 20 20 </dev/null >/dev/null
    requests $1
}
# What the kernel counted of a disk; of one with several paths, what it counted of each of them.
requests() {
    grep " ${1%n*}c[0-9]*n[0-9]* " /proc/diskstats || grep " $1 " /proc/diskstats
}
for n in 0 1 2 3 4 5; do part disk$n disk $(named disk$n); done
/bin/hungry small
/bin/hungry
# DNS queries without a response time out.
sleep 7
facts() {
    echo "stopped $stopped"
    for pid in $hog1 $hog2 $waker $echoer $sleeper $forks; do
        echo "process $(cat /proc/$pid/comm)"
        echo "unnamed $(cat /tmp/unnamed.$pid)"
        echo "schedstat $(cat /proc/$pid/schedstat)"
        echo "stat $(cat /proc/$pid/stat)"
        grep ctxt_switches /proc/$pid/status
    done
}
part after counts
part facts facts
part memory grep -E '^(allocstall|oom_kill )' /proc/vmstat
part health get health
kill -TERM $daemon
part stop wait $daemon
part log cat /tmp/log
# A round of the self-audit, with work until it is over. One that says nothing ends nevertheless.
audited() {
    rm -f /tmp/audited
    # Without the probe of page faults, whose counter the kernel turns on by patching its code: emulated CPUs that
    # fault meanwhile can hang.
    : >/etc/monitor/monitor.toml
    disks=$(for n in 0 1 2 3 4 5; do named disk$n; done)
    httpd -p 127.0.0.1:8080 -h /tmp
    { monitor check --audit 15s --format json; echo $? >/tmp/audited; } &
    audit=$!
    # Loading alone takes minutes where RCU waits long, as it does for Tasks RCU in emulated arm64 machines.
    read -r now rest </proc/uptime
    end=$((${now%.*} + 600))
    until [ -e /tmp/audited ] || [ ${now%.*} -ge $end ]; do
        read -r now rest </proc/uptime
        for disk in $disks; do
            dd if=/dev/$disk of=/dev/null bs=4096 count=20 iflag=direct status=none
            dd if=/dev/zero of=/dev/$disk bs=4096 count=20 oflag=direct status=none
        done
        for m in $(seq 20); do nc -w 1 127.0.0.1 8080 </dev/null; done
        reader faults 500 </dev/null >/dev/null
        asker dns-ask - 127.0.0.1 connected 1 1 5000 </dev/null >/dev/null
    done
    wait $audit
    return $(cat /tmp/audited)
}
part audit audited
reboot -f
