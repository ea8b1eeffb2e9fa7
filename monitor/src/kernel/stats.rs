//! Run time and memory of programs and maps, as the kernel counts them.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use aya::{
    Ebpf,
    maps::{Map, MapData},
};

use super::bpf;

/// `BPF_OBJ_GET_INFO_BY_FD` of the kernel's ABI.
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// Arguments of [`BPF_OBJ_GET_INFO_BY_FD`].
#[repr(C)]
struct GetInfo {
    fd: u32,
    info_len: u32,
    /// Address of the information.
    info: u64,
}

/// The kernel's `bpf_prog_info`, as far as it is read here.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    /// Without buffers for instructions, maps and types, the kernel copies none of them.
    before: [u64; 24],
    run_time_ns: u64,
    run_cnt: u64,
    recursion_misses: u64,
}

const _: () = assert!(size_of::<ProgramInfo>() == 216);

/// What a program did so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramStats {
    /// Time spent in it, in nanoseconds; only counted while the kernel's BPF statistics are on.
    pub run_time_ns: u64,
    /// How often it ran; only counted while the kernel's BPF statistics are on.
    pub runs: u64,
    /// How often it was skipped because it was already running on that CPU.
    pub recursion_misses: u64,
}

/// What a map takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapStats {
    /// How many entries it may have; 0 for storage, which every task or socket may have one of.
    pub capacity: u64,
    /// Memory in bytes, as the kernel accounts for it. Storage is accounted for with its owners.
    pub size_bytes: u64,
}

/// The programs and maps of one object, held open to be asked again and again.
///
/// The descriptors are copies of those that loading gave: to get one by id, as tools do, takes
/// `CAP_SYS_ADMIN`.
pub struct Accounts {
    programs: Vec<(String, OwnedFd)>,
    maps: Vec<(String, OwnedFd)>,
}

impl Accounts {
    /// Opens all maps of an object that was just loaded, before anybody takes them out of it.
    pub fn of_maps(ebpf: &Ebpf) -> Self {
        let maps = ebpf
            .maps()
            .filter_map(|(name, map)| {
                let fd = map_data(map).fd().as_fd().try_clone_to_owned().ok()?;
                Some((name.to_owned(), fd))
            })
            .collect();
        Self { programs: Vec::new(), maps }
    }

    /// Opens a program, if the kernel has taken it.
    pub fn add_program(&mut self, ebpf: &Ebpf, name: &str) {
        let fd = ebpf.program(name).and_then(|program| program.fd().ok());
        let copy = fd.and_then(|fd| fd.as_fd().try_clone_to_owned().ok());
        self.programs.extend(copy.map(|fd| (name.to_owned(), fd)));
    }

    /// Each program with what it did.
    pub fn programs(&self) -> impl Iterator<Item = (&str, ProgramStats)> {
        self.programs.iter().filter_map(|(name, fd)| {
            let info = program_info(fd.as_fd()).ok()?;
            let stats = ProgramStats {
                run_time_ns: info.run_time_ns,
                runs: info.run_cnt,
                recursion_misses: info.recursion_misses,
            };
            Some((name.as_str(), stats))
        })
    }

    /// Each map with what it takes.
    pub fn maps(&self) -> impl Iterator<Item = (&str, MapStats)> {
        self.maps.iter().filter_map(|(name, fd)| {
            let info = fdinfo(fd.as_fd())?;
            let stats = MapStats {
                capacity: field(&info, "max_entries"),
                size_bytes: field(&info, "memlock"),
            };
            Some((name.as_str(), stats))
        })
    }
}

/// What a map of any kind is in itself.
fn map_data(map: &Map) -> &MapData {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::BloomFilter(data)
        | Map::CgroupArray(data)
        | Map::CgroupStorage(data)
        | Map::CgrpStorage(data)
        | Map::CpuMap(data)
        | Map::DevMap(data)
        | Map::DevMapHash(data)
        | Map::HashMap(data)
        | Map::HashOfMaps(data)
        | Map::InodeStorage(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuCgroupStorage(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::PerfEventArray(data)
        | Map::ProgramArray(data)
        | Map::Queue(data)
        | Map::ReusePortSockArray(data)
        | Map::RingBuf(data)
        | Map::SockHash(data)
        | Map::SockMap(data)
        | Map::SkStorage(data)
        | Map::Stack(data)
        | Map::StackTraceMap(data)
        | Map::Unsupported(data)
        | Map::XskMap(data) => data,
    }
}

fn program_info(fd: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    let mut info = ProgramInfo::default();
    let arguments = GetInfo {
        fd: fd.as_raw_fd() as u32,
        info_len: size_of::<ProgramInfo>() as u32,
        info: &raw mut info as u64,
    };
    bpf::call(BPF_OBJ_GET_INFO_BY_FD, &arguments)?;
    Ok(info)
}

/// What the kernel shows of a map. Its memory is not in `bpf_map_info`.
fn fdinfo(fd: BorrowedFd<'_>) -> Option<String> {
    fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()
}

fn field(fdinfo: &str, name: &str) -> u64 {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn reads_fields_by_their_whole_name() {
        let info = "pos:\t0\nrun_cnt:\t7\nrun_cnt_x:\t8\nmemlock:\t4096\n";
        assert_eq!(field(info, "run_cnt"), 7);
        assert_eq!(field(info, "memlock"), 4096);
        assert_eq!(field(info, "run"), 0);
    }
}
