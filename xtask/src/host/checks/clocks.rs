//! Counters that the kernel sets back, and a wall clock that is.

use anyhow::Result;

use super::{Check, Guest, check};

/// The idle time of a CPU that was offline is the kernel's.
pub(super) fn cpu_goes_offline(guest: &mut Guest) -> Result<Check> {
    let script = "
        online=/sys/devices/system/cpu/cpu1/online
        idle() { sed -nE 's/^cpu1 [0-9]+ [0-9]+ [0-9]+ ([0-9]+) .*/\\1/p' /proc/stat; }
        idle
        echo 0 >$online
        settle
        echo 1 >$online
        sleep 5
        settle
        idle
        series system_cpu_time_seconds_total | grep '\"1\".*\"idle\"' | sed 's/.* //'
        settle
        idle";
    let said = guest.run(script)?.text;
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [at_first, before, ours, after] = numbers[..] else {
        return Ok(check("CPU offline and online", false, said));
    };
    let ticks = ours * 100.0;
    // The view is a tick old, and a tick may be late.
    let holds = ticks >= before - 500.0 && ticks <= after;
    let found =
        format!("idle for {at_first}, then {ticks} of the kernel's {before} to {after} ticks");
    Ok(check("CPU offline and online", holds, found))
}

/// All series restart once when the wall clock was an hour ahead at the daemon's start.
pub(super) fn wall_clock_is_set_back(guest: &mut Guest) -> Result<Check> {
    let script = "
        date -s '+1 hour' >/dev/null
        systemctl restart monitor
        until get ready 2>/dev/null | grep -q ^ready; do sleep 0.5; done
        settle
        cpu() { series system_cpu_time_seconds_total | awk '{ sum += $NF } END { print sum }'; }
        cpu
        date -s '-1 hour' >/dev/null
        settle
        cpu
        settle
        cpu
        journalctl -u monitor -o cat | grep -c 'wall clock stepped back'";
    let said = guest.run(script)?.text;
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[before, after, later, restarts] = &numbers[..] else {
        return Ok(check("wall clock set back", false, said));
    };
    let holds = after < before && after < later && restarts == 1.0;
    let found =
        format!("CPU time of {before} s, then {after} s and {later} s; {restarts} restarts");
    Ok(check("wall clock set back", holds, found))
}
