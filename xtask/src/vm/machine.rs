//! One virtual machine, from its start to its end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::transcript::Transcript;
use crate::arch::Arch;

/// What a disk has room for; none of it is used before it is written.
const DISK_BYTES: u64 = 64 << 20;
/// The disks by what QEMU calls their kind. Each has `disk` and its place as its serial number.
/// QEMU's NVMe has a write cache and can force a single write to the medium (FUA), its virtio has a
/// write cache alone.
const DISKS: [&str; 5] = ["nvme", "nvme", "virtio-blk-pci", "virtio-blk-pci", "virtio-blk-pci"];
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(100);
/// How many lines of its console tell what went wrong.
const LAST_WORDS: usize = 25;
/// That the kernel ends the machine when it fails, rather than wait.
const KERNEL_ARGUMENTS: &str = "oops=panic panic=-1";

pub(super) struct Machine<'a> {
    pub(super) arch: Arch,
    pub(super) emulator: &'a Path,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a [u8],
    /// What process 1 reads of the kernel's command line.
    pub(super) arguments: &'a str,
    /// Where its output is kept.
    pub(super) folder: PathBuf,
}

impl Machine<'_> {
    /// Runs it to its end and returns what it said. A machine that died before its first process did
    /// anything starts once more: under emulation, code that the kernel patches on one processor is
    /// now and then seen half patched by the other.
    pub(super) fn run(&self, timeout: Duration) -> Result<Transcript> {
        let transcript = self.boot(timeout)?;
        if transcript.has_begun() {
            return Ok(transcript);
        }
        println!("died before its first process; starting once more\n{}", self.last_words());
        self.boot(timeout)
    }

    fn boot(&self, timeout: Duration) -> Result<Transcript> {
        let results = self.folder.join("results");
        let start = Instant::now();
        let mut emulator = self
            .emulator(&results)?
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.emulator.display()))?;
        let status = loop {
            if let Some(status) = emulator.try_wait()? {
                break status;
            }
            if start.elapsed() > timeout {
                emulator.kill()?;
                emulator.wait()?;
                bail!("the machine did not end within {timeout:?}; see --timeout");
            }
            thread::sleep(POLL);
        };
        if !status.success() {
            bail!("the emulator failed: {status}");
        }
        println!("ran for {:.0} s", start.elapsed().as_secs_f64());
        Transcript::new(&read(&self.console())?, &read(&results)?)
    }

    /// The emulator with all that the machine has. What it had written before is gone.
    fn emulator(&self, results: &Path) -> Result<Command> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let initramfs = self.folder.join("initramfs");
        for (path, content) in
            [(&initramfs, self.initramfs), (&self.console(), &[]), (&results.to_owned(), &[])]
        {
            fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut emulator = Command::new(self.emulator);
        emulator
            // Not KVM: a machine inside a machine may hang, and this is to work everywhere.
            .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024"])
            .args(["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"])
            .arg("-serial")
            .arg(format!("file:{}", self.console().display()))
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(initramfs);
        let console = match self.arch {
            Arch::Amd64 => {
                emulator.arg("-serial").arg(format!("file:{}", results.display()));
                "ttyS0"
            }
            Arch::Arm64 => {
                emulator
                    .args(["-machine", "virt", "-chardev"])
                    .arg(format!("file,id=results,path={}", results.display()))
                    .args(["-device", "pci-serial,chardev=results"]);
                "ttyAMA0"
            }
        };
        emulator
            .arg("-append")
            .arg(format!("console={console} {KERNEL_ARGUMENTS} {}", self.arguments));
        for (n, kind) in DISKS.iter().enumerate() {
            emulator.args(["-drive", &self.disk(n)?]);
            emulator.args(["-device", &format!("{kind},drive=disk{n},serial=disk{n}")]);
        }
        // One more that two controllers share, each of them a path to it.
        let shared = self.disk(DISKS.len())?;
        emulator.args(["-device", "nvme-subsys,id=shared,nqn=shared"]);
        for path in ["path0", "path1"] {
            let controller = format!("nvme,id={path},subsys=shared,serial=disk{}", DISKS.len());
            emulator.args(["-device", &controller]);
        }
        emulator.args(["-drive", &shared]);
        emulator.args(["-device", &format!("nvme-ns,bus=path0,nsid=1,drive=disk{}", DISKS.len())]);
        Ok(emulator)
    }

    /// Makes an empty disk, and returns how the emulator opens it.
    fn disk(&self, n: usize) -> Result<String> {
        let disk = self.folder.join(format!("disk{n}"));
        File::create(&disk)
            .and_then(|file| file.set_len(DISK_BYTES))
            .with_context(|| format!("cannot make {}", disk.display()))?;
        Ok(format!("if=none,id=disk{n},format=raw,cache=writeback,file={}", disk.display()))
    }

    /// The end of what its kernel said.
    pub(super) fn last_words(&self) -> String {
        let console = read(&self.console()).unwrap_or_default();
        let lines: Vec<&str> = console.lines().collect();
        let end = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        format!("the end of {}:\n{}", self.console().display(), end.join("\n"))
    }

    fn console(&self) -> PathBuf {
        self.folder.join("console")
    }
}

/// The text of a file, whatever a serial line made of it.
fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
