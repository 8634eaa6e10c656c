//! When the target stands still until we let it go on.

use crate::cli::{Target, TraceConfig};

/// What stops it.
#[derive(Debug)]
pub(super) struct Holds {
    /// Each change of its list of objects.
    pub(super) at_objects: bool,
    /// Each new image: a process that is ours alone may be stopped for a moment, so that each of them is traced from its
    /// start.
    pub(super) at_images: bool,
    /// Whether the dynamic linker has yet to load a held image's objects.
    is_image_new: bool,
}

impl Holds {
    /// What was asked for.
    pub(super) fn of(config: &TraceConfig) -> Self {
        let at_images = matches!(config.target, Target::Exec { .. });
        Self { at_objects: config.sync_dlopen, at_images, is_image_new: false }
    }

    /// Whether there is anything that stops it.
    pub(super) fn any(&self) -> bool {
        self.at_objects || self.at_images
    }

    /// It replaced its image. Gives whether it stands still.
    pub(super) fn image_replaced(&mut self) -> bool {
        self.is_image_new = self.at_images;
        self.at_images
    }

    /// Its list of objects changed; `all_loaded` says whether that was the last change before its program begins, or
    /// a later one. Gives whether it stands still.
    pub(super) fn objects_changed(&mut self, all_loaded: bool) -> bool {
        let is_held = self.at_objects || self.is_image_new;
        self.is_image_new &= !all_loaded;
        is_held
    }
}
