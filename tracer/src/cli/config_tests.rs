//! Command lines, and what they mean.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, time::Duration};

use clap::Parser as _;

use super::{
    Arguments, MarkFunction, Output, PythonObjects, Request, Target, TraceConfig, UsageError,
    config::{DEFAULT_INTERVAL, DEFAULT_MAX_ITERATIONS},
};
use crate::gates::Gates;

fn config(line: &str) -> Result<TraceConfig, UsageError> {
    let arguments = Arguments::try_parse_from(line.split_whitespace());
    match Request::resolve(arguments.unwrap_or_else(|error| panic!("{line}: {error}")))? {
        Request::Trace(config) => Ok(*config),
        Request::Doctor(_) | Request::Diff(_) => panic!("{line}: traces nothing"),
    }
}

fn resolved(line: &str) -> TraceConfig {
    config(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn attaching_marks_by_the_clock_and_ends_by_itself() {
    let config = resolved("memtrace --pid 1");
    assert_eq!((config.interval, config.iterations), (Some(DEFAULT_INTERVAL), Some(5)));
    assert_eq!(config.output, Output::Stdout);
}

#[test]
fn a_mark_function_replaces_the_clock() {
    let config = resolved("memtrace --pid 1 --mark-fn f@libx.so");
    assert_eq!((config.interval, config.iterations), (None, None));
    let object = Some("libx.so".to_owned());
    assert_eq!(config.mark_fn, Some(MarkFunction { symbol: "f".to_owned(), object }));
    let both = resolved("memtrace --pid 1 --mark-fn f -i 2s");
    assert_eq!((both.interval, both.iterations), (Some(Duration::from_secs(2)), Some(5)));
}

#[test]
fn so_does_a_script() {
    let config = resolved("memtrace --pid 1 --control fifo:a,b");
    assert_eq!((config.interval, config.iterations), (None, None));
    assert!(config.control.is_some());
    let both = resolved("memtrace --pid 1 --control fifo:a -i 2s");
    assert_eq!((both.interval, both.iterations), (Some(Duration::from_secs(2)), Some(5)));
    assert!(config_error("memtrace --pid 1 --control a,b").contains("fifo:CTL"));
}

#[test]
fn so_does_a_target_that_marks_by_itself() {
    let marking = |line| resolved(line).for_marking_target();
    let config = marking("memtrace --pid 1");
    assert_eq!((config.interval, config.iterations), (None, None));
    assert_eq!(marking("memtrace --pid 1 -n 7").iterations, Some(7));
    assert_eq!(marking("memtrace --pid 1 --until-stable").iterations, Some(100));
    let asked = marking("memtrace --pid 1 -i 2s");
    assert_eq!((asked.interval, asked.iterations), (Some(Duration::from_secs(2)), Some(5)));
}

#[test]
fn a_function_of_python_marks_under_exec_only() {
    let config = resolved("memtrace exec --mark-py shop:Cart.add --mark-every 3 -- python3 x.py");
    let function = config.mark_py.as_ref().expect("given");
    assert_eq!((function.module.as_str(), function.function.as_str()), ("shop", "Cart.add"));
    assert_eq!((config.mark_every, config.expects_marks()), (3, true));
    assert_eq!(resolved("memtrace exec --mark-fn f -- ls").mark_every, 1);
    assert!(config_error("memtrace exec --mark-py shop -- ls").contains("MODULE:FUNCTION"));
    assert!(config_error("memtrace --pid 1 --mark-every 2").contains("add --mark-fn SYMBOL"));
    assert!(config_error("memtrace exec --mark-py a:b --runs 2 -- ls").contains("--mark-py"));
    assert!(Arguments::try_parse_from("memtrace --pid 1 --mark-py a:b".split(' ')).is_err());
}

#[test]
fn a_command_is_one_iteration_and_keeps_its_stdout() {
    for line in ["memtrace exec -- ls -l", "memtrace exec ls -l"] {
        let config = resolved(line);
        let command = vec!["ls".into(), "-l".into()];
        assert_eq!(config.target, Target::Exec { command, as_root: false });
        assert_eq!((config.interval, config.iterations), (None, None));
        assert_eq!(config.output, Output::Stderr);
    }
    assert_eq!(resolved("memtrace exec -o - -- ls").output, Output::Stdout);
}

#[test]
fn runs_are_iterations_and_the_first_is_the_baseline() {
    assert_eq!(resolved("memtrace exec -- ls").runs, 1);
    let config = resolved("memtrace exec --runs 5 -- ls");
    assert_eq!((config.runs, config.warmup), (5, 1));
    assert_eq!(resolved("memtrace exec --runs 5 -w 3 -- ls").warmup, 3);
    assert_eq!(resolved("memtrace exec --runs 1 -i 1s -- ls").warmup, 0, "one run is plain");
    for (option, named) in
        [("-i 1s", "--interval"), ("--mark-fn f", "--mark-fn"), ("-n 3", "--iterations")]
    {
        let error = config_error(&format!("memtrace exec --runs 2 {option} -- ls"));
        assert!(error.contains(named), "{error}");
    }
    assert!(config_error("memtrace exec --runs 2 -w 2 -- ls").contains("at least 3 runs"));
}

#[test]
fn until_stable_has_its_own_end() {
    let config = resolved("memtrace --pid 1 --until-stable");
    assert_eq!((config.until_stable, config.iterations), (true, Some(DEFAULT_MAX_ITERATIONS)));
    let config = resolved("memtrace exec --until-stable --max-iterations 7 -i 1s -- ls");
    assert_eq!(config.iterations, Some(7));
    let config = resolved("memtrace exec --until-stable --runs 9 -- ls");
    assert_eq!((config.iterations, config.runs), (None, 9));
    assert!(config_error("memtrace exec --until-stable -- ls").contains("--mark-fn"));
}

#[test]
fn sizes_are_read_as_people_write_them() {
    let config = resolved("memtrace --pid 1 --min-size 10k --max-size 10MiB");
    assert_eq!((config.min_size, config.max_size), (10_000, 10 << 20));
    assert!(config_error("memtrace --pid 1 --min-size 2MB --max-size 1MB").contains("--min-size"));
    assert!(config_error("memtrace --pid 1 --mark-fn @x").contains("--mark-fn"));
}

#[test]
fn gates_are_sizes_and_a_baseline_is_for_gates() {
    let config = resolved(
        "memtrace --pid 1 --fail-on-growth 10KiB --fail-on-growth-per-stack 0 --baseline b.json",
    );
    assert_eq!(config.judging.gates(), Gates { total: Some(10 << 10), per_stack: Some(0) });
    let settings = serde_json::to_value(&config).expect("settings are JSON");
    assert_eq!(settings["fail_on_growth"], 10 << 10);
    assert_eq!(settings["baseline"], "b.json");
    assert!(config_error("memtrace --pid 1 --baseline b.json").contains("--fail-on-growth"));
}

#[test]
fn a_path_that_is_no_text_leaves_the_settings_whole() {
    let path = OsString::from_vec(b"s-\xff".to_vec());
    let words = ["memtrace", "--pid", "1", "--suppressions"].map(Into::into);
    let arguments = Arguments::try_parse_from(words.into_iter().chain([path]));
    let Ok(Ok(Request::Trace(config))) = arguments.map(Request::resolve) else {
        panic!("the arguments are right")
    };
    let settings = serde_json::to_value(&*config).expect("settings are JSON");
    assert_eq!(settings["suppressions"], "s-\u{fffd}");
}

#[test]
fn a_command_s_objects_are_counted_and_a_service_is_not_slowed_down() {
    let objects = |line| resolved(line).python_objects;
    assert_eq!(objects("memtrace exec -- python3"), PythonObjects::Exact);
    assert_eq!(objects("memtrace --pid 1"), PythonObjects::Classes);
    assert_eq!(objects("memtrace --pid 1 --python-objects off"), PythonObjects::Off);
    assert_eq!(objects("memtrace --pid 1 --python-objects exact"), PythonObjects::Exact);
    assert_eq!(objects("memtrace exec --python-objects off -- python3"), PythonObjects::Off);
    let classes = "memtrace exec --python-objects classes -- python3";
    assert_eq!(objects(classes), PythonObjects::Classes);
}

#[test]
fn force_is_for_files() {
    for line in ["--pid 1 --force", "--pid 1 --force -o -", "exec --force -- ls"] {
        let error = config_error(&format!("memtrace {line}"));
        assert!(error.contains("--junit FILE"), "{error}");
    }
    assert!(resolved("memtrace --pid 1 --force --junit j.xml").judging.force);
    resolved("memtrace --pid 1 --force -o report");
}

fn config_error(line: &str) -> String {
    config(line).map_or_else(|error| error.to_string(), |_| panic!("{line} was taken"))
}

#[test]
fn the_definition_holds_together() {
    use clap::CommandFactory as _;
    Arguments::command().debug_assert();
}
