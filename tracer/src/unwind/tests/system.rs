//! Every object of the machine that the tests run on: what our search finds is what gimli says.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use gimli::{
    BaseAddresses, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, ParsedEhFrameHdr,
    UnwindContext, UnwindSection,
};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, elf::SHF_EXECINSTR};
use tracer_common::unwind::{Rule, RuleKind};

use super::{
    super::{Tables, build, outermost},
    machine::{Machine, Outcome},
    stretches,
};
use crate::units::ElfAddr;

type Slice<'data> = EndianSlice<'data, LittleEndian>;

/// Rows of an object that are looked at, evenly spread, unless `MEMTRACE_TEST_FULL` is set.
const ROWS: usize = 400;
/// The same for objects without an index, in which gimli has to look through everything.
const ROWS_WITHOUT_INDEX: usize = 40;
/// Rows that we can't follow, of all that there are.
const UNSUPPORTED_LIMIT: f64 = 0.001;

/// What gimli says, by its own search.
struct Oracle<'data> {
    section: Section<'data>,
    bases: BaseAddresses,
    context: UnwindContext<usize>,
}

enum Section<'data> {
    Indexed(EhFrame<Slice<'data>>, ParsedEhFrameHdr<Slice<'data>>),
    Plain(EhFrame<Slice<'data>>),
    Debug(DebugFrame<Slice<'data>>),
}

impl<'data> Oracle<'data> {
    fn new(object: &object::File<'data>) -> Option<Self> {
        let section = |name| object.section_by_name(name).filter(|it| it.file_range().is_some());
        let bytes = |name| section(name).and_then(|it| it.data().ok()).filter(|it| !it.is_empty());
        let mut bases = BaseAddresses::default();
        let section = if let Some(frames) = bytes(".eh_frame") {
            bases = bases.set_eh_frame(section(".eh_frame")?.address());
            let frames = EhFrame::new(frames, LittleEndian);
            match bytes(".eh_frame_hdr") {
                Some(index) => {
                    bases = bases.set_eh_frame_hdr(section(".eh_frame_hdr")?.address());
                    match EhFrameHdr::new(index, LittleEndian).parse(&bases, 8) {
                        Ok(index) if index.table().is_some() => Section::Indexed(frames, index),
                        _ => Section::Plain(frames),
                    }
                }
                None => Section::Plain(frames),
            }
        } else {
            Section::Debug(DebugFrame::new(bytes(".debug_frame")?, LittleEndian))
        };
        Some(Self { section, bases, context: UnwindContext::new() })
    }

    /// What it leads to, and whether the row is plain.
    fn outcome(&mut self, machine: Machine) -> (Outcome, bool) {
        let Self { section, bases, context } = self;
        match section {
            Section::Indexed(frames, index) => {
                let cie = EhFrame::cie_from_offset;
                let table = index.table().unwrap();
                let fde = table.fde_for_address(frames, bases, machine.ip, cie);
                // Of two functions at one address, one without a byte, linkers may index just that one.
                let fde = fde.or_else(|error| {
                    let at = table.pointer_to_offset(table.lookup(machine.ip, bases)?)?;
                    if frames.fde_from_offset(bases, at, cie)?.len() > 0 {
                        return Err(error);
                    }
                    frames.fde_for_address(bases, machine.ip, cie)
                });
                follow(fde, frames, bases, context, machine)
            }
            Section::Plain(frames) => {
                let fde = frames.fde_for_address(bases, machine.ip, EhFrame::cie_from_offset);
                follow(fde, frames, bases, context, machine)
            }
            Section::Debug(frames) => {
                let fde = frames.fde_for_address(bases, machine.ip, DebugFrame::cie_from_offset);
                follow(fde, frames, bases, context, machine)
            }
        }
    }

    /// Where entries start, by the index.
    fn starts(&self) -> Vec<u64> {
        let Section::Indexed(_, index) = &self.section else { return Vec::new() };
        let table = index.table().unwrap();
        let mut entries = table.iter(&self.bases);
        let mut starts = Vec::new();
        while let Ok(Some((start, _))) = entries.next() {
            starts.push(start.pointer());
        }
        starts
    }
}

fn follow<'data, S: UnwindSection<Slice<'data>>>(
    fde: gimli::Result<gimli::FrameDescriptionEntry<Slice<'data>>>,
    section: &S,
    bases: &BaseAddresses,
    context: &mut UnwindContext<usize>,
    machine: Machine,
) -> (Outcome, bool) {
    let fde = match fde {
        Ok(fde) => fde,
        Err(gimli::Error::NoUnwindInfoForAddress) => return (Outcome::Nothing, false),
        Err(error) => panic!("{:x}: {error}", machine.ip),
    };
    match fde.unwind_info_for_address(section, bases, context, machine.ip) {
        Ok(row) => {
            let outcome = machine.by_row(row, section, fde.cie().encoding());
            (outcome, Machine::is_plain(row))
        }
        Err(_) => (Outcome::Other("malformed"), false),
    }
}

/// What was compared.
#[derive(Default)]
struct Count {
    objects: usize,
    sampled: usize,
    rows: usize,
    compared: usize,
    unsupported_rows: usize,
    executable: u64,
    covered: u64,
    outermost: usize,
    kinds: BTreeMap<&'static str, usize>,
    unsupported: BTreeMap<&'static str, usize>,
}

#[test]
fn rules_are_those_of_the_call_frame_information() {
    let began = Instant::now();
    let full = env::var_os("MEMTRACE_TEST_FULL").is_some_and(|it| it == "1");
    let mut count = Count::default();
    let mut wrong = Vec::new();
    for path in objects() {
        let Ok(bytes) = fs::read(&path) else { continue };
        let Ok(Some(tables)) = build(&bytes) else {
            expect_nothing(&path, &bytes);
            continue;
        };
        let Ok(object) = object::File::parse(&*bytes) else { continue };
        let Some(mut oracle) = Oracle::new(&object) else { continue };
        compare(&path, &object, &tables, &mut oracle, full, &mut count, &mut wrong);
    }
    print(&count, began, full);
    assert!(
        wrong.is_empty(),
        "{} wrong, first ones:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    let share = count.unsupported_rows as f64 / count.rows.max(1) as f64;
    assert!(share <= UNSUPPORTED_LIMIT, "{share} of all rows are unsupported");
}

fn compare(
    path: &Path,
    object: &object::File<'_>,
    tables: &Tables,
    oracle: &mut Oracle<'_>,
    full: bool,
    count: &mut Count,
    wrong: &mut Vec<String>,
) {
    let limit = match oracle.section {
        Section::Indexed(..) => ROWS,
        _ => ROWS_WITHOUT_INDEX,
    };
    let all: Vec<_> = tables.tables.iter().flat_map(stretches).collect();
    assert_eq!(all.len(), tables.rows);
    assert!(all.iter().all(|(start, end, _)| start < end));
    assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0));
    let unsupported = all.iter().filter(|it| it.2 == Rule::UNSUPPORTED).count();
    assert_eq!(unsupported, tables.unsupported);

    let starts = oracle.starts();
    let stride = |len: usize| if full { 1 } else { len.div_ceil(limit).max(1) };
    count.sampled += usize::from(stride(all.len()) > 1);
    count.objects += 1;
    count.rows += all.len();
    count.unsupported_rows += unsupported;
    count.executable += object
        .sections()
        .filter(|it| match it.flags() {
            SectionFlags::Elf { sh_flags } => sh_flags & u64::from(SHF_EXECINSTR) != 0,
            _ => false,
        })
        .map(|it| it.size())
        .sum::<u64>();
    count.covered +=
        all.iter().filter(|it| it.2.kind() != 0).map(|(start, end, _)| end - start).sum::<u64>();

    // What we can't follow is rare and the most likely to be wrong, so all of it is looked at.
    let rows = all.iter().enumerate().filter(|(at, it)| {
        at % stride(all.len()) == 0
            || (it.2.kind() != RuleKind::Rsp as u32
                && it.2.kind() != RuleKind::Rbp as u32
                && it.2 != Rule::NONE
                && limit == ROWS)
    });
    // Where a greenlet begins there is information, which leads to frames that are gone.
    let greenlets: Vec<_> = object
        .dynamic_symbols()
        .chain(object.symbols())
        .filter(|it| it.name().is_ok_and(|name| name.starts_with(outermost::GREENLET)))
        .map(|it| it.address()..it.address() + it.size())
        .collect();
    let mut addresses: Vec<u64> = rows
        .flat_map(|(_, (start, end, _))| [*start, start + (end - start) / 2, end - 1])
        .collect();
    addresses.extend(starts.iter().step_by(stride(starts.len())));
    let (first, last) = (all[0].0, all[all.len() - 1].1);
    addresses.extend([first.wrapping_sub(1), last]);
    addresses.sort_unstable();
    addresses.dedup();

    for address in addresses {
        let machine = Machine { sp: 0x7ffd_1234_5670, bp: 0x7ffd_9876_5430, ip: address };
        let address = ElfAddr(address);
        let rule = tables.rule_at(address);
        let table = tables.table_at(address).unwrap_or(&tables.tables[0]);
        let ours = machine.by_rule(table, rule);
        let (theirs, plain) = oracle.outcome(machine);
        count.compared += 1;
        *count.kinds.entry(kind(rule)).or_default() += 1;
        match (ours, theirs) {
            (Outcome::Other(_), Outcome::Other(why)) => {
                *count.unsupported.entry(why).or_default() += 1;
            }
            (Outcome::Outermost, Outcome::Nothing) => count.outermost += 1,
            (Outcome::Outermost, Outcome::Caller { .. })
                if greenlets.iter().any(|code| code.contains(&address.0)) =>
            {
                count.outermost += 1;
            }
            (Outcome::Other(_), Outcome::Caller { .. }) if !plain => {
                // gimli's machine can evaluate more than our rules can say.
                *count.unsupported.entry("an expression that rules can't say").or_default() += 1;
            }
            _ if ours == theirs => {}
            _ => wrong.push(format!(
                "{}: {address:x}: {rule:x?} {ours:x?} but {theirs:x?}",
                path.display()
            )),
        }
    }
}

