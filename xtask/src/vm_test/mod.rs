//! `cargo xtask vm-test`: memtrace on kernels that this machine doesn't run.
//!
//! Each kernel of the matrix ([`kernels`]) is a distribution's package, unpacked ([`package`]) and started by an emulator
//! ([`machine`]) with an initial file system of our own ([`image`]): memtrace, the programs whose leak is known
//! ([`programs`]) and the script that traces them ([`guest.sh`](guest.sh)). The reports come back over a serial
//! line ([`results`]) and are judged here ([`verdict`]). Everything lies in `target/vm`.

mod archive;
mod image;
mod kernels;
mod machine;
mod matrix;
mod package;
mod programs;
mod results;
mod verdict;

pub(crate) use kernels::versions;
pub(crate) use matrix::run_all;
