//! What a program told of its own stacks (`programs/known.h`), and comparing memtrace's with it.

use std::{collections::BTreeMap, fmt::Write as _, fs, ops::RangeInclusive, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Document, Frame, Stack};

/// The variable that tells a program where to write.
pub const KNOWN_FILE: &str = "KNOWN_FILE";

/// Frames that memtrace keeps.
pub const MOST_FRAMES: usize = 256;

/// How much of a function may follow its call, where it doesn't tell where it goes on.
const REST_OF_FUNCTION: u64 = 1024;

/// Marks the part of a stack that continues those which are lost on the way.
const OUTER: &str = "outer ";

/// The stacks that a program told.
#[derive(Clone, Debug)]
pub struct Known {
    sizes: BTreeMap<u64, Size>,
}

/// All allocations of one size.
#[derive(Clone, Debug, Default)]
struct Size {
    name: String,
    /// Stacks, and how often each was told.
    stacks: Vec<(Vec<Place>, Extent, i64)>,
    after: Option<u64>,
    /// Where not each allocation was told.
    blocks: Option<i64>,
}

/// Where a frame is, innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// In this object (or none), at one of these addresses.
    In(Option<String>, RangeInclusive<u64>),
    /// One or more frames, anywhere in this object.
    Some(String),
}

/// How much of a stack a program knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All of it, to the outermost function.
    Whole,
    /// The compiler's unwinder did not know how to go on.
    Lost,
}

/// One size, compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What the program calls it.
    pub name: String,
    /// Blocks by how their stack ended.
    pub blocks: BTreeMap<String, i64>,
    /// What is wrong; empty where nothing is.
    pub wrong: String,
}

impl Known {
    /// Reads the file that [`KNOWN_FILE`] named.
    ///
    /// # Errors
    ///
    /// Where it can't be read, or understood.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut known = Self { sizes: BTreeMap::new() };
        let mut objects = BTreeMap::new();
        let mut reading: Option<(u64, Vec<Place>)> = None;
        for line in text.lines() {
            let mut words = line.splitn(3, ' ');
            let kind = words.next().unwrap_or_default();
            let [first, second] = [words.next(), words.next()].map(Option::unwrap_or_default);
            match kind {
                "stack" => {
                    let size: u64 = first.parse()?;
                    let of_size = known.sizes.entry(size).or_default();
                    ensure!(
                        of_size.stacks.is_empty() || of_size.name == second,
                        "{second} and {} have the same size",
                        of_size.name
                    );
                    second.clone_into(&mut of_size.name);
                    reading = Some((size, Vec::new()));
                }
                "in" | "some" | "frame" => {
                    let (_, places) = reading.as_mut().with_context(|| line.to_owned())?;
                    places.push(match kind {
                        "in" => {
                            let (to, path) = second.split_once(' ').context("no path")?;
                            Place::In(real(&mut objects, path), hex(first)?..=hex(to)?)
                        }
                        "some" => {
                            let path = line.strip_prefix("some ").unwrap_or_default();
                            Place::Some(real(&mut objects, path).context("no path")?)
                        }
                        _ => {
                            let address = hex(first)?;
                            Place::In(real(&mut objects, second), address..=address)
                        }
                    });
                }
                "end" => {
                    let (size, places) = reading.take().with_context(|| line.to_owned())?;
                    let extent = if first == "lost" { Extent::Lost } else { Extent::Whole };
                    let stacks = &mut known.sizes.entry(size).or_default().stacks;
                    match stacks.iter_mut().find(|stack| stack.0 == places) {
                        Some(stack) => stack.2 += 1,
                        None => stacks.push((places, extent, 1)),
                    }
                }
                "after" => {
                    known.sizes.entry(first.parse()?).or_default().after = Some(hex(second)?);
                }
                "count" => {
                    known.sizes.entry(first.parse()?).or_default().blocks = Some(second.parse()?);
                }
                _ => bail!("{line:?} is not understood"),
            }
        }
        for size in known.sizes.values_mut() {
            size.widen_calls();
        }
        known.join();
        Ok(known)
    }

    /// How many sizes there are.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether the program told nothing.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Compares each size with memtrace's stacks, by the one rule that there is: what memtrace calls complete is
    /// the stack, to the byte; what it calls something else begins like it.
    pub fn compare(&self, report: &Document) -> Vec<Compared> {
        // A size that nothing else has: so this is the stack, however often it comes.
        let mut stacks: BTreeMap<u64, Vec<Stack<'_>>> = BTreeMap::new();
        for stack in report.stacks() {
            let (blocks, bytes) = (stack.number("alloc_blocks"), stack.number("alloc_bytes"));
            if blocks > 0 && bytes % blocks == 0 {
                stacks.entry((bytes / blocks) as u64).or_default().push(stack);
            }
        }
        let none = Vec::new();
        let sizes = self.sizes.iter();
        sizes.map(|(size, known)| known.compare(stacks.get(size).unwrap_or(&none))).collect()
    }

    /// Lets stacks that were lost go on with the ones of the same name that were told further out.
    fn join(&mut self) {
        let outer: Vec<Size> =
            self.sizes.values().filter(|size| size.name.contains(OUTER)).cloned().collect();
        self.sizes.retain(|_, size| !size.name.contains(OUTER));
        for further in outer {
            let name = further.name.replacen(OUTER, "", 1);
            let Some((places, extent, _)) = further.stacks.first() else { continue };
            for size in self.sizes.values_mut().filter(|size| size.name == name) {
                for stack in size.stacks.iter_mut().filter(|stack| stack.1 == Extent::Lost) {
                    stack.0.extend(places.iter().cloned());
                    stack.1 = *extent;
                }
            }
        }
    }
}

