//! The objects that a process has mapped, now and before.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{File, Metadata},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use procfs::process::{MMPermissions, MMapPath, MemoryMap};

use super::{
    Location, Module, ModuleId, TargetError, elf,
    links::{self, Links},
};
use crate::units::{Addr, ElfAddr, FileOffset, Pid};

/// A stretch of code in the process's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first address.
    pub start: Addr,
    /// The address after its last.
    pub end: Addr,
    /// The object, and what to subtract from an address to get that by the object's own headers (it may wrap).
    /// `None` for code that is in no object, as it is made at run time.
    pub module: Option<(ModuleId, u64)>,
    /// Whether it stays mapped as long as the image lasts.
    pub stays: bool,
}

/// A mapped stretch of an object's code.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    end: u64,
    module: ModuleId,
    /// The address of `start` by the module's own headers.
    elf_start: ElfAddr,
    /// Where `start` lies in the file.
    offset: FileOffset,
}

impl Range {
    /// What to subtract from an address to get the module's own; may wrap.
    fn bias(&self) -> u64 {
        self.start.wrapping_sub(self.elf_start.0)
    }
}

/// All objects seen so far. Modules are never forgotten; ranges are those of the last [`Modules::refresh`].
#[derive(Debug, Default)]
pub struct Modules {
    all: Vec<Arc<Module>>,
    by_inode: HashMap<Inode, ModuleId>,
    segments: HashMap<ModuleId, Vec<elf::CodeSegment>>,
    links: HashMap<ModuleId, Links>,
    ranges: Vec<Range>,
    /// Code that is in no object, by address; neighbours are one.
    anonymous: Vec<(u64, u64)>,
    vdso: Option<(ModuleId, Arc<[u8]>)>,
    /// Those that are never unloaded.
    staying: BTreeSet<ModuleId>,
    trampoline: Option<Addr>,
}

/// What tells modules apart: of what has no file, the name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Inode {
    File(Version),
    Special(PathBuf),
}

/// A file with its content: it may be written anew while nobody has it mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Version {
    device: u64,
    number: u64,
    len: u64,
    /// When it was written last: seconds and nanoseconds.
    written: (i64, i64),
}

