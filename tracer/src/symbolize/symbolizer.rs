//! Whole stacks, in batches.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use super::{
    frame::{Frame, Language},
    image::MAX_DEBUG,
    object::Object,
    resolver::{Place, Resolved},
    root::SourceRoot,
    source_lines::SourceLines,
    text::{MAX_NAME, clean},
};
use crate::target::{Location, Module, ModuleId, PythonFrameId};

/// What stands for the module of an address that no mapping holds.
const UNKNOWN: &str = "[unknown]";

/// What stands for the module of a Python frame.
const PYTHON: &str = "[python]";

/// Most addresses whose frames are kept from call to call.
const MAX_KNOWN: usize = 1 << 18;

/// Turns return addresses into frames. Keeps what it has parsed and found, so a second look at the same
/// module or address is cheap. Stays on one thread (`!Send`), as blazesym does.
pub struct Symbolizer {
    /// The target's root, then our own: where debug files are searched.
    roots: Vec<SourceRoot>,
    lines: SourceLines,
    objects: HashMap<ModuleId, Object>,
    known: HashMap<Location, Box<[Frame]>>,
    /// Bytes of DWARF that may still be taken in.
    room: u64,
}

impl Symbolizer {
    /// Reads source lines and the target's debug files below `root`; without it no source text is given, and
    /// debug files are taken from this machine's `/usr/lib/debug` alone.
    pub fn new(root: Option<SourceRoot>) -> Self {
        let ours = SourceRoot::at(Path::new("/"), 0).ok();
        Self {
            roots: root.iter().cloned().chain(ours).collect(),
            lines: SourceLines::new(root),
            objects: HashMap::new(),
            known: HashMap::new(),
            room: MAX_DEBUG,
        }
    }

    /// Symbolizes many stacks at once. `result[i]` belongs to `stacks[i]` and runs as it does, innermost
    /// frame first; a function that was inlined comes before the one it was inlined into.
    ///
    /// Of a return address, the call before it is looked up. `modules` is indexed by
    /// [`ModuleId`]. Each address is looked up once, module by module. What cannot be found out is missing
    /// in the frame; an object that cannot be read is logged once. What a frame of Python's is called, `python` says.
    pub fn symbolize(
        &mut self,
        modules: &[Arc<Module>],
        stacks: &[Vec<Location>],
        python: impl Fn(PythonFrameId) -> Option<Frame>,
    ) -> Vec<Vec<Frame>> {
        if self.known.len() > MAX_KNOWN {
            self.known.clear();
        }
        self.look_up(modules, stacks);
        let frames_of = |location: &Location| match *location {
            Location::Python(frame) => vec![python(frame).unwrap_or_else(unnamed)],
            _ => self.known[location].to_vec(),
        };
        stacks.iter().map(|stack| stack.iter().flat_map(frames_of).collect()).collect()
    }

    /// Makes every location of the stacks known.
    fn look_up(&mut self, modules: &[Arc<Module>], stacks: &[Vec<Location>]) {
        let mut wanted = BTreeMap::<ModuleId, BTreeSet<Location>>::new();
        for location in stacks.iter().flatten() {
            match location {
                known if self.known.contains_key(known) => {}
                Location::InModule(module, _) | Location::Interrupted(module, _) => {
                    wanted.entry(*module).or_default().insert(*location);
                }
                Location::Unmapped(address) => {
                    self.known.insert(*location, [bare(UNKNOWN, *address)].into());
                }
                Location::Python(_) => {}
            }
        }
        for (id, locations) in wanted {
            self.look_up_in(modules.get(id.0 as usize), id, locations);
        }
    }

    fn look_up_in(
        &mut self,
        module: Option<&Arc<Module>>,
        id: ModuleId,
        locations: BTreeSet<Location>,
    ) {
        let mut asked: Vec<_> = locations.into_iter().map(|it| (instruction(it), it)).collect();
        asked.sort_unstable();
        let instructions: Vec<u64> = asked.iter().map(|(instruction, _)| *instruction).collect();
        let answers = match module {
            Some(module) => {
                let load = || Object::load(module, &self.roots, &mut self.room);
                self.objects.entry(id).or_insert_with(load).resolve(&instructions)
            }
            None => vec![None; asked.len()],
        };
        let name = module.map_or(UNKNOWN.into(), |it| clean(&it.path.to_string_lossy(), MAX_NAME));
        let built = module.and_then(|it| it.file.as_ref()?.metadata().ok()?.modified().ok());
        for ((_, location), answer) in asked.into_iter().zip(answers) {
            let frame = bare(&name, address(location));
            let frames = match answer {
                Some(resolved) => expand(&frame, resolved, &mut self.lines, built),
                None => [frame].into(),
            };
            self.known.insert(location, frames);
        }
    }
}

fn address(location: Location) -> u64 {
    match location {
        Location::InModule(_, address) | Location::Interrupted(_, address) => address.0,
        Location::Unmapped(address) => address,
        Location::Python(_) => 0,
    }
}

/// The address of an instruction's byte that tells where the frame is: a return address may be another line's,
/// or another function's.
fn instruction(location: Location) -> u64 {
    match location {
        Location::Interrupted(..) => address(location),
        _ => address(location).saturating_sub(1),
    }
}

/// A frame of Python's that nobody could name.
fn unnamed() -> Frame {
    Frame { language: Language::Python, ..bare(PYTHON, 0) }
}

/// A frame of which only the place is known.
fn bare(module: &str, address: u64) -> Frame {
    Frame {
        function: None,
        module: module.to_owned(),
        address,
        offset: 0,
        file: None,
        line: None,
        source: None,
        inlined: false,
        language: Language::Native,
    }
}

/// The frames of one address, innermost first.
fn expand(
    bare: &Frame,
    resolved: Resolved,
    lines: &mut SourceLines,
    built: Option<SystemTime>,
) -> Box<[Frame]> {
    let mut frame = |function: Option<String>, place: Option<Place>, inlined| {
        let source = place.as_ref().and_then(|it| lines.get(&it.file, it.line?, built?));
        let file = place.as_ref().map(|it| clean(&it.file.to_string_lossy(), MAX_NAME));
        Frame {
            function: function.map(|name| clean(&name, MAX_NAME)),
            file: file.filter(|file| !file.is_empty()),
            line: place.and_then(|it| it.line),
            source,
            inlined,
            ..bare.clone()
        }
    };
    let Resolved { function, start, place, inlined } = resolved;
    let offset = if function.is_some() { bare.address.saturating_sub(start) } else { 0 };
    let inner = inlined.into_iter().rev().map(|(function, place)| (function, place, true));
    let mut frames: Box<[Frame]> = inner
        .chain([(function, place, false)])
        .map(|(function, place, inlined)| frame(function, place, inlined))
        .collect();
    if let Some(outermost) = frames.last_mut() {
        outermost.offset = offset;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ElfAddr;

    #[test]
    fn a_return_address_belongs_to_the_call_before_it() {
        let (module, at) = (ModuleId(0), ElfAddr(0x10));
        assert_eq!(instruction(Location::InModule(module, at)), 0xf);
        assert_eq!(instruction(Location::Interrupted(module, at)), 0x10, "a signal came in there");
        assert_eq!(address(Location::InModule(module, at)), 0x10);
    }
}
