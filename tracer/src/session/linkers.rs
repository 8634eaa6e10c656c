//! Dynamic linkers of the target: where their probe goes, and where they say what they are at.

use super::SessionError;
use crate::{
    bpf::Kernel,
    sites,
    target::{ModuleId, Modules},
    units::ElfAddr,
};

/// Called by the dynamic linker before and after it changes its list of objects; debuggers break there.
pub(super) const HOOK: &str = "_dl_debug_state";

/// Where it says what it is at.
const STATE: &str = "_r_debug";
/// glibc's exports this since version 2.35, by which it also raises `r_version` to 2 with the first further namespace.
const SINCE_2_35: &str = "__rseq_offset";

/// Those of all images.
#[derive(Debug, Default)]
pub(super) struct Linkers(Vec<Linker>);

#[derive(Debug)]
struct Linker {
    module: ModuleId,
    /// Of its account of itself.
    address: ElfAddr,
    /// Whether that tells that there are several namespaces.
    tells: bool,
}

impl Linkers {
    /// Takes note of one.
    pub(super) fn add(&mut self, module: ModuleId, object: &[u8]) {
        if let Some(address) = sites::find_variable(object, STATE) {
            let tells = sites::find_variable(object, SINCE_2_35).is_some();
            self.0.push(Linker { module, address, tells });
        }
    }

    /// Tells the kernel side of the one that is mapped now.
    ///
    /// # Errors
    ///
    /// Where that can't be told.
    pub(super) fn tell(&self, kernel: &mut Kernel, modules: &Modules) -> Result<(), SessionError> {
        let mut mapped = self.0.iter().filter_map(|Linker { module, address, tells }| {
            Some((modules.address_of(*module, *address)?, *tells))
        });
        match mapped.next() {
            Some((at, tells)) => Ok(kernel.set_linker(at, tells.into())?),
            None => Ok(()),
        }
    }
}
