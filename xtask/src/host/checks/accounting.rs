//! Counts against those of the kernel: of a disk, of the I/O of a unit, of OOM kills, of a quota.

use anyhow::{Context, Result};

use super::{Check, Exposition, Guest, UNIT, check, scrape};
use crate::vm::checks::block;

/// Makes a partition and a logical volume, and says what the disk is called.
const PREPARE: &str = "
    set -e
    printf 'label: gpt\\nsize=200MiB\\nsize=200MiB\\n' | sfdisk -q $spare
    udevadm settle
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 $spare-part1
    pvcreate -q $spare-part2 >/dev/null
    vgcreate -q vg $spare-part2 >/dev/null
    lvcreate -q -Wn -l 100%FREE -n data vg >/dev/null
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 /dev/vg/data
    mkdir -p /mnt/partition /mnt/volume
    mount $spare-part1 /mnt/partition
    mount /dev/vg/data /mnt/volume
    sync
    # It looks at what has changed.
    udevadm settle
    basename $(readlink -f $spare)";

/// Writes to both, with fsync, and reads again.
const WORK: &str = "
    set -e
    for place in partition volume; do
        for rw in write randread; do
            fio --name=$place --directory=/mnt/$place --size=2M --bs=8k --rw=$rw --direct=1 \
                --fsync=16 --ioengine=libaio --iodepth=4 --output=/dev/null
        done
    done
    sync";

/// The kernel's counts of a disk and the series, taken while nothing is done to the disk: what looks at its
/// partitions does so some time after they have changed.
const WHILE_IDLE: &str = "
    counts() { grep \" $name \" /proc/diskstats; }
    for n in $(seq 20); do
        before=$(counts)
        settle
        scrape=$(series 'monitor_(process_)?block_')
        [ \"$before\" = \"$(counts)\" ] && break
    done
    echo \"$before\"
    echo @
    echo \"$scrape\"";

/// The disk did as much as the kernel says, and all of it belongs to somebody.
pub(super) fn disk(guest: &mut Guest) -> Result<Check> {
    let said = guest.run(PREPARE)?.text;
    // Behind what the tools have to say.
    let name = said.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
    let counts = |guest: &mut Guest| {
        let said = guest.run(&format!("name={name}\n{WHILE_IDLE}"))?.text;
        let (theirs, ours) = said.split_once("@\n").context("no scrape")?;
        anyhow::Ok((theirs.to_owned(), Exposition::parse(ours)?))
    };
    let (theirs_before, before) = counts(guest)?;
    guest.run(WORK)?;
    let (theirs_after, after) = counts(guest)?;
    let theirs = block::kernel(1, &(theirs_before + &theirs_after))?;
    let of = |whose: &str| {
        let [before, after] =
            [&before, &after].map(|scrape| block::numbers(scrape, whose, name, &[]));
        std::array::from_fn(|n| after[n] - before[n])
    };
    let ours: block::Numbers = of("");
    let found = format!("{ours:?} operations and bytes of the kernel's {theirs:?}");
    let holds = ours == theirs && of("process_") == ours && theirs.iter().all(|it| *it > 0.0);
    Ok(check("disk", holds, found))
}

/// A unit has read and written as much of the disk as its cgroup says.
pub(super) fn bytes_of_a_unit(guest: &mut Guest) -> Result<Check> {
    let script = "
        set -e
        file=/mnt/partition/prepared
        dd if=/dev/zero of=$file bs=1M count=4 status=none
        sync
        echo 3 >/proc/sys/vm/drop_caches
        device=$(lsblk -ndo MAJ:MIN $spare | tr -d ' ')
        basename $(readlink -f $spare)
        unit mt-io -p IOAccounting=yes bash -c \"
            dd if=$file of=/dev/null bs=4k count=300 iflag=direct status=none
            dd if=/dev/zero of=$file bs=4k count=200 oflag=direct conv=notrunc status=none
            grep '^$device ' /sys/fs/cgroup/system.slice/mt-io.service/io.stat\"";
    let said = guest.run(script)?.text;
    let (disk, stat) = said.trim_start().split_once('\n').context("the unit says nothing")?;
    let theirs = |name: &str| {
        let value =
            stat.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    let after = scrape(guest, "monitor_process_block_io_bytes")?;
    let ours = |direction| {
        // Its programs come from another disk.
        let labels = [
            (UNIT, "mt-io.service"),
            ("disk_io_direction", direction),
            ("system_device", disk.trim()),
        ];
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
        series 'monitor_(cgroup_cpu|(process_cpu|sched)_throttled_latency_seconds_sum)'
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
    // Of one thread it is what its CPU was throttled; not measured on kernels without a clock for that.
    let is_measured =
        after.values("monitor_sched_throttled_latency_seconds_sum", &[]).next().is_some();
    let latency = is_measured.then(|| {
        let unit = [(UNIT, "mt-quota.service")];
        after.sum("monitor_process_cpu_throttled_latency_seconds_sum", &unit) * 1e6
            / theirs("throttled_usec")
    });
    let found = format!(
        "{pairs:?} throttled periods and microseconds, ours and those of cpu.stat; throttled latency is \
         {latency:.3?} of those"
    );
    let holds = holds && latency.is_none_or(|ratio| (0.98..=1.02).contains(&ratio));
    Ok(check("quota of a unit", holds, found))
}
