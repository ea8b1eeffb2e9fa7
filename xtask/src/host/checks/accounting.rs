//! Counts against those of the kernel: of a disk, of the I/O of a unit, of OOM kills, of a quota.

use anyhow::{Context, Result};

use super::{Check, Exposition, Guest, UNIT, check, scrape};

/// Bytes of a sector.
const SECTOR: f64 = 512.0;

/// What is written to a partition and to a logical volume, with fsync, and read again.
const DISK: &str = "
    set -e
    printf 'label: gpt\\nsize=200MiB\\nsize=200MiB\\n' | sfdisk -q $spare
    udevadm settle
    mkfs.ext4 -q $spare-part1
    pvcreate -q $spare-part2
    vgcreate -q vg $spare-part2
    lvcreate -q -Wn -l 100%FREE -n data vg
    mkfs.ext4 -q /dev/vg/data
    mkdir -p /mnt/partition /mnt/volume
    mount $spare-part1 /mnt/partition
    mount /dev/vg/data /mnt/volume
    sync
    name=$(basename $(readlink -f $spare))
    echo name $name
    settle
    grep \" $name \" /proc/diskstats
    series monitor_block_ >/run/before
    for place in partition volume; do
        for rw in write randread; do
            fio --name=$place --directory=/mnt/$place --size=2M --bs=8k --rw=$rw --direct=1 --fsync=16 \
                --ioengine=libaio --iodepth=4 --output=/dev/null
        done
    done
    sync
    settle
    grep \" $name \" /proc/diskstats
    cat /run/before
    echo @
    series monitor_block_";

/// Operations read, and written or flushed, and bytes.
type Numbers = [f64; 4];

/// The disk did as much as the kernel says.
pub(super) fn disk(guest: &mut Guest) -> Result<Check> {
    let text = guest.run(DISK)?.text;
    let (before, after) =
        text.split_once("@\n").with_context(|| format!("no two scrapes: {text}"))?;
    let mut lines = before.lines();
    let name = lines.next().and_then(|line| line.strip_prefix("name ")).context("no disk")?;
    let mut kernel = lines.by_ref().take(1).map(kernel);
    let first = kernel.next().context("no diskstats")?;
    let second = before.lines().nth(2).map(self::kernel).context("no diskstats")?;
    let before: Vec<_> = before.lines().skip(3).collect();
    let [before, after] = [before.join("\n").as_str(), after]
        .map(|text| Exposition::parse(text).map(|scrape| numbers(&scrape, name)));
    let (before, after) = (before?, after?);
    let ours: Numbers = std::array::from_fn(|n| after[n] - before[n]);
    let theirs: Numbers = std::array::from_fn(|n| second[n] - first[n]);
    let found = format!("{ours:?} operations and bytes of the kernel's {theirs:?}");
    Ok(check("disk", ours == theirs && theirs.iter().all(|it| *it > 0.0), found))
}

/// A line of `/proc/diskstats`.
fn kernel(line: &str) -> Numbers {
    let numbers: Vec<f64> =
        line.split_whitespace().skip(3).map(|it| it.parse().unwrap_or(f64::NAN)).collect();
    let at = |n: usize| numbers.get(n).copied().unwrap_or(f64::NAN);
    [at(0), at(4), at(2) * SECTOR, at(6) * SECTOR]
}

fn numbers(scrape: &Exposition, disk: &str) -> Numbers {
    let sum = |what: &str, direction| {
        let labels = [("system_device", disk), ("disk_io_direction", direction)];
        scrape.sum(&format!("monitor_block_{what}_total"), &labels)
    };
    // The kernel counts what only flushes among what is written.
    let written = sum("operations", "write") + sum("operations", "flush");
    [sum("operations", "read"), written, sum("io_bytes", "read"), sum("io_bytes", "write")]
}

