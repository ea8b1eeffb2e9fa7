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

/// What its disk has room for; none of it is used before it is written.
const DISK_BYTES: u64 = 64 << 20;
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(100);
/// How many lines of its console tell what went wrong.
const LAST_WORDS: usize = 25;
/// Where the kernel's messages go; and that it ends the machine when it fails, rather than wait.
const KERNEL_ARGUMENTS: &str = "console=ttyS0 oops=panic panic=-1";

pub(super) struct Machine<'a> {
    pub(super) emulator: &'a Path,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// Where its output is kept.
    pub(super) folder: PathBuf,
}

impl Machine<'_> {
    /// Runs it to its end and returns what it said.
    pub(super) fn run(&self, timeout: Duration) -> Result<Transcript> {
        let (console, results) = (self.console(), self.folder.join("results"));
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let disk = self.folder.join("disk");
        File::create(&disk)
            .and_then(|file| file.set_len(DISK_BYTES))
            .with_context(|| format!("cannot make {}", disk.display()))?;
        let mut emulator = Command::new(self.emulator)
            // Not KVM: a machine inside a machine may hang, and this is to work everywhere.
            .args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1024"])
            .args(["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-serial")
            .arg(format!("file:{}", results.display()))
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .args(["-append", KERNEL_ARGUMENTS])
            // A disk of a kind that the kernels have no module for.
            .arg("-drive")
            .arg(format!("if=none,id=disk,format=raw,file={}", disk.display()))
            .args(["-device", "nvme,drive=disk,serial=disk"])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.emulator.display()))?;
        let start = Instant::now();
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
        Transcript::new(&read(&console)?, &read(&results)?)
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
