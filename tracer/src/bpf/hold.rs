//! Having the target wait for user space: at what it loads, and where there is no room for what it does.

use tracer_common::{ROOM_HELD, ROOM_ROWS, names};

use super::{BpfError, Kernel};

impl Kernel {
    /// Has the target stopped, from now on or no longer, whenever its dynamic linker has changed its list of
    /// objects. Whoever asks for it lets it go on, with SIGCONT, after each [`Event::Objects`]. When recording
    /// stops, this does, too.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    ///
    /// [`Event::Objects`]: super::Event::Objects
    pub fn sync_objects(&mut self, stop: bool) -> Result<(), BpfError> {
        self.control.sync_objects = stop.into();
        self.write_control()?;
        if !stop {
            self.settler.settle();
        }
        Ok(())
    }

    /// Has the target stopped, from now on or no longer, at each `execve`, and again when the dynamic linker has loaded
    /// what the new image was linked with. Whoever asks for it lets it go on, with SIGCONT, after each
    /// [`Event::Exec`], and once after that when [`KernelState::new_image`] is 0. When recording stops, this does, too.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    ///
    /// [`Event::Exec`]: super::Event::Exec
    /// [`KernelState::new_image`]: tracer_common::KernelState::new_image
    pub fn hold_images(&mut self, hold: bool) -> Result<(), BpfError> {
        self.control.hold_images = hold.into();
        self.write_control()?;
        if !hold {
            self.settler.settle();
        }
        Ok(())
    }

    /// Has epochs drained when they have so many rows; a target that may be held ([`Kernel::hold_images`]) waits for that, and
    /// for room in the ring buffer. Whoever asks for it looks at [`Kernel::is_full`] and [`Kernel::was_held`] whenever
    /// events have come in.
    ///
    /// # Errors
    ///
    /// Where the map can't be written.
    pub fn hold_when_full(&mut self, most_rows: u32) -> Result<(), BpfError> {
        self.control.most_rows = most_rows;
        self.write_control()
    }

    /// Whether there are so many rows that it is time for [`UserMark::Full`].
    ///
    /// # Errors
    ///
    /// Where the map can't be read.
    ///
    /// [`UserMark::Full`]: super::UserMark::Full
    pub fn is_full(&self) -> Result<bool, BpfError> {
        let most = u64::from(self.control.most_rows);
        Ok(most != 0 && self.room(ROOM_ROWS)? >= most)
    }

    /// Whether the target was stopped until user space has caught up. It is to be let go on then, with SIGCONT. Asked after
    /// [`Kernel::drain`] has drained something, it misses nobody who stopped it for the rows that were drained.
    ///
    /// # Errors
    ///
    /// Where the map can't be read or written.
    pub fn was_held(&mut self) -> Result<bool, BpfError> {
        let is_held = self.control.most_rows != 0 && self.room(ROOM_HELD)? != 0;
        if is_held {
            self.clear_room(ROOM_HELD)?;
        }
        Ok(is_held)
    }

    fn room(&self, word: u32) -> Result<u64, BpfError> {
        self.maps.room.get(&word, 0).map_err(BpfError::map(names::ROOM))
    }

    /// The rows that were there are drained.
    pub(super) fn rows_are_drained(&mut self) -> Result<(), BpfError> {
        if self.control.most_rows == 0 { Ok(()) } else { self.clear_room(ROOM_ROWS) }
    }

    fn clear_room(&mut self, word: u32) -> Result<(), BpfError> {
        self.maps.room.set(word, 0, 0).map_err(BpfError::map(names::ROOM))
    }
}
