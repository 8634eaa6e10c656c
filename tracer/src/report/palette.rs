//! Colours. They stand beside the text and never in place of it.

use anstyle::{AnsiColor, Style};

/// A style for each part of a report that has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// Headings.
    pub heading: Style,
    /// What grew.
    pub grew: Style,
    /// Source lines and call chains.
    pub faint: Style,
    /// Incomplete data.
    pub warning: Style,
}

impl Palette {
    /// No styles at all: bare text.
    pub const fn plain() -> Self {
        let none = Style::new();
        Self { heading: none, grew: none, faint: none, warning: none }
    }

    /// The terminal's own colours.
    pub const fn colour() -> Self {
        Self {
            heading: Style::new().bold(),
            grew: AnsiColor::Red.on_default(),
            faint: Style::new().dimmed(),
            warning: AnsiColor::Yellow.on_default().bold(),
        }
    }
}
