//! An object's call frame information into tables.

use std::ops::Range;

use gimli::{BaseAddresses, FrameDescriptionEntry, Section, UnwindContext, UnwindSection, X86_64};
use object::{
    elf::{PF_X, PT_LOAD},
    read::elf::ProgramHeader,
};
use tracer_common::unwind::Rule;

use super::{
    entries::{Cies, Entry, Source, collect},
    error::UnwindError,
    outermost,
    rule::{Reader, Step},
    section::{self, EhSection, Slice},
    table::Tables,
    writer::Writer,
};
use crate::sites::elf::{ENDIAN, Elf};

/// The tables of an object: of its `.eh_frame`, or where it has none its `.debug_frame`. `None` where it has no
/// call frame information at all.
///
/// Parts of it that make no sense are left out, so that their code has no rule.
///
/// # Errors
///
/// Where the bytes are no x86-64 ELF object.
pub fn build(object: &[u8]) -> Result<Option<Tables>, UnwindError> {
    let elf = Elf::parse(object).map_err(|source| UnwindError::Object { source })?;
    if let Some(found) = EhSection::find(&elf)
        && let Some(tables) = tables(&elf, &found.frames, &found.bases, found.sized)
    {
        return Ok(Some(tables));
    }
    let debug = section::debug_frame(&elf);
    Ok(debug.and_then(|frames| tables(&elf, &frames, &BaseAddresses::default(), true)))
}

/// `None` where the section has nothing on the object's code.
fn tables<'data, S: UnwindSection<Slice<'data>> + Section<Slice<'data>>>(
    elf: &Elf<'data>,
    section: &S,
    bases: &BaseAddresses,
    sized: bool,
) -> Option<Tables> {
    let executable = executable(elf);
    let mut cies = Cies::new();
    let mut entries = collect(section, bases, &mut cies, &executable, sized);
    if entries.is_empty() {
        return None;
    }
    outermost::add(elf, &executable, &mut entries);

    let mut rows = Rows { section, bases, context: UnwindContext::new(), writer: Writer::new() };
    let mut end = None;
    for entry in &entries {
        if let Some(end) = end
            && end < entry.code.start
        {
            rows.writer.push(end, Step::Rule(Rule::NONE));
        }
        rows.add(entry, &mut cies);
        end = Some(entry.code.end);
    }
    Some(rows.writer.finish(end?))
}

/// The addresses of the object's code.
fn executable(elf: &Elf<'_>) -> Vec<Range<u64>> {
    let code = elf
        .segments
        .iter()
        .filter(|it| it.p_type(ENDIAN) == PT_LOAD && it.p_flags(ENDIAN) & PF_X != 0);
    code.map(|it| it.p_vaddr(ENDIAN)..it.p_vaddr(ENDIAN).saturating_add(it.p_memsz(ENDIAN)))
        .collect()
}

struct Rows<'a, S> {
    section: &'a S,
    bases: &'a BaseAddresses,
    /// Takes memory to make, so there is one for all.
    context: UnwindContext<usize>,
    writer: Writer,
}

impl<'data, S: UnwindSection<Slice<'data>>> Rows<'_, S> {
    /// The rows of one entry. Where its instructions can't be followed to its end, the rest is unsupported.
    fn add(&mut self, entry: &Entry, cies: &mut Cies<'data>) {
        let Source::Fde(offset) = entry.source else {
            self.writer.push(entry.code.start, Step::Rule(Rule::STOP));
            return;
        };
        let fde = self
            .section
            .partial_fde_from_offset(self.bases, offset.into())
            .and_then(|fde| fde.parse(|section, bases, at| cies.get(section, bases, at)));
        let known = fde.map_or(entry.code.start, |fde| self.follow(entry, &fde));
        if known < entry.code.end {
            self.writer.push(known, Step::Rule(Rule::UNSUPPORTED));
        }
    }

    /// Writes an entry's rows, as far as they can be followed: up to the address returned.
    fn follow(&mut self, entry: &Entry, fde: &FrameDescriptionEntry<Slice<'data>>) -> u64 {
        let Self { section, bases, context, writer } = self;
        let mut known = entry.code.start;
        if fde.cie().return_address_register() != X86_64::RA {
            return known;
        }
        let Ok(mut table) = fde.rows(*section, bases, context) else { return known };
        let reader = Reader {
            section: *section,
            encoding: fde.cie().encoding(),
            signal: fde.is_signal_trampoline(),
        };
        while let Ok(Some(row)) = table.next_row() {
            let end = row.end_address().min(entry.code.end);
            if row.start_address() > known || known >= entry.code.end {
                break;
            }
            if end > known {
                writer.push(known, reader.step(row));
                known = end;
            }
        }
        known
    }
}
