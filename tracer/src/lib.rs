//! memtrace: which call stacks of a running Linux process keep growing.
//!
//! Data flows one way: [`target`] (a process and its objects) → [`sites`] (where to probe) → [`bpf`]
//! (the kernel side's counters) → [`ledger`] (epochs become iterations) → [`analysis`] (growth, verdicts) →
//! [`symbolize`] (addresses become lines) → [`report`]. Everything from `ledger` on is pure: it knows no
//! kernel, no clock and no async. [`session`] drives the whole; [`python`] knows the
//! interpreter, where the target has one.

pub mod analysis;
pub mod bpf;
pub mod cli;
pub mod compare;
pub mod doctor;
pub mod gates;
pub mod ledger;
pub mod python;
pub mod python_objects;
pub mod release;
pub mod report;
pub mod session;
pub mod sites;
pub mod suppressions;
pub mod symbolize;
pub mod target;
pub mod units;
pub mod unwind;
