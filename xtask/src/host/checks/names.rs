//! Names of units and containers against those that systemd and Docker gave.

use anyhow::{Context, Result};

use super::{Check, Guest, UNIT, check, scrape};

const EXITS: &str = "monitor_process_exits_total";

/// Units that live for less than a second keep their names.
pub(super) fn short_units(guest: &mut Guest) -> Result<Check> {
    const COUNT: usize = 10;
    let script =
        format!("for n in $(seq {COUNT}); do unit mt-short-$n bash -c 'sleep 0.3; true'; done");
    let part = guest.run(&script)?;
    let after = scrape(guest, EXITS)?;
    let unnamed: Vec<_> = (1..=COUNT)
        .map(|n| format!("mt-short-{n}.service"))
        .filter(|name| after.sum(EXITS, &[(UNIT, name)]) < 2.0)
        .collect();
    let found = match unnamed[..] {
        [] => format!("all of {COUNT}"),
        _ => format!(
            "{} of {COUNT} without both of their processes: {}",
            unnamed.len(),
            unnamed.join(", ")
        ),
    };
    Ok(check("short units", part.code == 0 && unnamed.is_empty(), found))
}

/// Containers have the ids and names that Docker knows them by.
pub(super) fn containers(guest: &mut Guest) -> Result<Check> {
    let script = "
        mkdir -p /tmp/image/bin
        cp /bin/busybox /tmp/image/bin/
        tar -C /tmp/image -c . | docker import - mt-image >/dev/null
        for n in 1 2 3; do
            docker run -d --name mt-container-$n mt-image /bin/busybox sh -c \
                'while /bin/busybox true; do /bin/busybox sleep 0.2; done' >/dev/null
        done
        sleep 5
        docker inspect -f '{{.Id}} {{.Name}}' mt-container-1 mt-container-2 mt-container-3";
    let said = guest.run(script)?.text;
    let after = scrape(guest, EXITS)?;
    let containers: Vec<_> = said.lines().filter_map(|line| line.split_once(" /")).collect();
    let known = |(id, name): &&(&str, &str)| {
        after.sum(EXITS, &[("container_id", id), ("container_name", name)]) > 0.0
    };
    let found = containers.iter().filter(known).count();
    let names: Vec<_> = containers.iter().map(|(_, name)| *name).collect();
    guest.run("docker rm -f mt-container-1 mt-container-2 mt-container-3").context("no Docker")?;
    let found = (found == 3 && names.len() == 3)
        .then(|| names.join(", "))
        .ok_or_else(|| format!("{found} of those that Docker knows: {said}"));
    Ok(Check { name: "containers".to_owned(), result: found })
}
