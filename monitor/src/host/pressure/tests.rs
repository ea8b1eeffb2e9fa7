use super::*;
use crate::host::scratch::Scratch;
use crate::host::tests::{Values, elsewhere, read, value};

fn all(scratch: &Scratch) -> Vec<Pressure> {
    Pressure::all(&elsewhere(scratch)).collect()
}

fn of(values: &Values, resource: &str, kind: &str) -> f64 {
    let attributes =
        format!("monitor.pressure.resource={resource},monitor.pressure.stall_type={kind}");
    value(values, &metric::HOST_PRESSURE_TIME, &attributes)
}

const LINES: &str = "some avg10=3.93 avg60=0.85 avg300=0.24 total=20367136\n\
                     full avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n";

#[test]
fn stalls_are_read_in_seconds() {
    let scratch = Scratch::new("pressure");
    for resource in ["cpu", "io", "memory"] {
        scratch.write(&format!("proc/pressure/{resource}"), LINES);
    }
    scratch.write("proc/pressure/irq", LINES.lines().last().unwrap());
    let mut parts = all(&scratch);
    let values: Values = parts.iter_mut().flat_map(|part| read(part)).collect();
    assert_eq!(of(&values, "cpu", "some"), 20.367136);
    for resource in ["io", "memory"] {
        assert_eq!(of(&values, resource, "some"), 20.367136);
        assert_eq!(of(&values, resource, "full"), 1.5);
    }
    assert_eq!(of(&values, "irq", "full"), 1.5);
    assert_eq!(values.len(), 6, "nothing that the kernel does not measure");
}

#[test]
fn a_kernel_without_it_is_told_how_to_have_it() {
    let scratch = Scratch::new("pressure-none");
    scratch.write("proc/stat", "");
    let mut parts = all(&scratch);
    assert_eq!(parts.len(), 3, "interrupts are not missed where they are not accounted for");
    for part in &mut parts {
        let error = part.refresh().unwrap_err();
        assert!(error.is_absence());
        assert!(error.to_string().contains("psi=1"), "{error}");
    }
    // Before 5.13 there was no full line for CPUs, and none is needed.
    scratch.write("proc/pressure/cpu", LINES.lines().next().unwrap());
    scratch.write("proc/pressure/io", LINES.lines().next().unwrap());
    for part in &mut all(&scratch)[..2] {
        let full = part.name() == "pressure.io";
        assert_eq!(part.refresh().is_err(), full, "{}", part.name());
    }
}

#[test]
fn a_kernel_that_was_told_not_to_account_for_it_is_one_without_it() {
    assert!(is_unknown(&io::Error::from_raw_os_error(libc::EOPNOTSUPP)));
    assert!(is_unknown(&io::Error::from_raw_os_error(libc::ENOTSUP)));
    assert!(!is_unknown(&io::Error::from_raw_os_error(libc::EACCES)));
}

#[test]
fn nothing_of_a_host_is_a_problem() {
    let scratch = Scratch::new("pressure-elsewhere");
    for part in &mut all(&scratch) {
        let error = part.refresh().unwrap_err();
        assert!(!error.is_absence());
        assert!(error.to_string().contains("--host-proc"), "{error}");
    }
}

#[test]
fn this_host_is_between_two_readings() {
    let total = || -> Option<f64> {
        let text = std::fs::read_to_string("/proc/pressure/cpu").ok()?;
        let line = text.lines().next()?;
        line.rsplit_once('=')?.1.parse::<f64>().ok()
    };
    let Some(before) = total() else { return };
    let mut cpu = Pressure::all(&HostPaths::default()).next().unwrap();
    let told = of(&read(&mut cpu), "cpu", "some") * 1e6;
    let after = total().unwrap();
    assert!((before - 1.0..=after + 1.0).contains(&told), "{told} in {before}..={after}");
}
