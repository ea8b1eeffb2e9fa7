//! From the raw records of the `process` probe to samples. No input or output here.

use monitor_common::{
    key::ProcessKey,
    process::{Counts, Loss, Losses, PAIRS, SIGNALS},
};

use crate::{
    event::signal_name,
    metric::{PROCESS_EXECS, PROCESS_EXITS, PROCESS_FORKS, PROCESS_THREADS_CREATED},
    probe::{ledger::Ledger, per_process::Decode},
    sample::{Attributes, Owner, Sample, Value},
};

/// Decodes snapshots. It keeps the attributes it gives to samples.
pub(super) struct Decoder {
    none: Attributes,
    failed: Attributes,
    /// By signal; place 0 is for success.
    ended: Vec<Attributes>,
    ledger: Ledger,
}

impl Decoder {
    pub(super) fn new() -> Self {
        const CLASS: &str = "monitor.exit.class";
        let class = |class: &str| Attributes::new([(CLASS, class)]);
        let signal = |number: u8| {
            let signal = ("monitor.exit.signal", signal_name(number));
            Attributes::new([(CLASS, "signal".to_owned()), signal])
        };
        let signals = (1..SIGNALS as u8).map(signal);
        Self {
            none: Attributes::default(),
            failed: class("failure"),
            ended: std::iter::once(class("success")).chain(signals).collect(),
            ledger: Ledger::new(super::NAME, &Loss::NAMES),
        }
    }
}

impl Decode<Counts, Losses> for Decoder {
    fn decode(
        &mut self,
        taken: &[(ProcessKey, Counts)],
        lost: &Losses,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        for (key, counts) in taken {
            let owner = Owner::from(key);
            let ended = self.ended.iter().zip(counts.ended);
            let others = [
                (&PROCESS_FORKS, &self.none, counts.forks),
                (&PROCESS_THREADS_CREATED, &self.none, counts.threads),
                (&PROCESS_EXECS, &self.none, counts.execs),
                (&PROCESS_EXITS, &self.failed, counts.failed),
            ];
            let ended = ended.map(|(attributes, count)| (&PROCESS_EXITS, attributes, count));
            for (metric, attributes, count) in others.into_iter().chain(ended) {
                if count > 0 {
                    sink(Sample { metric, owner, attributes, value: Value::Increase(count) });
                }
            }
        }
        self.ledger.decode(lost, sink);
    }

    fn recovered(lost: &Losses) -> i64 {
        let recovered: &[u64; PAIRS] = lost.last_chunk().expect("they are behind the reasons");
        recovered.iter().fold(0, |sum: i64, &count| sum.wrapping_add(count.cast_signed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::testing::{comm, in_words};

    fn decode(taken: &[(ProcessKey, Counts)], lost: Losses) -> Vec<String> {
        let mut samples = Vec::new();
        Decoder::new().decode(taken, &lost, &mut |sample| samples.push(in_words(&sample)));
        samples
    }

    #[test]
    fn ends_are_told_apart() {
        let key = ProcessKey { comm: comm("sh"), tgid: 42, bank: 1, ..ProcessKey::default() };
        let mut counts = Counts { forks: 1, threads: 6, execs: 2, failed: 3, ..Counts::EMPTY };
        counts.ended[0] = 4;
        counts.ended[9] = 5;
        assert_eq!(
            decode(&[(key, counts)], Losses::default())[..6],
            [
                "monitor.process.forks 42:sh 1",
                "monitor.process.threads.created 42:sh 6",
                "monitor.process.execs 42:sh 2",
                "monitor.process.exits 42:sh failure 3",
                "monitor.process.exits 42:sh success 4",
                "monitor.process.exits 42:sh signal SIGKILL 5",
            ]
        );
    }

    #[test]
    fn what_found_no_place_and_what_was_lost() {
        let counts = Counts { forks: 6, ..Counts::EMPTY };
        assert_eq!(
            decode(&[(ProcessKey::other(1), counts)], [1, 2, 3, 4, 0, 0, 0]),
            [
                "monitor.process.forks rest 6",
                "monitor.agent.lost host process table_full 1",
                "monitor.agent.lost host process ring_full 2",
                "monitor.agent.lost host process argv_unread 3",
                "monitor.agent.lost host process implausible 4",
            ]
        );
    }
}
