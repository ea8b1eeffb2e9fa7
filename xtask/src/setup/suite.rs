//! Suites of Debian's archive. Each has package lists of its own, below the cache: the system's sources
//! stay as they are, need not have these suites, and nothing of this takes root.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{arch::Arch, command, workspace};

/// The archive's signing keys, from package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const ARCHIVE: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";

/// Where kernels are looked for; the first suite that has a series is taken.
pub(crate) const OF_KERNELS: [Name; 4] = [
    (SECURITY, "bookworm-security"),
    (ARCHIVE, "trixie-backports"),
    (ARCHIVE, "sid"),
    (SECURITY, "bullseye-security"),
];
/// Where everything else comes from.
pub(crate) const OF_TOOLS: [Name; 2] = [(SECURITY, "bookworm-security"), (ARCHIVE, "bookworm")];

/// How long lists count as new.
const FRESH: Duration = Duration::from_secs(3600);

/// An archive, and one of its suites.
pub(crate) type Name = (&'static str, &'static str);

/// Suites whose lists were read, for one architecture.
pub(crate) struct Suites {
    arch: Arch,
    open: HashMap<Name, Suite>,
}

/// A suite whose lists were read.
pub(crate) struct Suite {
    arch: Arch,
    archive: &'static str,
    config: PathBuf,
}

impl Suites {
    pub(crate) fn new(arch: Arch) -> Self {
        Self { arch, open: HashMap::new() }
    }

    /// A suite; its lists are read the first time.
    pub(crate) fn open(&mut self, name: Name) -> Result<&Suite> {
        if !self.open.contains_key(&name) {
            self.open.insert(name, Suite::open(name, self.arch)?);
        }
        Ok(&self.open[&name])
    }

    /// The folder with the files of a package from the first of these suites that has it.
    pub(crate) fn unpacked(&mut self, names: &[Name], package: &str) -> Result<Option<PathBuf>> {
        for &name in names {
            if let Some(folder) = self.open(name)?.unpacked(package)? {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }
}

impl Suite {
    fn open((archive, name): Name, arch: Arch) -> Result<Self> {
        ensure!(
            command::find("apt-get").is_some() && command::find("dpkg-deb").is_some(),
            "kernels are taken from Debian's packages; run this where apt-get and dpkg-deb are, such \
             as in a container of debian:bookworm"
        );
        ensure!(
            Path::new(KEYRING).is_file(),
            "{KEYRING} is missing; install debian-archive-keyring"
        );
        let root = workspace::cache()?.join("suites").join(format!("{name}-{}", arch.debian()));
        let (lists, cache) = (root.join("lists"), root.join("cache"));
        for folder in [lists.join("partial"), cache.join("archives/partial")] {
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let (sources, config) = (root.join("sources.list"), root.join("apt.conf"));
        let source = format!("deb [signed-by={KEYRING}] {archive} {name} main\n");
        let options = [
            ("APT::Architecture", arch.debian()),
            ("APT::Architectures", arch.debian()),
            ("APT::Sandbox::User", "root"),
            ("Dir::Etc::SourceList", &sources.to_string_lossy()),
            ("Dir::Etc::SourceParts", "/dev/null"),
            ("Dir::State::Lists", &lists.to_string_lossy()),
            ("Dir::State::Status", "/dev/null"),
            ("Dir::Cache", &cache.to_string_lossy()),
        ];
        let options: String =
            options.iter().map(|(option, value)| format!("{option} \"{value}\";\n")).collect();
        for (path, text) in [(&sources, source), (&config, options)] {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let suite = Self { arch, archive, config };
        // Another run of this may read them now: half a list has half of the packages.
        let stamp = root.join("updated");
        let lock = File::options().create(true).append(true).open(root.join("lock"));
        lock.and_then(|lock| lock.lock().map(|()| lock))
            .with_context(|| format!("cannot lock {}", root.display()))
            .and_then(|_lock| suite.update(name, &lists, &stamp))?;
        Ok(suite)
    }

    /// Reads the lists, unless that was done a moment ago.
    fn update(&self, name: &str, lists: &Path, stamp: &Path) -> Result<()> {
        let age = stamp.metadata().and_then(|stamp| stamp.modified()).map(|time| time.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age < FRESH)) {
            return Ok(());
        }
        println!("reading the package lists of {name} for {}", self.arch.debian());
        let updated = command::run(self.command("apt-get").args(["-qq", "update"]));
        // Without a network those from before will do.
        let has_lists = fs::read_dir(lists)?
            .flatten()
            .any(|file| file.file_name().to_string_lossy().contains("_Packages"));
        if !has_lists {
            return updated.with_context(|| format!("cannot read the package lists of {name}"));
        }
        fs::write(stamp, "").with_context(|| format!("cannot write {}", stamp.display()))
    }

    /// The packages whose names match a regular expression.
    pub(crate) fn search(&self, pattern: &str) -> Result<Vec<String>> {
        let found =
            command::output(self.command("apt-cache").args(["search", "--names-only", pattern]))?;
        Ok(found.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect())
    }

    /// The folder with the files of the newest version of a package; `None` where the suite has no
    /// such package.
    pub(crate) fn unpacked(&self, package: &str) -> Result<Option<PathBuf>> {
        let Some(version) = self.version(package)? else { return Ok(None) };
        let download = |folder: &Path| {
            let mut apt = self.command("apt-get");
            command::run(apt.args(["-qq", "download", package]).current_dir(folder))
        };
        self.unpack(package, &version, download).map(Some)
    }

    /// The folder with the files of a package that the suite no longer lists, in the version of one that it
    /// does: the archive removes files days after their names. No list has a checksum of it, so it is
    /// for machines that are thrown away.
    pub(crate) fn unlisted(&self, package: &str, source: &str, listed: &str) -> Result<PathBuf> {
        let version = self.version(listed)?.with_context(|| format!("no package {listed}"))?;
        let file = format!("{package}_{version}_{}.deb", self.arch.debian());
        let url = format!("{}/pool/main/{}/{source}/{file}", self.archive, &source[..1]);
        let download = |folder: &Path| {
            let mut helper = self.command("/usr/lib/apt/apt-helper");
            command::run(helper.args(["download-file", &url]).arg(folder.join(&file)))
        };
        self.unpack(package, &version, download)
    }

    /// The newest version of a package.
    fn version(&self, package: &str) -> Result<Option<String>> {
        let policy = command::output(self.command("apt-cache").args(["policy", package]))?;
        let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
        Ok(version.filter(|version| *version != "(none)").map(str::to_owned))
    }

    /// The folder with the files of a package, which is downloaded unless it was before.
    fn unpack(
        &self,
        package: &str,
        version: &str,
        download: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = format!("{package}_{version}_{}", self.arch.debian());
        let folder = workspace::cache()?.join(name);
        if folder.exists() {
            return Ok(folder);
        }
        println!("fetching {package} {version}");
        // Under another name until it is complete.
        let partial = folder.with_added_extension("partial");
        fs::create_dir_all(&partial)
            .with_context(|| format!("cannot make {}", partial.display()))?;
        download(&partial)?;
        let archive = archive_in(&partial)?;
        command::run(Command::new("dpkg-deb").arg("--extract").args([&archive, &partial]))?;
        fs::remove_file(&archive)
            .and_then(|()| fs::rename(&partial, &folder))
            .with_context(|| format!("cannot finish {}", folder.display()))?;
        Ok(folder)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config);
        command
    }
}

fn archive_in(folder: &Path) -> Result<PathBuf> {
    let files =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("no package was downloaded to {}", folder.display()))
}