/// A unit has read and written as much of the disk as its cgroup says.
pub(super) fn bytes_of_a_unit(guest: &mut Guest) -> Result<Check> {
    let script = "
        set -e
        file=/mnt/partition/prepared
        dd if=/dev/zero of=$file bs=1M count=4 status=none
        sync
        echo 3 >/proc/sys/vm/drop_caches
        unit mt-io -p IOAccounting=yes bash -c \"
            dd if=$file of=/dev/null bs=4k count=300 iflag=direct status=none
            dd if=/dev/zero of=$file bs=4k count=200 oflag=direct conv=notrunc status=none
            grep ^$(lsblk -ndo MAJ:MIN $spare | tr -d ' ') /sys/fs/cgroup/system.slice/mt-io.service/io.stat\"";
    let stat = guest.run(script)?.text;
    let theirs = |name: &str| {
        let value =
            stat.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let after = scrape(guest, "monitor_process_block_io_bytes")?;
    let ours = |direction| {
        let labels = [(UNIT, "mt-io.service"), ("disk_io_direction", direction)];
        after.sum("monitor_process_block_io_bytes_total", &labels)
    };
    let pairs = [(ours("read"), theirs("rbytes")), (ours("write"), theirs("wbytes"))];
    let found = format!("{pairs:?} bytes read and written, ours and those of io.stat");
    let holds = pairs.iter().all(|(ours, theirs)| ours == theirs && *ours > 0.0);
    Ok(check("I/O of a unit", holds, found))
}

/// OOM kills are those of `memory.events`.
pub(super) fn oom_kills(guest: &mut Guest) -> Result<Check> {
    let script = "
        unit mt-oom -p MemoryMax=48M -p MemorySwapMax=0 -p OOMPolicy=continue bash -c '
            for n in 1 2 3; do (exec tail /dev/zero); done
            grep oom_kill /sys/fs/cgroup/system.slice/mt-oom.service/memory.events' 2>/dev/null";
    let said = guest.run(script)?.text;
    let theirs = said.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse::<f64>().ok());
    let after = scrape(guest, "monitor_process_oom_kills")?;
    let ours = after.sum("monitor_process_oom_kills_total", &[(UNIT, "mt-oom.service")]);
    let found = format!("{ours} of the {theirs:?} of memory.events");
    Ok(check("OOM kills of a unit", theirs == Some(ours) && ours == 3.0, found))
}

/// Throttling is that of `cpu.stat`.
pub(super) fn quota(guest: &mut Guest) -> Result<Check> {
    let script = "
        systemd-run --quiet --collect --unit=mt-quota -p CPUQuota=20% bash -c '
            end=$((SECONDS + 10)); while [ $SECONDS -lt $end ]; do :; done; sleep 1000'
        sleep 20
        stat=/sys/fs/cgroup/system.slice/mt-quota.service/cpu.stat
        # How old readings are is another matter.
        for n in $(seq 60); do
            throttled=$(sed -n 's/^nr_throttled //p' $stat)
            series monitor_cgroup_cpu_throttled_periods_total | grep 'mt-quota.* '$throttled$ && break
            sleep 1
        done >/dev/null
        cat $stat
        echo @
        series monitor_cgroup_cpu
        systemctl stop mt-quota";
    let text = guest.run(script)?.text;
    let (stat, after) = text.split_once("@\n").with_context(|| format!("no scrape: {text}"))?;
    let after = Exposition::parse(after)?;
    let theirs = |name: &str| {
        let value = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let ours = |name: &str| {
        after.sum(&format!("monitor_cgroup_cpu_{name}_total"), &[(UNIT, "mt-quota.service")])
    };
    let pairs = [
        (ours("throttled_periods"), theirs("nr_throttled")),
        ((ours("throttled_time_seconds") * 1e6).round(), theirs("throttled_usec")),
    ];
    let holds = pairs.iter().all(|(ours, theirs)| ours == theirs && *ours > 0.0);
    let found = format!("{pairs:?} throttled periods and microseconds, ours and those of cpu.stat");
    Ok(check("quota of a unit", holds, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_count_operations_and_bytes_alike() {
        let line = " 259 1 nvme1n1 7 1 56 9 5 2 32 8 0 9 17 0 0 0 0 1 1";
        let scrape = Exposition::parse(
            "monitor_block_operations_total{system_device=\"nvme1n1\",disk_io_direction=\"read\"} 7\n\
             monitor_block_operations_total{system_device=\"nvme1n1\",disk_io_direction=\"write\"} 4\n\
             monitor_block_operations_total{system_device=\"nvme1n1\",disk_io_direction=\"flush\"} 1\n\
             monitor_block_operations_total{system_device=\"nvme0n1\",disk_io_direction=\"read\"} 99\n\
             monitor_block_io_bytes_total{system_device=\"nvme1n1\",disk_io_direction=\"read\"} 28672\n\
             monitor_block_io_bytes_total{system_device=\"nvme1n1\",disk_io_direction=\"write\"} 16384\n",
        );
        assert_eq!(numbers(&scrape.unwrap(), "nvme1n1"), kernel(line));
        assert!(kernel("").iter().all(|number| number.is_nan()));
    }
}
