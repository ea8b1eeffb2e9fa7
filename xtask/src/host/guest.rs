//! A running machine, and scripts that are carried out in it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::image::PARTITION;
use crate::vm::transcript::{END, Part};

/// The name of the serial port that scripts go through.
pub(super) const CHANNEL: &str = "monitor.host";
/// The second disk, which checks may do anything with, by its serial number.
pub(super) const SPARE: &str = "spare";
const SPARE_BYTES: u64 = 512 << 20;
/// What checks find in every script.
const LIBRARY: &str = include_str!("library.sh");
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(200);
/// How many lines of its console tell what went wrong.
const LAST_WORDS: usize = 25;

/// What a machine is made of.
pub(super) struct Files<'a> {
    pub(super) emulator: &'a Path,
    pub(super) kernel: &'a Path,
    pub(super) disk: PathBuf,
    pub(super) payload: &'a Path,
}

/// A machine that ends when this is dropped.
pub(super) struct Guest {
    process: Child,
    channel: BufReader<UnixStream>,
    console: PathBuf,
    timeout: Duration,
}

impl Guest {
    /// Boots it, and waits until it carries out scripts. One that does not come so far is started once
    /// more, as emulation now and then ends or stops a kernel that boots.
    pub(super) fn boot(files: &Files<'_>, folder: &Path, timeout: Duration) -> Result<Self> {
        Self::start(files, folder, timeout).or_else(|error| {
            println!("did not boot; starting once more: {error:#}");
            Self::start(files, folder, timeout)
        })
    }

    fn start(files: &Files<'_>, folder: &Path, timeout: Duration) -> Result<Self> {
        let (console, socket) = (folder.join("console"), folder.join("channel"));
        let spare = folder.join(SPARE);
        // What the checks of a run before wrote must not be there.
        for file in [&spare, &socket] {
            let _ = fs::remove_file(file);
        }
        File::create(&spare)
            .and_then(|file| file.set_len(SPARE_BYTES))
            .with_context(|| format!("cannot make {}", spare.display()))?;
        let drive = |id, file: &Path| {
            let drive = format!("if=none,id={id},format=raw,snapshot=on,file={}", file.display());
            [
                "-drive".to_owned(),
                drive,
                "-device".to_owned(),
                format!("nvme,drive={id},serial={id}"),
            ]
        };
        let start = Instant::now();
        let mut process = Command::new(files.emulator)
            // One thread: with several, the kernel patching its code can end the machine.
            .args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", "2", "-m", "4096"])
            .args([
                "-display",
                "none",
                "-monitor",
                "none",
                "-no-reboot",
                "-nic",
                "user,restrict=on",
            ])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .args(["-device", "virtio-serial", "-device"])
            .arg(format!("virtserialport,chardev=channel,name={CHANNEL}"))
            .arg("-chardev")
            .arg(format!("socket,id=channel,server=on,wait=off,path={}", socket.display()))
            .args(drive("system", &files.disk))
            .args(drive(SPARE, &spare))
            .args(drive("programs", files.payload))
            .arg("-kernel")
            .arg(files.kernel)
            .arg("-append")
            .arg(format!(
                "console=ttyS0 oops=panic panic=-1 psi=1 apparmor=0 root=PARTUUID={PARTITION} rootwait rw"
            ))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", files.emulator.display()))?;
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(_) if start.elapsed() < timeout && process.try_wait()?.is_none() => {
                    thread::sleep(POLL);
                }
                Err(error) => {
                    let _ = process.kill();
                    let _ = process.wait();
                    bail!("the emulator does not run: {error}");
                }
            }
        };
        stream.set_read_timeout(Some(POLL))?;
        let mut guest = Self { process, channel: BufReader::new(stream), console, timeout };
        let kernel = guest.run("uname -r")?.text;
        println!("booted {} after {:.0} s", kernel.trim(), start.elapsed().as_secs_f64());
        Ok(guest)
    }

    /// Has it carry out a script. What it prints has to come within the timeout.
    pub(super) fn run(&mut self, script: &str) -> Result<Part> {
        self.run_for(script, Duration::ZERO)
    }

    /// The same of a script that takes so long by itself.
    pub(super) fn run_for(&mut self, script: &str, takes: Duration) -> Result<Part> {
        let start = Instant::now();
        self.channel.get_mut().write_all(format!("{LIBRARY}\n{script}\n@@@ run\n").as_bytes())?;
        let (mut text, mut line) = (String::new(), Vec::new());
        loop {
            match self.channel.read_until(b'\n', &mut line) {
                Ok(0) => bail!("the machine ended{}", self.last_words()),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if start.elapsed() > self.timeout + takes {
                        bail!("a script does not end; see --timeout{}", self.last_words());
                    }
                    continue;
                }
                Err(error) => return Err(error).context("the channel to the machine is broken"),
            }
            let said = String::from_utf8_lossy(&line).into_owned();
            line.clear();
            if let Some(code) = said.strip_prefix(END) {
                let code = code.trim().parse().context("a script's exit code is no number")?;
                return Ok(Part { text, code });
            }
            text.push_str(&said);
        }
    }

    /// What its kernel said.
    pub(super) fn console(&self) -> String {
        let bytes = fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of that.
    fn last_words(&self) -> String {
        let console = self.console();
        let lines: Vec<&str> = console.lines().collect();
        let end = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        format!("; the end of {}:\n{}", self.console.display(), end.join("\n"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
