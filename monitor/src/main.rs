fn main() {
    let k = monitor::kernel::loader::Kernel::read(None, Some("cpu".into())).unwrap();
    let desc = &monitor::probe::PROBES[0];
    let mut p = match (desc.load)(&k) { Ok(p) => p, Err(e) => { println!("{e}\n{e:#?}"); return } };
    println!("{:#?}", p.verdicts());
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let t = std::time::Instant::now();
        p.end_tick().unwrap();
        let t1 = t.elapsed();
        monitor::probe::wait_for_programs();
        let t2 = t.elapsed();
        p.snapshot().unwrap();
        let t3 = t.elapsed();
        let mut n = 0;
        p.decode(&mut |s| { n += 1; if n % 20 == 0 { println!("{} {:?} {:?}", s.metric.name, s.owner, s.value); } });
        println!("{n} samples; flip {t1:?} wait {t2:?} snap {t3:?}");
    }
}
