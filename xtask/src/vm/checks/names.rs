//! What was said of datagrams and of DNS queries.

use anyhow::{Context, Result};

use super::{Check, EXECUTABLE, check, of, short};
use crate::vm::{exposition::Exposition, transcript::Part};

/// Processes that asked, each as often as its part says: by a socket that is connected; by one that is
/// not, of two servers; and by sockets for IPv6 that are not, of servers of either family.
pub(super) const ASKERS: [&str; 4] = ["asker", "stray", "asker6", "mapped"];
/// The slow one of those two servers, how long it takes in seconds, and how often it was asked.
const SLOW: (&str, f64, f64) = ("127.0.0.2", 0.3, 10.0);
/// The time of all others.
const DELAY: f64 = 0.1;
/// How much of that it may take longer, or appear to.
const SHARE: f64 = 0.1;

const LATENCY: &str = "latency_seconds";

/// What a process measured by itself: how often it was answered, and how long that took in seconds.
fn own(part: &Part) -> Result<(f64, f64)> {
    let took = part.done()?;
    Ok((took.len() as f64, took.iter().sum::<f64>() / 1e9))
}

/// A process asked as often as it says, its answers took as long, and each is one datagram.
pub(super) fn asked(name: &str, after: &Exposition, part: &Part) -> Result<Check> {
    let (count, sum) = own(part).context(name.to_owned())?;
    let ours = |what: &str| of(after, &format!("monitor_process_dns_{what}"), name);
    let datagrams = |way| {
        let labels = [(EXECUTABLE, name), ("network_io_direction", way)];
        after.sum("monitor_process_udp_datagrams_total", &labels)
    };
    let counts = [
        ours("queries_total"),
        ours(&format!("{LATENCY}_count")),
        datagrams("transmit"),
        datagrams("receive"),
    ];
    let seconds = ours(&format!("{LATENCY}_sum"));
    let holds =
        counts == [count; 4] && seconds >= DELAY * count && (seconds - sum).abs() <= SHARE * sum;
    let found = format!(
        "{counts:?} queries, answers and datagrams of {count}, {} s of its own {}",
        short(seconds),
        short(sum)
    );
    Ok(check(format!("{name}: names"), holds, found))
}

/// Half of the queries of a process have responses, which took as long as it says, and of the others as
/// many as expected have timed out; responses with other ids, and none of a second server, mislead nobody.
pub(super) fn matched(name: &str, timeouts: f64, after: &Exposition, part: &Part) -> Result<Check> {
    let (count, sum) = own(part).context(name.to_owned())?;
    let ours = |what: &str| of(after, &format!("monitor_process_dns_{what}"), name);
    let counts = [ours("queries_total"), ours(&format!("{LATENCY}_count")), ours("timeouts_total")];
    let seconds = ours(&format!("{LATENCY}_sum"));
    let holds = counts == [2.0 * count, count, timeouts]
        && seconds >= DELAY * count
        && (seconds - sum).abs() <= SHARE * sum;
    let found = format!(
        "{counts:?} queries, responses and timeouts, {} s of its own {}",
        short(seconds),
        short(sum)
    );
    Ok(check(format!("{name}: ids"), holds, found))
}

/// Servers are told apart, and are together what the processes are.
pub(super) fn servers(after: &Exposition) -> Check {
    let (address, delay, asked) = SLOW;
    let slow = |part: &str| {
        after.sum(&format!("monitor_dns_{LATENCY}_{part}"), &[("server_address", address)])
    };
    let all = |scope: &str| after.sum(&format!("monitor_{scope}dns_{LATENCY}_count"), &[]);
    let (count, mean) = (slow("count"), slow("sum") / slow("count"));
    let (servers, processes) = (all(""), all("process_"));
    let holds = count == asked
        && (delay..=delay * (1.0 + SHARE)).contains(&mean)
        && servers == processes
        && servers > count;
    let found = format!(
        "{count} answers by {address} in {} s each; {servers} of servers, {processes} of processes",
        short(mean)
    );
    check("servers of names", holds, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(counts: [u32; 4], seconds: f64) -> Exposition {
        Exposition::parse(&scrape_text(counts, seconds)).unwrap()
    }

    fn scrape_text(counts: [u32; 4], seconds: f64) -> String {
        let [queries, answers, sent, received] = counts;
        format!(
            "monitor_process_dns_queries_total{{{EXECUTABLE}=\"a\"}} {queries}\n\
             monitor_process_dns_{LATENCY}_count{{{EXECUTABLE}=\"a\"}} {answers}\n\
             monitor_process_dns_{LATENCY}_sum{{{EXECUTABLE}=\"a\"}} {seconds}\n\
             monitor_process_udp_datagrams_total{{{EXECUTABLE}=\"a\",\
             network_io_direction=\"transmit\"}} {sent}\n\
             monitor_process_udp_datagrams_total{{{EXECUTABLE}=\"a\",\
             network_io_direction=\"receive\"}} {received}\n"
        )
    }

    #[test]
    fn numbers_are_the_processes_own() {
        let part = Part { text: "done 101000000 102000000\n".to_owned(), code: 0 };
        let holds =
            |counts, seconds| asked("a", &scrape(counts, seconds), &part).unwrap().result.is_ok();
        assert!(holds([2; 4], 0.203));
        assert!(!holds([4, 2, 2, 2], 0.203), "counted twice");
        assert!(!holds([2, 1, 2, 2], 0.203), "an answer is missing");
        assert!(!holds([2, 2, 2, 4], 0.203), "counted twice");
        assert!(!holds([2; 4], 0.199), "faster than the server");
        assert!(!holds([2; 4], 0.23), "too slow");
        let nothing = Part { text: "done\n".to_owned(), code: 0 };
        assert!(asked("a", &scrape([0; 4], 0.0), &nothing).is_err());
    }

    #[test]
    fn responses_are_matched_by_their_ids() {
        let part = Part { text: "done 101000000 102000000\n".to_owned(), code: 0 };
        let holds = |queries: u32, answers, seconds, timeouts: u32| {
            let timed_out =
                format!("monitor_process_dns_timeouts_total{{{EXECUTABLE}=\"a\"}} {timeouts}\n");
            let text = scrape_text([queries, answers, 0, 0], seconds) + &timed_out;
            let after = Exposition::parse(&text).unwrap();
            matched("a", 2.0, &after, &part).unwrap().result.is_ok()
        };
        assert!(holds(4, 2, 0.203, 2));
        assert!(!holds(4, 2, 0.203, 1), "a timeout is missing");
        assert!(!holds(4, 2, 0.100, 2), "matched with a response to another");
        assert!(!holds(4, 3, 0.203, 2), "answered twice");
    }

    #[test]
    fn servers_are_told_apart() {
        let holds = |slow: u32, seconds: f64, all: u32| {
            let text = format!(
                "monitor_dns_{LATENCY}_count{{server_address=\"127.0.0.2\"}} {slow}\n\
                 monitor_dns_{LATENCY}_sum{{server_address=\"127.0.0.2\"}} {seconds}\n\
                 monitor_dns_{LATENCY}_count{{server_address=\"127.0.0.1\"}} 5\n\
                 monitor_process_dns_{LATENCY}_count {all}\n"
            );
            servers(&Exposition::parse(&text).unwrap()).result.is_ok()
        };
        assert!(holds(10, 3.01, 15));
        assert!(!holds(9, 2.75, 14));
        assert!(!holds(10, 2.0, 15), "it has answers of the other");
        assert!(!holds(10, 3.01, 16));
    }
}
