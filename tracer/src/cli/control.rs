//! `--control fifo:CTL[,ACK]`: where a script's words come from and answers go.

use std::path::PathBuf;

use serde::Serialize;

use super::UsageError;

/// Two FIFOs, as typed; nothing is opened yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlFifos {
    /// Where words are read from.
    pub control: PathBuf,
    /// Where answers go; `None`: nowhere.
    pub ack: Option<PathBuf>,
}

impl ControlFifos {
    /// Reads the option's value. A path with a comma in it can't be written.
    ///
    /// # Errors
    ///
    /// Where it has another form, or names one FIFO for both.
    pub(super) fn parse(text: &str) -> Result<Self, UsageError> {
        let wrong = || UsageError::Control { text: text.to_owned() };
        let paths = text.strip_prefix("fifo:").ok_or_else(wrong)?;
        let (control, ack) = match paths.split_once(',') {
            Some((control, ack)) => (control, Some(ack)),
            None => (paths, None),
        };
        if control.is_empty() || ack.is_some_and(|ack| ack.is_empty() || ack == control) {
            return Err(wrong());
        }
        Ok(Self { control: control.into(), ack: ack.map(PathBuf::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fifo_or_two() {
        let both = ControlFifos::parse("fifo:/tmp/ctl,/tmp/ack").expect("two paths");
        assert_eq!((both.control, both.ack), ("/tmp/ctl".into(), Some("/tmp/ack".into())));
        let one = ControlFifos::parse("fifo:ctl").expect("one path");
        assert_eq!((one.control, one.ack), ("ctl".into(), None));
    }

    #[test]
    fn what_else_may_be_typed_is_refused() {
        for text in ["", "ctl", "fd:3,4", "fifo:", "fifo:,ack", "fifo:ctl,", "fifo:a,a"] {
            let error = ControlFifos::parse(text).expect_err(text).to_string();
            assert!(error.contains("--control") && error.contains("fifo:CTL,ACK"), "{error}");
        }
    }
}
