//! Stands in for what another branch writes.

use thiserror::Error;
use tracer_common::{UnwindStatus, unwind::Node};

use crate::units::ElfAddr;

/// An object's tables.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// By address.
    pub tables: Vec<Table>,
    /// Rows of all of them.
    pub rows: usize,
    /// Rows that can't be expressed.
    pub unsupported: usize,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    /// The address that its pcs count from.
    pub origin: ElfAddr,
    /// The first address that it says nothing about.
    pub end: ElfAddr,
    /// Its leaves.
    pub leaves: u32,
    /// Root, leaves, escapes.
    pub nodes: Vec<Node>,
}

/// Why there is no table.
#[derive(Debug, Error)]
#[error("stub")]
pub struct UnwindError;

/// Makes an object's tables.
///
/// # Errors
///
/// Never.
pub fn build(_object: &[u8]) -> Result<Option<Tables>, UnwindError> {
    Ok(None)
}

/// Unwinds copies of stacks.
#[derive(Debug, Default)]
pub struct Deferred;

impl Deferred {
    /// Knows no object.
    pub fn new() -> Self {
        Self
    }

    /// Adds an object.
    pub fn add_module(&mut self, _start: u64, _end: u64, _bias: u64, _object: &[u8]) {}

    /// Forgets all.
    pub fn forget_all(&mut self) {}

    /// Unwinds.
    pub fn unwind(
        &mut self,
        _ip: u64,
        _sp: u64,
        _bp: u64,
        _stack: &[u8],
    ) -> (Vec<u64>, UnwindStatus) {
        (Vec::new(), UnwindStatus::NoRule)
    }
}
