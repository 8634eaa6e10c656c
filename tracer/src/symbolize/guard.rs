//! Panics over corrupt input, caught without a word on stderr.
//!
//! blazesym indexes and unwraps in places where only well-formed DWARF keeps its promises. A target's debug
//! information is not well-formed by right, so each call into blazesym is made through [`quietly`].

use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `call`; a panic in it becomes its message. What `call` has touched must be thrown away then.
pub(crate) fn quietly<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(
            move |info| if GUARDED.get() { keep(info) } else { others(info) },
        ));
    });
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(outer);
    result.map_err(|_| MESSAGE.take())
}

fn keep(info: &PanicHookInfo<'_>) {
    let what = info.payload_as_str().unwrap_or("panic");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    MESSAGE.set(format!("{what} ({place})"));
}

#[cfg(test)]
mod tests {
    use super::quietly;

    #[test]
    fn a_panic_becomes_its_message() {
        let message = quietly(|| panic!("bad index")).expect_err("it panics");
        assert!(message.starts_with("bad index (") && message.contains("guard.rs"), "{message}");
        assert_eq!(quietly(|| 7), Ok(7));
    }
}
