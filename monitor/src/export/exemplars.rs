//! Which exemplars a receiver takes.

use std::time::SystemTime;

use crate::view::Exemplar;

/// The newest exemplar that a receiver has. Prometheus refuses an older one for the same series, as there
/// is after the wall clock was set back, until the clock has caught up: such are left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Newest {
    tick: u64,
    time: Option<SystemTime>,
}

impl Newest {
    /// Whether the receiver takes another one. Those of one tick come in any order.
    pub(super) fn admits(&self, exemplar: &Exemplar) -> bool {
        exemplar.tick <= self.tick || Some(exemplar.time) >= self.time
    }

    /// Notes what the receiver has now.
    pub(super) fn note<'a>(&mut self, exemplars: impl Iterator<Item = &'a Exemplar>) {
        for exemplar in exemplars {
            if Some(exemplar.time) >= self.time {
                (self.tick, self.time) = (exemplar.tick, Some(exemplar.time));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sample::Attributes;

    #[test]
    fn exemplars_older_than_those_of_earlier_ticks_are_left_out() {
        let exemplar = |tick, second| Exemplar {
            tick,
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
            latency: Duration::ZERO,
            attributes: Attributes::default(),
        };
        let mut newest = Newest::default();
        assert!(newest.admits(&exemplar(1, 0)));
        newest.note([exemplar(1, 3601), exemplar(1, 3603), exemplar(1, 3602)].iter());
        assert!(newest.admits(&exemplar(1, 3601)), "the same again");
        assert!(!newest.admits(&exemplar(2, 3602)));
        // The clock is set back by an hour.
        newest.note([exemplar(2, 4)].iter());
        assert!(!newest.admits(&exemplar(2, 4)) && !newest.admits(&exemplar(3, 5)));
        assert!(newest.admits(&exemplar(3600, 3603)), "it has caught up");
    }
}
