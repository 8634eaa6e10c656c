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
    /// a later one. Gives whether it stands still: who lets it go on without need may take back the stop that it is just
    /// coming to.
    pub(super) fn objects_changed(&mut self, all_loaded: bool) -> bool {
        let is_held = self.at_objects || (self.is_image_new && all_loaded);
        self.is_image_new &= !all_loaded;
        is_held
    }
}

#[cfg(test)]
mod tests {
    use super::Holds;

    fn holds(at_objects: bool, at_images: bool) -> Holds {
        Holds { at_objects, at_images, is_image_new: false }
    }

    #[test]
    fn an_image_is_let_go_on_once_when_all_is_loaded() {
        let mut holds = holds(false, true);
        assert!(!holds.objects_changed(true), "the command's own, which `ptrace` held");
        for _ in 0..2 {
            assert!(holds.image_replaced());
            assert!(!holds.objects_changed(false), "the linker begins, and goes on by itself");
            assert!(holds.objects_changed(true));
            assert!(!holds.objects_changed(true), "a library of its own");
        }
    }

    #[test]
    fn each_change_is_held_where_that_is_asked_for() {
        let mut holds = holds(true, false);
        assert!(!holds.image_replaced());
        assert!(holds.objects_changed(false));
        assert!(holds.objects_changed(true));
    }
}