impl Version {
    fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.number) == (other.device, other.number)
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
            len: metadata.len(),
            written: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Modules {
    /// Reads the process's mappings. Returns the modules that are new.
    ///
    /// # Errors
    ///
    /// Where the process has ended, or may not be read.
    pub fn refresh(&mut self, pid: Pid) -> Result<Vec<Arc<Module>>, TargetError> {
        let known = self.all.len();
        let maps = procfs::process::Process::new(pid.0.cast_signed())
            .and_then(|process| process.maps())
            .map_err(|error| proc_error(pid, error))?;
        let (mut ranges, mut anonymous) = (Vec::new(), Vec::new());
        for map in maps.iter().filter(|map| map.perms.contains(MMPermissions::EXECUTE)) {
            if let Some(range) = self.range(pid, map) {
                ranges.push(range);
            } else if !is_kernels(map) {
                join(&mut anonymous, map.address);
            }
        }
        // A process that is ending has no mappings any more: what we know is better than that.
        if !ranges.is_empty() {
            ranges.sort_by_key(|range| range.start);
            self.ranges = ranges;
            self.anonymous = anonymous;
            self.staying = self.staying(pid);
            self.trampoline =
                maps.iter().find(|map| is_uprobes(map)).map(|map| Addr(map.address.0));
        }
        Ok(self.all[known..].to_vec())
    }

    /// The page that the kernel gave the process for its probes, where return-probed functions return to.
    /// It appears with the first probe that is hit.
    pub fn trampoline(&self) -> Option<Addr> {
        self.trampoline
    }

    /// Every module, indexed by its id.
    pub fn all(&self) -> &[Arc<Module>] {
        &self.all
    }

    /// The module and its own address for an address of the process; `None` where nothing known is mapped.
    pub fn find(&self, address: Addr) -> Option<Location> {
        let after = self.ranges.partition_point(|range| range.start <= address.0);
        let range = self.ranges[..after].last().filter(|range| address.0 < range.end)?;
        let elf = ElfAddr(range.elf_start.0.wrapping_add(address.0 - range.start));
        Some(Location::InModule(range.module, elf))
    }

    /// All code that is mapped now, in any order.
    pub fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        let objects = self.ranges.iter().map(|range| Span {
            start: Addr(range.start),
            end: Addr(range.end),
            module: Some((range.module, range.bias())),
            stays: self.staying.contains(&range.module),
        });
        let anonymous = self.anonymous.iter().map(|&(start, end)| Span {
            start: Addr(start),
            end: Addr(end),
            module: None,
            stays: false,
        });
        objects.chain(anonymous)
    }

    /// The modules that have code mapped now, by id.
    pub(crate) fn mapped(&self) -> Vec<ModuleId> {
        let ids: BTreeSet<_> = self.ranges.iter().map(|range| range.module).collect();
        ids.into_iter().collect()
    }

    /// The vDSO, an object without a file.
    pub fn vdso(&self) -> Option<(ModuleId, Arc<[u8]>)> {
        self.vdso.clone()
    }

    /// Where a module's own address lies in the process, if it is mapped as code now.
    pub fn address_of(&self, module: ModuleId, address: ElfAddr) -> Option<Addr> {
        let range = self.ranges.iter().find(|range| range.module == module)?;
        Some(Addr(address.0.wrapping_add(range.bias())))
    }

    /// Where a byte of a module's file lies in the process, if it is mapped as code now.
    pub fn address_of_offset(&self, module: ModuleId, offset: FileOffset) -> Option<Addr> {
        self.ranges.iter().filter(|range| range.module == module).find_map(|range| {
            let inside = offset.0.checked_sub(range.offset.0)?;
            (inside < range.end - range.start).then_some(Addr(range.start + inside))
        })
    }

    /// The executable, and what it was linked with. A second copy of one of them is another's, in a namespace of its
    /// own (`dlmopen`), and which is which is not known.
    fn staying(&self, pid: Pid) -> BTreeSet<ModuleId> {
        let Some(executable) = self.executable(pid) else { return BTreeSet::new() };
        let mut staying = links::linked_with(executable, &self.links);
        staying.extend(self.vdso.iter().map(|(id, _)| *id));
        let mut biases = HashMap::new();
        for range in &self.ranges {
            if *biases.entry(range.module).or_insert(range.bias()) != range.bias() {
                staying.remove(&range.module);
            }
        }
        staying
    }

    /// The process's executable, if it is one of them.
    pub(crate) fn executable(&self, pid: Pid) -> Option<ModuleId> {
        let metadata = std::fs::metadata(format!("/proc/{pid}/exe")).ok()?;
        self.by_inode.get(&Inode::File(Version::of(&metadata))).copied()
    }

    fn range(&mut self, pid: Pid, map: &MemoryMap) -> Option<Range> {
        let (start, end) = map.address;
        let module = match &map.pathname {
            MMapPath::Path(path) => self.file_module(pid, map, path)?,
            MMapPath::Vdso => self.vdso_module(pid, map),
            _ => return None,
        };
        let offset = FileOffset(map.offset);
        let elf_start = match self.segments.get(&module) {
            Some(segments) => segments.iter().find_map(|segment| segment.address_of(offset))?,
            None => ElfAddr(0),
        };
        Some(Range { start, end, module, elf_start, offset })
    }

    fn file_module(&mut self, pid: Pid, map: &MemoryMap, path: &Path) -> Option<ModuleId> {
        let file = open_mapped(pid, map, path)?;
        let metadata = file.metadata().ok()?;
        let inode = Inode::File(Version::of(&metadata));
        if let Some(&id) = self.by_inode.get(&inode) {
            return Some(id);
        }
        self.close_earlier(Version::of(&metadata));
        let segments = elf::code_segments(&file);
        let id = self.add(inode, without_deleted(path), Some(Arc::new(file)));
        if let Some(file) = &self.all[id.0 as usize].file {
            self.links.insert(id, Links::of(file, path));
        }
        self.segments.insert(id, segments);
        Some(id)
    }

    /// What the same file had in it before can't be read any more: its code has no names, rather than wrong ones.
    fn close_earlier(&mut self, version: Version) {
        let is_earlier =
            |inode: &Inode| matches!(inode, Inode::File(other) if other.is_same_file(&version));
        let earlier = self.by_inode.iter().filter(|(inode, _)| is_earlier(inode));
        for ModuleId(id) in earlier.map(|(_, id)| *id).collect::<Vec<_>>() {
            let module = &mut self.all[id as usize];
            *module = Arc::new(Module { file: None, ..Module::clone(module) });
        }
    }

    fn vdso_module(&mut self, pid: Pid, map: &MemoryMap) -> ModuleId {
        let name = PathBuf::from("[vdso]");
        let inode = Inode::Special(name.clone());
        if let Some(&id) = self.by_inode.get(&inode) {
            return id;
        }
        let id = self.add(inode, name, None);
        self.vdso = read_memory(pid, map).map(|image| (id, image.into()));
        id
    }

    fn add(&mut self, inode: Inode, path: PathBuf, file: Option<Arc<File>>) -> ModuleId {
        let id = ModuleId(self.all.len() as u32);
        self.all.push(Arc::new(Module { id, path, file }));
        self.by_inode.insert(inode, id);
        id
    }
}

