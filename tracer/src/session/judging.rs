//! Gates and the files for a pipeline. What they need is read and opened before the run, so that a bad path fails at
//! once; at the end they are written whatever came of the run.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use super::{SessionError, sink};
use crate::{
    cli::{Exit, JudgingConfig, Target, TraceConfig},
    compare::Recording,
    gates::{Gates, Ruling},
    report::{self, Judging, Report},
    suppressions::Suppressions,
};

/// What is to be made of growth, ready for the end of the run.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) suppressions: Suppressions,
    gates: Gates,
    baseline: Option<Recording>,
    junit: Option<(PathBuf, File)>,
    summary: Option<(PathBuf, File)>,
    strict: bool,
    marks_expected: bool,
    /// Measured iterations that were asked for.
    wanted: Option<u64>,
    /// How memtrace's own failure is called.
    failed: Exit,
}

impl Judge {
    /// Reads the baseline and the suppressions, and opens the files.
    ///
    /// # Errors
    ///
    /// Where one of these can't be done.
    pub(super) fn open(config: &TraceConfig) -> Result<Self, SessionError> {
        let JudgingConfig { baseline, suppressions, junit, summary_file, force, .. } =
            &config.judging;
        // First of all: it is to say so if anything fails from here on.
        let junit = junit.as_deref().map(|path| open_junit(path, *force)).transpose()?;
        let baseline = baseline.as_deref().map(Recording::read).transpose()?;
        if let Some(baseline) = &baseline {
            warn_of(baseline, config);
        }
        let suppressions = suppressions.as_deref().map(Suppressions::read).transpose()?;
        Ok(Self {
            suppressions: suppressions.unwrap_or_default(),
            gates: config.judging.gates(),
            baseline,
            junit,
            summary: summary_file.as_deref().map(open_summary).transpose()?,
            strict: config.strict,
            marks_expected: config.expects_marks(),
            wanted: config.iterations,
            failed: match config.target {
                Target::Pid(_) => Exit::Failed,
                Target::Exec { .. } => Exit::ExecFailed,
            },
        })
    }

    /// The same for a configuration that has been changed as to marks and iterations.
    pub(super) fn for_marks_of(mut self, config: &TraceConfig) -> Self {
        self.marks_expected = config.expects_marks();
        self.wanted = config.iterations;
        self
    }

    /// For the report.
    pub(super) fn judging(&self) -> Judging<'_> {
        Judging {
            suppressions: self.suppressions.all(),
            gates: self.gates,
            marks_expected: self.marks_expected,
            baseline: self.baseline.as_ref(),
        }
    }

    /// Says what the gates say, writes the files, and makes the exit code of it all: incomplete data before what the
    /// gates made of it, as it proves nothing either way.
    ///
    /// # Errors
    ///
    /// Where a file can't be written.
    pub(super) fn conclude(&self, report: &Report<'_>) -> Result<Exit, SessionError> {
        let complete = report.all_recorded();
        self.tell(report);
        // Each is written, whatever became of the other.
        let junit = self.junit.as_ref().map_or(Ok(()), |(path, file)| {
            rewrite(file, &report::junit(report, self.strict)).map_err(|e| unwritten(path, e))
        });
        let summary = self.summary.as_ref().map_or(Ok(()), |(path, file)| {
            let mut file = file;
            let written = file.write_all(&report::summary(report, self.strict));
            written.map_err(|error| unwritten(path, error))
        });
        junit.and(summary)?;
        let ruled = |ruling| report.gates.iter().any(|outcome| outcome.result == ruling);
        Ok(match () {
            () if self.strict && !complete => Exit::Incomplete,
            () if ruled(Ruling::Undecided) => self.failed,
            () if ruled(Ruling::Tripped) => Exit::Growth,
            () => Exit::Done,
        })
    }

    fn tell(&self, report: &Report<'_>) {
        for outcome in &report.gates {
            if outcome.result == Ruling::Passed {
                tracing::info!("{}", report::gate_line(outcome));
            } else {
                tracing::error!("{}", report::gate_line(outcome));
            }
        }
        let Some(judged) = report.gates.first().map(|outcome| outcome.iterations) else { return };
        if !report.all_recorded() && !self.strict {
            tracing::warn!("the gates judged incomplete data; --strict makes a failure of that");
        }
        if let Some(wanted) = self.wanted.filter(|wanted| judged < *wanted) {
            tracing::warn!(
                "the gates judged {judged} of the {wanted} iterations that were asked for"
            );
        }
    }
}

/// Growth of other blocks, or from other marks, is no measure for this run's.
fn warn_of(baseline: &Recording, config: &TraceConfig) {
    let path = baseline.path.display();
    let settings = serde_json::to_value(config).unwrap_or_default();
    let others = baseline.different_settings(&settings);
    if !others.is_empty() {
        let names = others.join(", ");
        tracing::warn!(
            "--baseline {path} was recorded with other settings, which growth depends on: {names}"
        );
    }
    if !baseline.complete {
        tracing::warn!("--baseline {path} is of incomplete data");
    }
}

fn open_junit(path: &Path, force: bool) -> Result<(PathBuf, File), SessionError> {
    let file = sink::open_file(path, force)?;
    rewrite(&file, &report::junit_unfinished()).map_err(|error| unwritten(path, error))?;
    Ok((path.to_owned(), file))
}

fn open_summary(path: &Path) -> Result<(PathBuf, File), SessionError> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    Ok((path.to_owned(), file.map_err(|error| unwritten(path, error))?))
}

fn rewrite(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(bytes)
}

fn unwritten(path: &Path, source: io::Error) -> SessionError {
    SessionError::Output { path: path.to_owned(), source }
}
