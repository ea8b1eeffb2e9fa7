//! All of them together.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    collector::{Collector, Ports},
    programs::Programs,
    service::{Service, free_port},
    stores::{self, Starts},
};

/// Where all of them listen.
#[derive(Clone, Copy)]
pub struct Addresses {
    pub prometheus: SocketAddr,
    pub logs: SocketAddr,
    pub moto: SocketAddr,
    pub collector: Ports,
}

impl Addresses {
    /// The usual ones, or others where somebody else listens.
    pub fn usual() -> Result<Self> {
        Ok(Self {
            prometheus: free_port(9090)?,
            logs: free_port(9428)?,
            moto: free_port(5000)?,
            collector: Ports::usual()?,
        })
    }

    /// Any that are free.
    pub fn free() -> Result<Self> {
        Ok(Self {
            prometheus: free_port(0)?,
            logs: free_port(0)?,
            moto: free_port(0)?,
            collector: Ports::free()?,
        })
    }
}

/// A Collector with the stores behind it, that do not run yet.
pub struct Pipeline {
    programs: Programs,
    folder: PathBuf,
    pub addresses: Addresses,
    pub collector: Collector,
}

impl Pipeline {
    /// One that keeps everything in `folder`.
    pub fn new(folder: &Path, addresses: Addresses) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let Addresses { prometheus, logs, moto, collector } = addresses;
        let collector = Collector::new(collector, &["agent.yaml", "cloudwatch.yaml"])
            .stores(prometheus, logs, moto);
        Ok(Self { programs: Programs::find()?, folder: folder.to_owned(), addresses, collector })
    }

    pub fn start_prometheus(&self) -> Result<Service> {
        self.start_prometheus_with(Starts::NotUsed)
    }

    pub fn start_prometheus_with(&self, starts: Starts) -> Result<Service> {
        stores::prometheus(&self.programs, &self.folder, self.addresses.prometheus, starts)
    }

    pub fn start_kafka(&self, address: SocketAddr, topics: &[&str]) -> Result<Service> {
        stores::kafka(&self.programs, &self.folder, address, topics)
    }

    /// Starts Prometheus to scrape a daemon, in place of taking what is sent.
    pub fn start_scraper(&self, daemon: SocketAddr) -> Result<Service> {
        stores::scraper(&self.programs, &self.folder, self.addresses.prometheus, daemon)
    }

    pub fn start_logs(&self) -> Result<Service> {
        stores::victoria_logs(&self.programs, &self.folder, self.addresses.logs)
    }

    pub fn start_moto(&self) -> Result<Service> {
        stores::moto(&self.programs, &self.folder, self.addresses.moto)
    }

    /// Starts the Collector: it goes on where one that ended there was.
    pub fn start_collector(&self) -> Result<Service> {
        self.collector.start(&self.programs, &self.folder)
    }

    /// Starts another Collector, which keeps its queues below `folder`.
    pub fn start_another(&self, collector: &Collector, folder: &Path) -> Result<Service> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        collector.start(&self.programs, folder)
    }

    /// Starts all of them, in the order in which they should end backwards.
    pub fn start(&self) -> Result<[Service; 4]> {
        Ok([
            self.start_prometheus()?,
            self.start_logs()?,
            self.start_moto()?,
            self.start_collector()?,
        ])
    }
}
