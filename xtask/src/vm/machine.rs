//! One virtual machine, from its start to its end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::transcript::{self, Transcript};
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
/// What the kernel says of an instruction that it has patched, and that the processor did not see whole.
const HALF_PATCHED: &str = "Oops: int3";
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
    /// Runs it to its end and returns what it said. A machine starts once more that died or hung before
    /// its first process did anything, or that died of patched code: under emulation, code that the
    /// kernel patches on one processor is now and then seen half patched by the other.
    pub(super) fn run(&self, timeout: Duration) -> Result<Transcript> {
        let mut has_ended = self.boot(timeout)?;
        let has_begun = transcript::has_begun(&read(&self.results())?);
        let saw_half_patched = read(&self.console())?.contains(HALF_PATCHED);
        if !has_begun || saw_half_patched {
            let what = match (has_begun, has_ended) {
                (true, _) => "died of half patched code",
                (false, true) => "died before its first process",
                (false, false) => "hung before its first process",
            };
            println!("{what}; starting once more\n{}", self.last_words());
            has_ended = self.boot(timeout)?;
        }
        if !has_ended {
            bail!("the machine did not end within {timeout:?}; see --timeout");
        }
        Transcript::new(&read(&self.console())?, &read(&self.results())?)
    }

    /// Starts it; returns whether it ended by itself.
    fn boot(&self, timeout: Duration) -> Result<bool> {
        let start = Instant::now();
        let mut emulator = self
            .emulator()?
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
                return Ok(false);
            }
            thread::sleep(POLL);
        };
        if !status.success() {
            bail!("the emulator failed: {status}");
        }
        println!("ran for {:.0} s", start.elapsed().as_secs_f64());
        Ok(true)
    }

    /// The emulator with all that the machine has. What it had written before is gone.
    fn emulator(&self) -> Result<Command> {
        let results = self.results();
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let initramfs = self.folder.join("initramfs");
        for (path, content) in
            [(&initramfs, self.initramfs), (&self.console(), &[]), (&results, &[])]
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

    fn results(&self) -> PathBuf {
        self.folder.join("results")
    }
}

/// The text of a file, whatever a serial line made of it.
fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{env, os::unix::fs::PermissionsExt, process};

    use super::*;

    /// Runs a shell script in the place of the emulator; returns how often it was started.
    fn run(name: &str, script: &str) -> (Result<Transcript>, usize) {
        let folder = env::temp_dir().join(format!("xtask-machine-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let emulator = folder.join("emulator");
        let script = format!("#!/bin/sh\ncd {}\necho >>starts\n{script}", folder.display());
        fs::write(&emulator, script).unwrap();
        fs::set_permissions(&emulator, fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Machine {
            arch: Arch::Amd64,
            emulator: &emulator,
            kernel: Path::new("kernel"),
            initramfs: &[],
            arguments: "",
            folder: folder.clone(),
        };
        let result = machine.run(Duration::from_secs(3));
        let starts = read(&folder.join("starts")).unwrap().lines().count();
        fs::remove_dir_all(folder).unwrap();
        (result, starts)
    }

    #[test]
    fn a_machine_that_hangs_before_its_first_process_starts_once_more() {
        let script =
            "[ $(wc -l <starts) = 1 ] && exec sleep 60\nprintf '@@@ a\\n@@@ end 0\\n' >results";
        let (result, starts) = run("hang", script);
        assert_eq!((result.unwrap().part("a").unwrap().code, starts), (0, 2));
    }

    #[test]
    fn a_machine_that_dies_of_half_patched_code_starts_once_more() {
        let script = "printf '@@@ a\\n@@@ end 0\\n' >results
            [ $(wc -l <starts) = 1 ] && echo '[  309.472456] Oops: int3: 0000 [#1] SMP NOPTI' >console";
        let (result, starts) = run("patched", &format!("{script}\nexit 0"));
        assert_eq!((result.unwrap().part("a").unwrap().code, starts), (0, 2));
    }

    #[test]
    fn a_machine_that_hangs_later_does_not() {
        let (result, starts) = run("later", "echo '@@@ a' >results\nexec sleep 60");
        assert!(result.is_err_and(|error| error.to_string().contains("--timeout")));
        assert_eq!(starts, 1);
    }
}
