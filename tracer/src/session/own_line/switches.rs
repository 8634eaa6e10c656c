//! Switches of Python's command line that keep `--mark-py` from working, known before the program runs.

use crate::python::switches;

/// A switch, by what it keeps from being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch(char);

impl Switch {
    /// What to say.
    pub(super) fn reason(self) -> String {
        let Self(letter) = self;
        let ignores = if letter == 'S' { "sitecustomize" } else { "PYTHONPATH" };
        format!(
            "Python's switch -{letter} makes it ignore {ignores}, so no marks will be made; leave it out, or mark in the program with python/memtrace.py"
        )
    }
}

/// The first such switch of a command, if it is Python's: as it is executed, with the interpreter of its `#!` line.
pub(super) fn keeps_hook_off(command: &[String]) -> Option<Switch> {
    let (program, arguments) = command.split_first()?;
    let name = program.rsplit('/').next().unwrap_or_default();
    if !name.starts_with("python") && !name.starts_with("pypy") {
        return None;
    }
    let letters = switches(arguments.iter().map(String::as_bytes));
    letters.into_iter().map(char::from).find(|letter| matches!(letter, 'I' | 'E' | 'S')).map(Switch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<char> {
        let command: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        keeps_hook_off(&command).map(|Switch(letter)| letter)
    }

    #[test]
    fn before_the_program_only() {
        assert_eq!(found("/usr/bin/python3 -I app.py"), Some('I'));
        assert_eq!(found("python3 -bE app.py"), Some('E'));
        assert_eq!(found("python3 -u -X dev -WS -S app.py"), Some('S'));
        assert_eq!(found("python3.12 -Xdev -Werror app.py -I"), None);
        assert_eq!(found("python3 -m app -E"), None);
        assert_eq!(found("python3 -uc print() -I"), None);
        assert_eq!(found("python3 --check-hash-based-pycs always -I app.py"), Some('I'));
        assert_eq!(found("python3 - -I"), None);
        assert_eq!(found("python3"), None);
        assert_eq!(found("ls -I x"), None);
        assert_eq!(found(""), None);
    }
}
