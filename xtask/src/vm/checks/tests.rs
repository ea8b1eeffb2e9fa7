//! Each check with what it must not let pass.

use super::*;

fn scrape(text: &str) -> Exposition {
    Exposition::parse(text).unwrap()
}

fn part(code: i32, text: &str) -> Part {
    Part { text: text.to_owned(), code }
}

#[test]
fn every_hook_counts() {
    let one = |state: &str| format!(r#"{{"probes": [{{"hooks": [{{"state": "{state}"}}]}}]}}"#);
    let holds = |code, text: &str| hooks(&part(code, text)).unwrap().result.is_ok();
    assert!(holds(0, &one("attached")));
    assert!(!holds(0, &one("failed")));
    assert!(!holds(0, &one("unavailable")), "there are others");
    assert!(!holds(1, &one("attached")));
    assert!(!holds(0, r#"{"probes": []}"#));
    assert!(hooks(&part(139, "Segmentation fault")).is_err());
}

#[test]
fn a_kernel_that_lacks_something_is_refused_in_so_many_lines() {
    let limits = Limits::new("5.10", 1, 1, "no storage");
    let holds = |code: i32, text: &str| {
        let results = format!("@@@ check\n{text}\n@@@ end {code}\n");
        let checks = limited(&Transcript::new("", &results).unwrap(), &limits).unwrap();
        checks.iter().all(|check| check.result.is_ok())
    };
    assert!(holds(1, "there is no storage here\n"));
    assert!(!holds(0, "there is no storage here\n"));
    assert!(!holds(1, "there is no storage here\nnor there\n"));
    assert!(!holds(1, "refused\n"));
}

#[test]
fn losses_are_zero_and_not_absent() {
    let all = |counts: [u32; 4]| {
        let lines = LOSSES.iter().zip(counts).map(|(reason, count)| {
            format!("monitor_agent_lost_total{{monitor_loss_reason=\"{reason}\"}} {count}\n")
        });
        lines.collect::<String>()
    };
    let text = all([0; 4]);
    let nothing = scrape("");
    assert!(losses(&nothing, &scrape(&text), "6.12.1").result.is_ok());
    assert_eq!(
        losses(&nothing, &scrape(&all([0, 0, 2, 0])), "6.12.1").result,
        Err("no_storage 2".to_owned())
    );
    let missed = |probe| {
        let labels = format!("monitor_loss_reason=\"recursion_misses\",monitor_probe=\"{probe}\"");
        scrape(&(format!("monitor_agent_lost_total{{{labels}}} 2\n") + &text))
    };
    assert!(losses(&nothing, &missed("process"), "7.2.1").result.is_ok());
    assert!(losses(&nothing, &missed("sched"), "7.2.1").result.is_err());
    let switch = |count| {
        let labels = "monitor_loss_reason=\"unmatched\",monitor_probe=\"sched\"";
        scrape(&(format!("monitor_agent_lost_total{{{labels}}} {count}\n") + &text))
    };
    assert!(losses(&switch(1), &switch(1), "7.2.1").result.is_ok());
    assert!(losses(&switch(1), &switch(2), "7.2.1").result.is_err());
    let unstored = |count, skipped: [u32; 2]| {
        let skipped =
            ["task_newtask", "sched_process_fork"].iter().zip(skipped).map(|(program, runs)| {
                let labels = format!("monitor_probe=\"sched\",monitor_program=\"{program}\"");
                format!("monitor_agent_bpf_recursion_misses_total{{{labels}}} {runs}\n")
            });
        let labels = "monitor_loss_reason=\"no_storage\",monitor_probe=\"sched\"";
        let lost = format!("monitor_agent_lost_total{{{labels}}} {count}\n");
        scrape(&(skipped.collect::<String>() + &lost + &text))
    };
    assert!(losses(&nothing, &unstored(13, [15, 1]), "7.2.1").result.is_ok());
    assert!(losses(&nothing, &unstored(13, [15, 0]), "7.2.1").result.is_err(), "one made it");
    assert!(losses(&nothing, &unstored(21, [15, 1]), "7.2.1").result.is_err(), "too many");
    let unread =
        "monitor_agent_lost_total{monitor_loss_reason=\"exit_unread\"} 3\n".to_owned() + &text;
    assert!(losses(&nothing, &scrape(&unread), "6.1.0-56-cloud-amd64").result.is_ok());
    assert!(losses(&nothing, &scrape(&unread), "6.12.1").result.is_err());
    let (_, rest) = text.split_once('\n').unwrap();
    assert_eq!(
        losses(&nothing, &scrape(rest), "6.12.1").result,
        Err("unmatched absent".to_owned())
    );
}

#[test]
fn groups_add_up_to_a_host_that_was_measured() {
    let text = |groups: [u32; 2], total: u32, sum: f64| {
        let group = |n: u32| format!("{RUNQUEUE}_count{{a=\"{n}\"}} {n}\n");
        let groups: String = groups.into_iter().map(group).collect();
        scrape(&format!(
            "{groups}{RUNQUEUE}_sum 0.5\nmonitor_sched_runqueue_latency_seconds_count {total}\n\
             monitor_sched_runqueue_latency_seconds_sum {sum}\n"
        ))
    };
    let before = text([1, 2], 3, 0.5);
    assert!(host("runqueue", &before, &text([4, 5], 9, 0.5)).result.is_ok());
    assert!(host("runqueue", &before, &text([4, 5], 10, 0.5)).result.is_err());
    assert!(host("runqueue", &before, &text([4, 5], 9, 0.6)).result.is_err());
    assert!(host("runqueue", &before, &before).result.is_err());
}

#[test]
fn numbers_are_near() {
    assert!(near("", 99.0, 100.0, 0.01).result.is_ok());
    assert!(near("", 98.0, 100.0, 0.01).result.is_err());
    // Both say nothing, or one nonsense.
    assert!(near("", 0.0, 0.0, 0.01).result.is_err());
    assert!(near("", f64::NAN, 1.0, 0.01).result.is_err());
}

#[test]
fn a_panic_or_an_alarm_is_noticed() {
    assert!(stop(&part(0, ""), &part(0, "INFO stopped")).result.is_ok());
    assert!(stop(&part(143, ""), &part(0, "")).result.is_err());
    assert!(stop(&part(0, ""), &part(0, "thread 'tick' panicked at")).result.is_err());
    assert!(console("[ 1.0] Run /init as init process").result.is_ok());
    assert!(console("[ 1.0] WARNING: CPU: 0 PID: 1 at kernel/bpf").result.is_err());
}

#[test]
fn victims_are_counted_and_told() {
    let kernel = part(0, "allocstall_normal 3\noom_kill 2\n");
    let told = "WARN killed event=\"process.oom_kill\" comm=tail memory_cgroup=";
    let log = part(0, &format!("{told}\"small\"\n{told}\"\"\n"));
    let counted = |count| {
        let labels = "process_executable_name=\"tail\"";
        scrape(&format!("monitor_process_oom_kills_total{{{labels}}} {count}\n"))
    };
    assert!(memory::victims(&counted(2), &kernel, &log).result.is_ok());
    assert!(memory::victims(&counted(1), &kernel, &log).result.is_err());
    assert!(memory::victims(&counted(2), &part(0, "oom_kill 3\n"), &log).result.is_err());
    assert!(memory::victims(&counted(2), &kernel, &part(0, told)).result.is_err());
}

#[test]
fn reclaim_is_seen_when_the_kernel_counts_some() {
    let kernel = part(0, "allocstall_normal 3\nallocstall_movable 1\noom_kill 2\n");
    let text = |host: [u32; 2], groups: [u32; 2]| {
        let lines = [("", host), ("process_", groups)].into_iter().flat_map(|(whose, counts)| {
            ["direct", "memcg"].into_iter().zip(counts).map(move |(kind, count)| {
                let label = format!("{{monitor_reclaim_type=\"{kind}\"}}");
                format!("monitor_{whose}memory_reclaim_latency_seconds_count{label} {count}\n")
            })
        });
        scrape(&lines.collect::<String>())
    };
    let holds = |after: &Exposition, kernel: &Part| memory::reclaim(after, kernel).result.is_ok();
    assert!(holds(&text([4, 5], [4, 5]), &kernel));
    assert!(!holds(&text([5, 5], [5, 5]), &kernel));
    assert!(!holds(&text([4, 5], [4, 4]), &kernel));
    assert!(!holds(&text([0, 5], [0, 5]), &kernel));
    assert!(!holds(&text([0, 0], [0, 0]), &part(0, "oom_kill 2\n")));
    assert!(holds(&text([0, 5], [0, 5]), &part(0, "oom_kill 2\n")));
}

#[test]
fn throttled_waits_are_the_cgroups_or_unsupported() {
    let unit = |seconds: &str| {
        scrape(&format!(
            "monitor_sched_throttled_latency_seconds_sum 9\n\
             monitor_process_cpu_throttled_latency_seconds_sum{{systemd_unit=\"throttled.service\"}} {seconds}"
        ))
    };
    let judge = |after: &Exposition, check: &str| {
        throttled_waits(
            after,
            &part(0, "nr_throttled 3\nthrottled_usec 2000000\n"),
            &part(0, check),
        )
        .result
    };
    assert!(judge(&unit("1.97"), "{}").is_ok());
    assert!(judge(&unit("0"), "{}").is_err());
    // Where nothing is measured, it is said why.
    let none = scrape("monitor_sched_runqueue_latency_seconds_sum 9");
    assert!(judge(&none, "{}").is_err());
    let reason = "unsupported, the kernel has no cfs_rq.throttled_clock_self_time";
    assert!(judge(&none, reason).is_ok());
}
