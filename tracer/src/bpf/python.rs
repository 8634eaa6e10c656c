//! Telling the kernel side of an interpreter.

use tracer_common::{PYTHON_CODE_BYTES, PythonConfig, PythonWalk, names};

use super::{BpfError, Kernel, StackWalk, btf};

/// Why Python's frames are not found on this kernel, whatever the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PythonObstacle {
    /// Before 5.17.
    #[error(
        "Python frames need Linux 5.17 or newer, whose eBPF programs have loops; stacks are native"
    )]
    NoLoops,
    /// The kernel was built without it, or hides it.
    #[error(
        "Python frames need to know where the kernel keeps a thread's registers, and /sys/kernel/btf/vmlinux doesn't say: use a kernel with CONFIG_DEBUG_INFO_BTF; stacks are native"
    )]
    NoBtf,
    /// Stacks are the kernel's own.
    #[error("stacks are those of bpf_get_stack, which have no Python frames")]
    KernelStacks,
}

impl Kernel {
    /// What stands in the way of finding Python's frames; `None` where nothing does.
    pub fn python_obstacle(&self) -> Option<PythonObstacle> {
        if self.walk == StackWalk::Kernel {
            Some(PythonObstacle::KernelStacks)
        } else if self.chain.is_linked() {
            Some(PythonObstacle::NoLoops)
        } else {
            btf::thread_pointer().is_none().then_some(PythonObstacle::NoBtf)
        }
    }

    /// Has stacks from now on tell of an interpreter's frames, or no longer ([`PythonWalk::None`]). To be called
    /// again where the target has replaced its image. Stacks that are known stay as they are.
    ///
    /// Waits until no program is at work any more that knew it otherwise.
    ///
    /// # Errors
    ///
    /// Where it is not fit to be used, which [`Kernel::python_obstacle`] or [`is_fit`] tell, or the map can't be
    /// written.
    pub fn set_python(&mut self, config: &PythonConfig) -> Result<(), BpfError> {
        if config.walk != PythonWalk::None as u32 {
            if let Some(source) = self.python_obstacle() {
                return Err(BpfError::Python { source });
            }
            if !is_fit(config) {
                return Err(BpfError::PythonOffsets);
            }
        }
        if self.python == *config {
            return Ok(());
        }
        // A program copies nothing: it must not read half of one and half of the other.
        if self.python.walk != PythonWalk::None as u32 {
            self.write_python(PythonConfig { walk: PythonWalk::None as u32, ..self.python })?;
            self.settler.settle();
        }
        // Who counts them in this image has yet to be set.
        self.write_python_frees(1, 0)?;
        self.write_python(PythonConfig { walk: PythonWalk::None as u32, ..*config })?;
        self.write_python(*config)
    }

    /// Checksums of code objects may be remembered from now on, as their ends are counted.
    pub(super) fn remember_python_code(&mut self) -> Result<(), BpfError> {
        let frees =
            self.maps.python_frees.get(&0, 0).map_err(BpfError::map(names::PYTHON_FREES))?;
        // Another number than before: what was remembered of another image's is void.
        self.write_python_frees(0, frees + 1)?;
        self.write_python_frees(1, 1)
    }

    /// Checksums of code objects may not be remembered any more: their ends go unheard.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn distrust_python_code(&mut self) -> Result<(), BpfError> {
        self.write_python_frees(1, 0)
    }

    fn write_python_frees(&mut self, index: u32, value: u64) -> Result<(), BpfError> {
        let written = self.maps.python_frees.set(index, value, 0);
        written.map_err(BpfError::map(names::PYTHON_FREES))
    }

    fn write_python(&mut self, config: PythonConfig) -> Result<(), BpfError> {
        self.maps.python.set(0, config, 0).map_err(BpfError::map(names::PYTHON))?;
        self.python = config;
        Ok(())
    }
}

/// Whether the kernel side can follow these offsets: of a frame it reads 120 bytes at most, of a code object
/// [`PYTHON_CODE_BYTES`].
pub fn is_fit(config: &PythonConfig) -> bool {
    const FRAME_BYTES: u32 = 120;
    const MAX_TEXT_HEAD: u32 = 128;
    let words = [config.previous, config.code, config.instruction];
    let members = [config.file, config.name, config.line_table];
    let texts = [config.ascii, config.compact];
    words.iter().all(|offset| offset % 8 == 0 && offset + 8 <= FRAME_BYTES)
        && config.owner < FRAME_BYTES
        && members.iter().all(|at| at % 8 == 0 && *at as usize + 8 <= PYTHON_CODE_BYTES)
        && texts.iter().all(|at| *at <= MAX_TEXT_HEAD)
        && (PythonWalk::Each as u32..=PythonWalk::Shim as u32).contains(&config.walk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_beyond_what_is_read_are_refused() {
        let fit = PythonConfig {
            walk: PythonWalk::Each as u32,
            previous: 24,
            code: 32,
            instruction: 96,
            ..PythonConfig::default()
        };
        assert!(is_fit(&fit));
        assert!(!is_fit(&PythonConfig { walk: 9, ..fit }));
        assert!(!is_fit(&PythonConfig { code: 120, ..fit }));
        assert!(!is_fit(&PythonConfig { previous: 25, ..fit }));
        assert!(!is_fit(&PythonConfig { owner: 120, ..fit }));
        assert!(is_fit(&PythonConfig { line_table: 136, ..fit }));
        assert!(!is_fit(&PythonConfig { line_table: 144, ..fit }));
        assert!(!is_fit(&PythonConfig { name: 12, ..fit }));
        assert!(!is_fit(&PythonConfig { ascii: 4096, ..fit }));
    }
}
