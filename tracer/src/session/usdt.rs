//! The target's own marks: its static probe `memtrace:iteration`, which notes tell of. A part of `prober`.

use super::{SessionError, prober::Prober};
use crate::{
    bpf::{Kernel, ProbedFile},
    sites,
};

/// The static probe by which a target says that an iteration has ended.
const USDT: (&str, &str) = ("memtrace", "iteration");

impl Prober {
    /// Whether the target marks by itself.
    pub(super) fn has_usdt(&self) -> bool {
        self.usdt > 0
    }

    /// Probes each place where an object says that an iteration ends. These marks count whatever others were asked for.
    ///
    /// # Errors
    ///
    /// Where the kernel refuses a probe.
    pub(super) fn probe_usdt(
        &mut self,
        kernel: &mut Kernel,
        probed: ProbedFile<'_>,
        object: &[u8],
    ) -> Result<(), SessionError> {
        // What can't be read has been said when allocators were looked for.
        let Ok(sites) = sites::usdt_sites(object, USDT.0, USDT.1) else { return Ok(()) };
        let path = probed.path.display();
        for site in &sites {
            match kernel.attach_usdt(probed, site.offset, site.semaphore) {
                // Another tool's probe is there already, which does not know of the semaphore.
                Err(error) if site.semaphore.is_some() => {
                    kernel.attach_usdt(probed, site.offset, None)?;
                    tracing::warn!(
                        "{path}: the semaphore of memtrace:iteration can't be raised, so the program may make no marks: {error}"
                    );
                }
                attached => attached?,
            }
            tracing::debug!("marking at memtrace:iteration in {path}");
        }
        self.usdt += sites.len();
        Ok(())
    }
}
