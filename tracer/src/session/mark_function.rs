//! `--mark-fn`: the function is looked for in every object that the target maps, or in the one that `@OBJECT` names.

use std::path::Path;

use super::SessionError;
use crate::{
    bpf::{Kernel, ProbedFile},
    cli::{MarkFunction, TraceConfig},
    sites::{self, FindError},
    target::Module,
};

/// What became of the search so far.
#[derive(Debug)]
pub(super) struct MarkProbes {
    wanted: Option<MarkFunction>,
    is_found: bool,
    /// Near names, best first, of each object that was searched in vain.
    near: Vec<Vec<String>>,
}

impl MarkProbes {
    pub(super) fn new(config: &TraceConfig) -> Self {
        Self { wanted: config.mark_fn.clone(), is_found: false, near: Vec::new() }
    }

    /// Probes the function in an object, if it is there.
    ///
    /// # Errors
    ///
    /// Where the object has several of that name, or the kernel refuses the probe.
    pub(super) fn probe(
        &mut self,
        kernel: &mut Kernel,
        probed: ProbedFile<'_>,
        module: &Module,
        object: &[u8],
    ) -> Result<(), SessionError> {
        let Some(mark) = &self.wanted else { return Ok(()) };
        if mark.object.as_deref().is_some_and(|wanted| !is_named(&module.path, wanted)) {
            return Ok(());
        }
        match sites::find_function(object, &mark.symbol) {
            Ok(found) => {
                kernel.attach_mark(probed, found.site.offset, &found.name)?;
                tracing::debug!("marking at {} in {}", found.name, module.path.display());
                self.is_found = true;
            }
            Err(FindError::Unknown { near, .. }) => self.near.push(near),
            Err(error @ FindError::Ambiguous { .. }) => {
                let reason = error.to_string();
                return Err(SessionError::MarkFunction { symbol: mark.symbol.clone(), reason });
            }
            Err(error) => tracing::debug!("{}: {error}", module.path.display()),
        }
        Ok(())
    }

    /// Whether it was found, if it was asked for.
    ///
    /// # Errors
    ///
    /// Where it wasn't, with names that are near.
    pub(super) fn check(&self) -> Result<(), SessionError> {
        let Some(wanted) = self.wanted.as_ref().filter(|_| !self.is_found) else {
            return Ok(());
        };
        let near = best_of_each(&self.near);
        let reason = if near.is_empty() {
            "no mapped object has a function of that name".to_owned()
        } else {
            format!("no mapped object has a function of that name; near ones: {}", near.join(", "))
        };
        Err(SessionError::MarkFunction { symbol: wanted.symbol.clone(), reason })
    }
}

/// Whether an object goes by the name that `--mark-fn f@NAME` gives: its path, or the last part of it.
fn is_named(path: &Path, wanted: &str) -> bool {
    path == Path::new(wanted) || path.file_name().is_some_and(|name| name == wanted)
}

/// At most five names: the best of each object, then each one's second best.
fn best_of_each(near: &[Vec<String>]) -> Vec<&str> {
    let ranks = near.iter().map(Vec::len).max().unwrap_or(0);
    let mut best: Vec<&str> = Vec::new();
    for name in (0..ranks).flat_map(|rank| near.iter().filter_map(move |names| names.get(rank))) {
        if best.len() < 5 && !best.contains(&name.as_str()) {
            best.push(name);
        }
    }
    best
}