/// Pages that the kernel gave the process, in which no stack has a frame.
fn is_kernels(map: &MemoryMap) -> bool {
    is_uprobes(map) || matches!(map.pathname, MMapPath::Vsyscall)
}

/// Adds a stretch to a list of them, which come by address.
fn join(stretches: &mut Vec<(u64, u64)>, (start, end): (u64, u64)) {
    match stretches.last_mut() {
        Some(last) if last.1 == start => last.1 = end,
        _ => stretches.push((start, end)),
    }
}

/// The memory of a mapping; `None` where the process has ended or may not be read.
fn read_memory(pid: Pid, map: &MemoryMap) -> Option<Vec<u8>> {
    let (start, end) = map.address;
    let mut bytes = vec![0; usize::try_from(end - start).ok()?];
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    memory.read_exact_at(&mut bytes, start).ok()?;
    Some(bytes)
}

fn is_uprobes(map: &MemoryMap) -> bool {
    matches!(&map.pathname, MMapPath::Other(name) if name == "uprobes")
}

/// Opens what is mapped: through the mapping itself, which also works for deleted files and in other mount
/// namespaces; where that is not allowed, by the path under the process's root, if the inode is the same.
fn open_mapped(pid: Pid, map: &MemoryMap, path: &Path) -> Option<File> {
    let (start, end) = map.address;
    if let Ok(file) = File::open(format!("/proc/{pid}/map_files/{start:x}-{end:x}")) {
        return Some(file);
    }
    let relative = path.strip_prefix("/").ok()?;
    let file = File::open(Path::new(&format!("/proc/{pid}/root")).join(relative)).ok()?;
    (file.metadata().ok()?.ino() == map.inode).then_some(file)
}

/// The kernel appends this to the name of an unlinked file.
fn without_deleted(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

fn proc_error(pid: Pid, error: procfs::ProcError) -> TargetError {
    match error {
        procfs::ProcError::NotFound(_) => TargetError::Gone { pid },
        procfs::ProcError::PermissionDenied(_) => TargetError::Permission { pid },
        other => TargetError::io(pid, "reading its mappings")(std::io::Error::other(other)),
    }
}
