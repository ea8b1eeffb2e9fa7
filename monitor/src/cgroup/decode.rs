//! The numbers in a cgroup's files.

/// As many as a file has that has most; those that a file does not have are 0.
pub(super) type Values = [u64; 3];

/// Periods, throttled periods and throttled nanoseconds of a `cpu.stat`. None in the file of a cgroup
/// of version 2 that the controller is not on for.
pub(super) fn throttling(text: &str) -> Option<Values> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<u64>().ok())
    };
    // Version 1 has nanoseconds, version 2 microseconds.
    let time_ns = value("throttled_time")
        .or_else(|| value("throttled_usec").map(|us| us.saturating_mul(1000)));
    Some([value("nr_periods")?, value("nr_throttled")?, time_ns?])
}

/// Nanoseconds in which some and in which all tasks were stalled, of a file such as `cpu.pressure`.
/// Before Linux 5.13 that file has only the first.
pub(super) fn pressure(text: &str) -> Option<Values> {
    let total = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        line.rsplit_once("total=")?.1.parse::<u64>().ok().map(|us| us.saturating_mul(1000))
    };
    Some([total("some")?, total("full").unwrap_or(0), 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cpu_stat() {
        let version_1 = "nr_periods 120\nnr_throttled 7\nthrottled_time 1234567891\n\
                         nr_bursts 0\nburst_time 0\n";
        assert_eq!(throttling(version_1), Some([120, 7, 1_234_567_891]));
        let version_2 = "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\n\
                         throttled_usec 1500\nnr_bursts 0\nburst_usec 0\n";
        assert_eq!(throttling(version_2), Some([3, 2, 1_500_000]));
        assert_eq!(throttling("usage_usec 9\nuser_usec 5\nsystem_usec 4\n"), None);
        assert_eq!(throttling(""), None);
        assert_eq!(throttling("nr_periods x\nnr_throttled 2\nthrottled_usec 1\n"), None);
    }

    #[test]
    fn pressure_with_and_without_a_full_line() {
        let some = "some avg10=0.00 avg60=0.12 avg300=1.00 total=2500\n";
        assert_eq!(pressure(some), Some([2_500_000, 0, 0]));
        let both = format!("{some}full avg10=0.00 avg60=0.00 avg300=0.00 total=1000\n");
        assert_eq!(pressure(&both), Some([2_500_000, 1_000_000, 0]));
        assert_eq!(pressure("full avg10=0.00 total=1000\n"), None);
        assert_eq!(pressure("garbage"), None);
    }
}
