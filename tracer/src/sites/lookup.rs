//! Finds any one function by name; for marks.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    demangle,
    elf::Elf,
    error::FindError,
    finder::{Needs, Site, find_site},
    symbols::{self, Symbol},
};
use crate::units::ElfAddr;

/// Names suggested for one that is unknown.
const MAX_NEAR: usize = 5;
/// Less alike than this (Jaro–Winkler, 0 to 1) is no suggestion.
const MIN_LIKENESS: f64 = 0.75;

/// A function that was asked for by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFunction {
    /// Its name as people write it.
    pub name: String,
    /// Its first byte.
    pub address: ElfAddr,
    /// Where an entry probe that reads neither arguments nor stack goes.
    pub site: Site,
}

/// Finds the function that is called `name`: by its raw symbol, or by its C++ or Rust path without
/// parameters and hash (`ns::Klass::method`, `app::handle`). Separate debug files are not consulted.
pub fn find_function(object: &[u8], name: &str) -> Result<FoundFunction, FindError> {
    let elf = Elf::parse(object)?;
    let mut all = symbols::exported(&elf);
    all.extend(symbols::linked(&elf));
    let raw = one_per_address(all.iter().filter(|symbol| symbol.name == name));
    let matching = if raw.is_empty() {
        one_per_address(all.iter().filter(|symbol| has_path(symbol, name)))
    } else {
        raw
    };
    let symbol = match matching.as_slice() {
        [] => return Err(unknown(&all, name)),
        [only] => *only,
        several => return Err(ambiguous(several, name)),
    };
    if symbol.resolver {
        return Err(FindError::Resolver { name: name.to_owned() });
    }
    found(&elf, &symbol).ok_or_else(|| unknown(&[], name))
}

/// Finds the function whose raw symbol is `symbol`: for what the tracer itself looks for, in every object. Nothing is
/// demangled, and no near names are looked for, which takes long where symbols are many.
pub fn find_symbol(object: &[u8], symbol: &str) -> Option<FoundFunction> {
    let elf = Elf::parse(object).ok()?;
    let named = |symbols: Vec<Symbol<'_>>| {
        let symbol = symbols.into_iter().find(|it| it.name == symbol && !it.resolver)?;
        found(&elf, &symbol)
    };
    named(symbols::exported(&elf)).or_else(|| named(symbols::linked(&elf)))
}

fn found(elf: &Elf<'_>, symbol: &Symbol<'_>) -> Option<FoundFunction> {
    let start = elf.code_offset(symbol.address)?;
    let code = elf.code(symbol.address, symbol.size)?;
    let site = find_site(code, symbol.address, start, Needs::NOTHING);
    let name = demangle::path(symbol.name).unwrap_or_else(|| symbol.name.to_owned());
    Some(FoundFunction { name, address: symbol.address, site })
}

/// The address of an exported variable; `None` where the object exports none of that name.
pub fn find_variable(object: &[u8], name: &str) -> Option<ElfAddr> {
    let elf = Elf::parse(object).ok()?;
    symbols::variable(&elf, name)
}

/// Several names for one function are one function.
fn one_per_address<'s, 'data: 's>(
    symbols: impl Iterator<Item = &'s Symbol<'data>>,
) -> Vec<Symbol<'data>> {
    let by_address: BTreeMap<ElfAddr, Symbol<'data>> =
        symbols.map(|symbol| (symbol.address, *symbol)).collect();
    by_address.into_values().collect()
}

/// Whether `path` is the symbol's demangled path. Every identifier stands literally in a mangled name, so
/// most symbols are ruled out without demangling.
fn has_path(symbol: &Symbol<'_>, path: &str) -> bool {
    let last = path.rsplit("::").next().unwrap_or(path);
    let literal: String = last.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    symbol.name.contains(&literal) && demangle::path(symbol.name).as_deref() == Some(path)
}

fn ambiguous(symbols: &[Symbol<'_>], name: &str) -> FindError {
    let candidate = |symbol: &Symbol<'_>| match demangle::signature(symbol.name) {
        Some(signature) => format!("{} [{signature}]", symbol.name),
        None => format!("{} [at {:#x}]", symbol.name, symbol.address),
    };
    let mut candidates: Vec<String> = symbols.iter().map(candidate).collect();
    candidates.sort();
    FindError::Ambiguous { name: name.to_owned(), candidates }
}

fn unknown(symbols: &[Symbol<'_>], name: &str) -> FindError {
    let names: BTreeSet<String> = symbols
        .iter()
        .map(|symbol| demangle::path(symbol.name).unwrap_or_else(|| symbol.name.to_owned()))
        .collect();
    let mut near: Vec<(f64, String)> = names
        .into_iter()
        .map(|known| (likeness(&known, name), known))
        .filter(|(likeness, _)| *likeness >= MIN_LIKENESS)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    near.truncate(MAX_NEAR);
    let near = near.into_iter().map(|(_, name)| name).collect();
    FindError::Unknown { name: name.to_owned(), near }
}

/// How much `known` looks like `name`, as a whole or by its last part (`handle` for `app::handle`).
fn likeness(known: &str, name: &str) -> f64 {
    let last = known.rsplit("::").next().unwrap_or(known);
    strsim::jaro_winkler(known, name).max(strsim::jaro_winkler(last, name))
}

#[cfg(test)]
mod tests;