impl Size {
    /// The first frame that was told is at the call before the allocation; the allocation itself is further on.
    fn widen_calls(&mut self) {
        for (places, ..) in &mut self.stacks {
            // A function that only told which function it calls is told as `in`; the exact one follows.
            let call = places.iter_mut().find_map(|place| match place {
                Place::In(_, range) if range.start() == range.end() => Some(range),
                _ => None,
            });
            if let Some(range) = call {
                let from = *range.start();
                *range = from..=self.after.unwrap_or(from + REST_OF_FUNCTION);
            }
        }
    }

    fn compare(&self, stacks: &[Stack<'_>]) -> Compared {
        let mut compared =
            Compared { name: self.name.clone(), blocks: BTreeMap::new(), wrong: String::new() };
        let mut seen = vec![0; self.stacks.len()];
        for stack in stacks {
            let blocks = stack.number("alloc_blocks");
            let status = stack.unwind();
            *compared.blocks.entry(status.to_owned()).or_default() += blocks;
            let frames = stack.frames();
            let found = self
                .stacks
                .iter()
                .enumerate()
                .filter(|(_, (places, extent, _))| agrees(places, *extent, &frames, status));
            match found.map(|(index, _)| index).collect::<Vec<_>>().as_slice() {
                [] => self.show(&mut compared.wrong, &frames, status),
                [only] => seen[*only] += blocks,
                _ => {} // cut so short that it may be any of these
            }
        }
        let told: i64 = self.stacks.iter().map(|stack| stack.2).sum();
        let (told, all) = (self.blocks.unwrap_or(told), compared.blocks.values().sum::<i64>());
        if told != all {
            let _ = writeln!(compared.wrong, "{}: {told} blocks, but {all} seen", self.name);
        }
        let complete = compared.blocks.get("complete") == Some(&told);
        for (stack, seen) in self.stacks.iter().zip(seen) {
            // Some may be among those that are cut short, but no stack has more than it has.
            if self.blocks.is_none() && (seen > stack.2 || complete && seen < stack.2) {
                let wrong = &mut compared.wrong;
                let first = &stack.0[0];
                let _ = writeln!(
                    wrong,
                    "{}: {} blocks from {first:x?}, but {seen} seen",
                    self.name, stack.2
                );
            }
        }
        compared
    }

    /// Both side by side from where they differ.
    fn show(&self, text: &mut String, frames: &[Frame<'_>], status: &str) {
        let _ = writeln!(text, "{}: {status}, but", self.name);
        for (places, extent, _) in &self.stacks {
            let same = places
                .iter()
                .zip(frames)
                .take_while(|(place, frame)| place.has(frame))
                .count()
                .saturating_sub(1);
            let _ = writeln!(text, "  {same} frames equal, then the program ({extent:?}):");
            for place in &places[same..] {
                let _ = writeln!(text, "    {place:x?}");
            }
            let _ = writeln!(text, "  memtrace:");
            for frame in frames.iter().skip(same) {
                let _ = writeln!(text, "    {frame:x?}");
            }
        }
    }
}

impl Place {
    fn has(&self, frame: &Frame<'_>) -> bool {
        match self {
            Self::In(module, addresses) => {
                module.as_deref() == frame.module && addresses.contains(&frame.address)
            }
            Self::Some(module) => Some(module.as_str()) == frame.module,
        }
    }
}

/// Whether memtrace's frames are right, for how it says that they end.
fn agrees(places: &[Place], extent: Extent, frames: &[Frame<'_>], status: &str) -> bool {
    match (status, extent) {
        ("complete", Extent::Whole) => begins(places, frames, true),
        // The program's unwinder knew less. At least the end has to be one.
        ("complete", Extent::Lost) => {
            let first = ["_start", "_start_c", "__clone", "clone"];
            let last = frames.last().and_then(|frame| frame.function);
            last.is_some_and(|last| first.contains(&last)) && continues(places, frames)
        }
        ("frame_pointers", Extent::Whole) => skips(places, frames),
        ("frame_pointers", Extent::Lost) => continues(places, frames),
        ("truncated", _) => frames.len() == MOST_FRAMES && begins(places, frames, false),
        // Which object that is, is what is not known.
        ("unknown_code", _) if frames.last().is_some_and(|last| last.module.is_none()) => {
            begins(places, &frames[..frames.len() - 1], false)
        }
        _ => !frames.is_empty() && begins(places, frames, false),
    }
}

/// Whether the frames are the known ones: all of them, or as far as they go.
fn begins(places: &[Place], frames: &[Frame<'_>], all: bool) -> bool {
    match (places, frames) {
        ([], []) => true,
        ([], _) => false,
        (_, []) => !all,
        ([place, outer @ ..], [frame, callers @ ..]) => {
            let more = matches!(place, Place::Some(_)) && begins(places, callers, all);
            place.has(frame) && (more || begins(outer, callers, all))
        }
    }
}

/// Whether the frames are the known ones, and perhaps more.
fn continues(places: &[Place], frames: &[Frame<'_>]) -> bool {
    places.is_empty() || (1..=frames.len()).any(|length| begins(places, &frames[..length], true))
}

/// Whether the frames are among the known ones, in this order, and begin with the innermost.
fn skips(places: &[Place], frames: &[Frame<'_>]) -> bool {
    let mut places = places.iter();
    let Some((first, frames)) = frames.split_first() else { return false };
    places.next().is_some_and(|place| place.has(first))
        && frames.iter().all(|frame| places.by_ref().any(|place| place.has(frame)))
}

/// The path as the kernel has it; `None` where there is no object.
fn real(objects: &mut BTreeMap<String, Option<String>>, path: &str) -> Option<String> {
    let find = || match path {
        "-" => None,
        path => {
            let real = fs::canonicalize(path).unwrap_or_else(|_| path.into());
            Some(real.to_string_lossy().into_owned())
        }
    };
    objects.entry(path.to_owned()).or_insert_with(find).clone()
}

fn hex(text: &str) -> Result<u64> {
    u64::from_str_radix(text, 16).with_context(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(address: u64) -> Frame<'static> {
        Frame { module: Some("a"), address, function: Some("_start") }
    }

    fn places(addresses: &[u64]) -> Vec<Place> {
        let place = |&address| Place::In(Some("a".to_owned()), address..=address + 2);
        addresses.iter().map(place).collect()
    }

    #[test]
    fn complete_is_all_of_it() {
        let known = places(&[10, 20, 30]);
        let whole = |frames: &[u64], status| {
            let frames: Vec<_> = frames.iter().copied().map(frame).collect();
            agrees(&known, Extent::Whole, &frames, status)
        };
        assert!(whole(&[12, 20, 30], "complete"));
        assert!(!whole(&[12, 20], "complete"));
        assert!(!whole(&[12, 20, 30, 40], "complete"));
        assert!(!whole(&[13, 20, 30], "complete"));
        assert!(whole(&[12, 20], "no_rule"));
        assert!(!whole(&[12, 30], "no_rule"));
        assert!(!whole(&[], "no_rule"));
        assert!(whole(&[12, 30], "frame_pointers"));
        assert!(!whole(&[30, 12], "frame_pointers"));
    }

    #[test]
    fn some_are_one_or_more() {
        let mut known = vec![Place::Some("a".to_owned())];
        known.extend(places(&[10, 20]));
        let complete = |addresses: &[u64]| {
            let frames: Vec<_> = addresses.iter().copied().map(frame).collect();
            agrees(&known, Extent::Whole, &frames, "complete")
        };
        assert!(complete(&[1, 10, 20]));
        assert!(complete(&[1, 2, 3, 10, 20]));
        assert!(!complete(&[10, 20]));
    }

    #[test]
    fn what_the_program_does_not_know_may_follow() {
        let known = places(&[10, 20]);
        let lost = |addresses: &[u64], status| {
            let frames: Vec<_> = addresses.iter().copied().map(frame).collect();
            agrees(&known, Extent::Lost, &frames, status)
        };
        assert!(lost(&[10, 20, 99], "complete"));
        assert!(lost(&[10, 20, 99], "frame_pointers"));
        assert!(!lost(&[10, 20, 99], "no_rule"));
        assert!(!lost(&[10], "complete"));
        assert!(lost(&[10], "no_rule"));
    }
}
