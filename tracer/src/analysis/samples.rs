//! Frames for tests.

use crate::symbolize::{Frame, Language};

/// A frame of `/usr/bin/app` without line information, 0x10 into `function`.
pub(crate) fn frame(function: &str) -> Frame {
    Frame {
        function: (!function.is_empty()).then(|| function.to_owned()),
        module: "/usr/bin/app".to_owned(),
        address: 0x1234,
        offset: 0x10,
        file: None,
        line: None,
        source: None,
        inlined: false,
        language: Language::Native,
    }
}

/// The same with a line.
pub(crate) fn at(function: &str, file: &str, line: u32) -> Frame {
    Frame { file: Some(file.to_owned()), line: Some(line), ..frame(function) }
}

/// The same in another object.
pub(crate) fn within(module: &str, function: &str) -> Frame {
    Frame { module: module.to_owned(), ..frame(function) }
}
