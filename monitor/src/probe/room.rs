//! From the slots of a histogram as programs keep it, most of which are 0, to durations.

use crate::sample::Durations;

/// Room for the slots that are not 0, kept from histogram to histogram.
#[derive(Default)]
pub(super) struct Room(Vec<(u16, u32)>);

impl Room {
    /// What was counted in slots of the scale that `shift` says.
    pub(super) fn durations(&mut self, shift: u32, sum_ns: u64, counts: &[u32]) -> Durations<'_> {
        self.take(0, counts.iter().copied());
        Durations { shift, sum_ns, slots: &self.0 }
    }

    /// What was counted in slots of scale 3, at the scale that `shift` says.
    pub(super) fn coarser(
        &mut self,
        shift: u32,
        sum_ns: u64,
        counts: impl IntoIterator<Item = u32>,
    ) -> Durations<'_> {
        self.take(shift, counts);
        Durations { shift, sum_ns, slots: &self.0 }
    }

    fn take(&mut self, shift: u32, counts: impl IntoIterator<Item = u32>) {
        self.0.clear();
        for (slot, count) in (0u16..).zip(counts).filter(|(_, count)| *count > 0) {
            let slot = slot >> shift;
            match self.0.last_mut() {
                Some((last, sum)) if *last == slot => *sum += count,
                _ => self.0.push((slot, count)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_slots_with_something_in_them_are_taken() {
        let mut room = Room::default();
        let durations = room.durations(2, 7, &[0, 3, 0, 4]);
        assert_eq!((durations.shift, durations.sum_ns), (2, 7));
        assert_eq!(durations.slots, [(1, 3), (3, 4)]);
        assert!(room.durations(2, 0, &[0; 4]).slots.is_empty());
    }

    #[test]
    fn slots_of_one_coarser_slot_are_put_together() {
        let mut room = Room::default();
        let durations = room.coarser(2, 7, [0, 1, 2, 4, 0, 0, 0, 0, 8]);
        assert_eq!(durations.slots, [(0, 7), (2, 8)]);
    }
}