/// An object that gives no table must not have anything to make one of.
fn expect_nothing(path: &Path, bytes: &[u8]) {
    let Ok(object) = object::File::parse(bytes) else { return };
    let Some(oracle) = Oracle::new(&object) else { return };
    let code = |address: u64| {
        object.sections().any(|it| {
            it.kind() == object::SectionKind::Text
                && (it.address()..it.address() + it.size()).contains(&address)
        })
    };
    assert!(!oracle.starts().into_iter().any(code), "{}: gives no table", path.display());
}

fn kind(rule: Rule) -> &'static str {
    if rule == Rule::UNSUPPORTED {
        return "unsupported";
    }
    ["none", "rsp", "rbp", "deref", "plt", "signal", "stop", "escape"][rule.kind() as usize]
}

fn print(count: &Count, began: Instant, full: bool) {
    println!(
        "{} objects, {} rows ({} unsupported), {} addresses compared, {} outside of any entry outermost, {:.1} s",
        count.objects,
        count.rows,
        count.unsupported_rows,
        count.compared,
        count.outermost,
        began.elapsed().as_secs_f64(),
    );
    if !full {
        println!(
            "{} objects were sampled; MEMTRACE_TEST_FULL=1 compares all of their rows",
            count.sampled
        );
    }
    println!(
        "rules cover {:.2} % of {} bytes of code",
        count.covered as f64 * 100.0 / count.executable.max(1) as f64,
        count.executable
    );
    println!("by kind: {:?}\nunsupported: {:?}", count.kinds, count.unsupported);
}

/// The x86-64 programs and libraries of the machine, each once.
fn objects() -> Vec<PathBuf> {
    let mut folders: Vec<_> = ["/usr/lib", "/usr/bin", "/lib", "/lib64"].map(PathBuf::from).into();
    let (mut seen, mut objects) = (BTreeSet::new(), Vec::new());
    while let Some(folder) = folders.pop() {
        let Ok(about) = fs::metadata(&folder) else { continue };
        if !seen.insert((about.dev(), about.ino())) {
            continue;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file()
                && seen.insert((about.dev(), about.ino()))
                && is_loadable(&path)
            {
                objects.push(path);
            }
        }
    }
    objects.sort();
    objects
}

/// Whether it is an x86-64 ELF file with segments.
fn is_loadable(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 20];
    let Ok(mut file) = fs::File::open(path) else { return false };
    file.read_exact(&mut head).is_ok()
        && head.starts_with(b"\x7fELF\x02\x01")
        && matches!(head[16], 2 | 3)
        && head[18] == 62
}
