//! What a check found.

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// memtrace works, but less well.
    Warn,
    /// memtrace does not work.
    Bad,
}

/// The answer of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub state: State,
    /// What it is like; further lines are details.
    pub detail: String,
    /// What mends it: where there is one, a command.
    pub remedy: Option<String>,
}

impl Finding {
    /// Nothing to mend.
    pub fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, state: State::Ok, detail: detail.into(), remedy: None }
    }

    /// Something that costs quality.
    pub fn warn(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, state: State::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// Something that must be mended first.
    pub fn bad(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, state: State::Bad, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

impl Finding {
    /// An error, which says itself what mends it.
    pub(super) fn error(what: &'static str, error: &dyn std::error::Error) -> Self {
        Self { what, state: State::Bad, detail: chain(error), remedy: None }
    }
}

/// An error and its causes, as `main` would print them.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    let mut text = error.to_string();
    for cause in causes.map(ToString::to_string) {
        // Transparent wrappers say the same as what they wrap.
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
