//! A script drives memtrace through two FIFOs: each word takes effect before it is answered, and whatever else is at the
//! other ends harms nothing.

use std::{
    fs::{self, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use memtrace_tests::{
    ControlFifos, Document, Memtrace, Postgres, Program, Running, Target, cannot_trace, make_fifo,
    skip, until,
};

fn obedient() -> Result<Program> {
    Program::compile("obedient.c", &["-O1", "-fno-builtin"])
}

fn obey(target: &mut Target, line: &str) -> Result<()> {
    target.send(&format!("{line}\n"))?;
    target.expect("done").map(drop)
}

fn attach(target: &Target, fifos: &ControlFifos, arguments: &str) -> Result<Running> {
    let mut memtrace = Memtrace::attach(target.pid())
        .args(arguments)
        .arg("--control")
        .arg(fifos.argument())
        .start()?;
    memtrace.attached()?;
    Ok(memtrace)
}

/// Label and blocks allocated of each iteration that a script ended.
fn batches(report: &Document) -> Vec<(Option<&str>, i64)> {
    let iterations = report.iterations().iter().filter(|i| i["trigger"] == "control");
    iterations.map(|i| (i["label"].as_str(), i["alloc_blocks"].as_i64().unwrap_or(-1))).collect()
}

#[test]
fn each_word_has_its_effect_before_it_is_answered() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    let mut target = obedient()?.start(&[])?;
    let output = format!("--format json -o {}", file.display());
    let memtrace = attach(&target, &fifos, &output)?;
    fifos.say("ping")?;
    for blocks in 1..=20 {
        obey(&mut target, &format!("+ {blocks} 100"))?;
        fifos.say(&format!("snapshot batch {blocks}"))?;
    }
    obey(&mut target, "+ 3 100")?;
    fifos.say("snapshot")?;
    obey(&mut target, "+ 7 100")?;
    fifos.say("stop")?;
    // Answered means written.
    let report = Document::read(&file)?;
    let labels: Vec<_> = (1..=20).map(|blocks| (format!("batch {blocks}"), blocks)).collect();
    let mut expected: Vec<_> =
        labels.iter().map(|(label, blocks)| (Some(label.as_str()), *blocks)).collect();
    expected.push((None, 3));
    assert_eq!(batches(&report), expected);
    assert_eq!(report.counts_of(21)[0], 7, "after the last mark");
    assert!(report.at("/settings/interval_ns").is_null(), "no clock beside it");
    report.assert_ledger_closes();
    memtrace.finish()?.expect_code(0);
    assert!(target.is_running()?);
    Ok(())
}

/// The answer comes after the counters are final and drained: the iteration is in the report by then.
#[test]
fn an_answered_mark_is_in_the_report_already() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report");
    let mut fifos = ControlFifos::make()?;
    let mut target = obedient()?.start(&[])?;
    let output = format!("--debug -o {}", file.display());
    let memtrace = attach(&target, &fifos, &output)?;
    for blocks in 1..=10 {
        obey(&mut target, &format!("+ {blocks} 100"))?;
        fifos.say("snapshot")?;
        let report = fs::read_to_string(&file)?;
        assert_eq!(report.matches("Raw peak usage").count(), blocks, "{report}");
        let live = blocks * (blocks + 1) / 2;
        assert!(report.contains(&format!("  {live} blocks: ")), "{live} blocks, not in {report}");
    }
    fifos.say("stop")?;
    memtrace.finish()?.expect_code(0);
    Ok(())
}

/// What is allocated while recording is disabled is left out and counted; what was recorded before is still seen to go.
#[test]
fn disabled_for_a_while() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    let mut target = Memtrace::new(["exec", "--strict", "--format", "json", "-o"])
        .arg(&file)
        .arg("--control")
        .arg(fifos.argument())
        .arg("--")
        .arg(obedient()?.path())
        .into_target()?;
    target.expect("ready")?;
    // In iterations of their own: what the C library does at the start is none of this.
    fifos.say("snapshot start")?;
    obey(&mut target, "+ 10 100")?;
    fifos.say("disable")?;
    fifos.say("disable")?;
    obey(&mut target, "-")?;
    obey(&mut target, "+ 20 1000")?;
    fifos.say("snapshot disabled")?;
    obey(&mut target, "+ 30 1000")?;
    fifos.say("enable")?;
    obey(&mut target, "-")?;
    obey(&mut target, "+ 5 100")?;
    fifos.say("snapshot enabled")?;
    target.close_input();
    assert_eq!(target.wait()?.code(), Some(0), "complete");
    let report = Document::read(&file)?;
    assert_eq!(report.counts_of(1), [10, 10, 1000, 1000]);
    assert_eq!(report.counts_of(2), [5, 0, 500, 0]);
    assert_eq!(report.number("/ledger/allocs/skipped"), 50);
    assert_eq!(report.number("/ledger/frees/lost/unknown_free"), 50);
    let (line, _) = obedient()?.line_of("what it keeps")?;
    let kept = report.stacks_at(obedient()?.source(), line);
    assert_eq!(kept.iter().map(|stack| stack.number("live_bytes")).sum::<i64>(), 500);
    report.assert_ledger_closes();
    Ok(())
}

/// Under `exec` the report comes with `stop`; the command goes on, untraced, and its status is waited for.
#[test]
fn a_command_goes_on_after_stop() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    let mut fifos = ControlFifos::make()?;
    let mut target = Memtrace::new(["exec", "--mark-fn", "mark_iteration", "--format", "json"])
        .arg("-o")
        .arg(&file)
        .arg("--control")
        .arg(fifos.argument())
        .arg("--")
        .arg(obedient()?.path())
        .into_target()?;
    target.expect("ready")?;
    obey(&mut target, "c")?;
    obey(&mut target, "+ 4 100")?;
    fifos.say("snapshot four")?;
    fifos.say("stop")?;
    let report = Document::read(&file)?;
    assert_eq!(batches(&report), [(Some("four"), 4)]);
    assert_eq!(report.iterations()[0]["trigger"], "mark_fn");
    obey(&mut target, "+ 4 100")?;
    assert!(target.is_running()?);
    assert!(target.wait()?.success());
    Ok(())
}

#[test]
fn what_is_no_fifo_is_refused() -> Result<()> {
    if cannot_trace(&["sleep"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    fs::write(&file, "as it was")?;
    let missing = folder.path().join("missing");
    let fifo = folder.path().join("fifo");
    make_fifo(&fifo)?;
    let with = |control: &Path, ack: &Path| format!("fifo:{},{}", control.display(), ack.display());
    let target = Target::start(std::process::Command::new("sleep").arg("60"))?;
    for (argument, reason) in [
        (with(&missing, &fifo), format!("there is no {0}; make it: mkfifo {0}", missing.display())),
        (with(&fifo, &missing), format!("there is no {0}; make it: mkfifo {0}", missing.display())),
        (with(&file, &fifo), format!("{} is no FIFO", file.display())),
        (with(&fifo, &file), format!("{} is no FIFO", file.display())),
    ] {
        let finished = Memtrace::attach(target.pid()).arg("--control").arg(&argument).run()?;
        finished.expect_code(1);
        assert!(finished.stderr.contains(&reason), "{}", finished.stderr);
        let command = ["exec", "--control", &argument, "--", "touch"];
        let touched = folder.path().join("touched");
        Memtrace::new(command).arg(&touched).run()?.expect_code(125);
        assert!(!touched.exists(), "the command was started all the same");
    }
    assert_eq!(fs::read_to_string(&file)?, "as it was");
    Ok(())
}

#[test]
fn a_hostile_writer_harms_nothing() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut fifos = ControlFifos::make()?;
    let mut target = obedient()?.start(&[])?;
    let memtrace = attach(&target, &fifos, "--format json")?;
    // One that goes away in the middle of a word.
    fifos.writer()?.write_all(b"sto")?;
    assert!(fifos.answer()?.starts_with("error the line has no end"));
    obey(&mut target, "+ 1 100")?;
    fifos.say("snapshot after half a word")?;

    let mut writer = fifos.writer()?;
    writer.write_all(&vec![b'x'; 3 << 20])?;
    writer.write_all(b"\n")?;
    assert!(fifos.answer()?.starts_with("error the line has more than 4096 bytes"));
    writer.write_all(b"\xff\x00\xfe\n")?;
    assert_eq!(fifos.answer()?, "error the line is not UTF-8");
    writer.write_all(b"\x00snapshot\n\x1b[2J\n\n\r\n   \n")?;
    for _ in 0..2 {
        let answer = fifos.answer()?;
        assert!(answer.starts_with("error unknown word \"\\"), "{answer}");
    }
    writer.write_all(b"snapshot \x1b]0;title\x07\nstop it\n")?;
    assert!(fifos.answer()?.starts_with("error a label has"));
    assert_eq!(fifos.answer()?, "error stop takes no argument");
    obey(&mut target, "+ 2 100")?;
    // In pieces, and from two writers at once.
    for byte in b"snapshot in pieces" {
        writer.write_all(&[*byte])?;
    }
    writer.write_all(b"\n")?;
    assert_eq!(fifos.answer()?, "ack");
    let mut other = fifos.writer()?;
    drop(writer);
    other.write_all(b"ping\n")?;
    assert_eq!(fifos.answer()?, "ack");
    drop(other);
    fifos.say("stop")?;
    let finished = memtrace.finish()?;
    assert!(finished.stderr.contains("--control: unknown word"), "{}", finished.stderr);
    assert!(!finished.stderr.contains('\x1b'), "what was written is not printed as it is");
    let report = finished.document()?;
    assert_eq!(batches(&report), [(Some("after half a word"), 1), (Some("in pieces"), 2)]);
    report.assert_ledger_closes();
    Ok(())
}

/// More words than memtrace can keep up with, all of them marks: each is answered in its order.
#[test]
fn a_flood_of_marks() -> Result<()> {
    const MARKS: usize = 5_000;
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut fifos = ControlFifos::make()?;
    let mut target = obedient()?.start(&[])?;
    let memtrace = attach(&target, &fifos, "--format json")?;
    let mut writer = fifos.writer()?;
    let flood = std::thread::spawn(move || {
        let words: Vec<_> = (1..=MARKS).map(|number| format!("snapshot {number}\n")).collect();
        writer.write_all(words.concat().as_bytes())
    });
    for blocks in 0..20 {
        obey(&mut target, &format!("+ {blocks} 100"))?;
    }
    for _ in 0..MARKS {
        assert_eq!(fifos.answer()?, "ack");
    }
    flood.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    fifos.say("stop")?;
    let report = memtrace.finish()?.document()?;
    let labels: Vec<_> = batches(&report).iter().filter_map(|(label, _)| *label).collect();
    assert!(
        labels.into_iter().eq((1..=MARKS).map(|number| number.to_string()).collect::<Vec<_>>())
    );
    assert_eq!(report.counts()[0], (0..20).sum::<i64>());
    report.assert_ledger_closes();
    Ok(())
}

/// Nobody takes the answers out of their pipe: they are dropped and counted, and the trace goes on.
#[test]
fn answers_that_nobody_reads() -> Result<()> {
    const WORDS: usize = 20_000;
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let [control, ack] = ["ctl", "ack"].map(|name| folder.path().join(name));
    make_fifo(&control)?;
    make_fifo(&ack)?;
    let mut target = obedient()?.start(&[])?;
    let mut memtrace = Memtrace::attach(target.pid())
        .args("--format json --control")
        .arg(format!("fifo:{},{}", control.display(), ack.display()))
        .start()?;
    memtrace.attached()?;
    let mut writer = OpenOptions::new().write(true).open(&control)?;
    writer.write_all("ping\n".repeat(WORDS).as_bytes())?;
    obey(&mut target, "+ 9 100")?;
    writer.write_all(b"snapshot unread\nstop\n")?;
    let finished = memtrace.finish()?;
    let report = finished.document()?;
    assert_eq!(batches(&report), [(Some("unread"), 9)]);
    let dropped = finished.stderr.lines().find(|line| line.contains("were dropped"));
    let dropped = dropped.context("nothing was dropped")?;
    let count = dropped.split_whitespace().find_map(|word| word.parse::<usize>().ok());
    assert!(count.is_some_and(|count| count > 0 && count < WORDS), "{dropped}");
    Ok(())
}

/// A reader of the answers that waits when the target ends is not left waiting.
#[test]
fn the_target_s_end_is_told() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let [control, ack] = ["ctl", "ack"].map(|name| folder.path().join(name));
    make_fifo(&control)?;
    make_fifo(&ack)?;
    let mut target = obedient()?.start(&[])?;
    let mut memtrace = Memtrace::attach(target.pid())
        .arg("--control")
        .arg(format!("fifo:{},{}", control.display(), ack.display()))
        .start()?;
    // Its reader waits in the open until memtrace is there, and then for the end.
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        OpenOptions::new().read(true).open(&ack)?.read_to_string(&mut said)?;
        anyhow::Ok(said)
    });
    memtrace.attached()?;
    let mut writer = OpenOptions::new().write(true).open(&control)?;
    writer.write_all(b"ping\n")?;
    target.close_input();
    target.wait()?;
    memtrace.reports("measured iteration")?;
    memtrace.finish()?.expect_code(0);
    until("the reader has come to the end", || reader.is_finished())?;
    let said = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    assert!(["ack\n", "error the trace has ended\n"].contains(&said.as_str()), "{said}");
    Ok(())
}

/// A real server, one mark for each batch of requests.
#[test]
fn batches_of_queries_to_postgres() -> Result<()> {
    const BATCHES: usize = 8;
    if cannot_trace(&["setpriv"]) {
        return Ok(());
    }
    let Some(mut postgres) = Postgres::start()? else {
        skip("PostgreSQL is not installed");
        return Ok(());
    };
    let mut fifos = ControlFifos::make()?;
    let mut memtrace = Memtrace::attach(postgres.backend)
        .args("--warmup 2 --format json --control")
        .arg(fifos.argument())
        .start()?;
    memtrace.attached()?;
    // Every third batch also prepares statements, which the server keeps.
    for batch in 1..=BATCHES {
        for query in 0..20 {
            let rows = 100 + query;
            postgres.client.send(&format!(
                "SELECT sum(length(repeat(md5(i::text), 20))) FROM generate_series(1, {rows}) i;\n"
            ))?;
            if batch % 3 == 0 {
                postgres.client.send(&format!("PREPARE p{batch}_{query} AS SELECT $1::int;\n"))?;
            }
        }
        postgres.client.send(&format!("SELECT 'end of {batch}';\n"))?;
        postgres.client.expect(&format!("end of {batch}"))?;
        fifos.say(&format!("snapshot batch {batch}"))?;
    }
    fifos.say("stop")?;
    let report = memtrace.finish()?.document()?;
    postgres.end()?;
    let labels: Vec<_> = batches(&report).iter().filter_map(|(label, _)| *label).collect();
    assert!(labels.into_iter().eq((1..=BATCHES).map(|b| format!("batch {b}")).collect::<Vec<_>>()));
    for (index, (label, blocks)) in batches(&report).into_iter().enumerate() {
        assert!(blocks > 0, "{label:?}");
        assert_eq!(report.iterations()[index]["warmup"], index < 2, "{label:?}");
    }
    // Statements are kept until the session ends: so live memory steps up with each batch that prepares some, and
    // only there.
    let live: Vec<_> = report
        .iterations()
        .iter()
        .filter(|i| i["trigger"] == "control")
        .map(|i| i["live_bytes"].as_i64().unwrap_or_default())
        .collect();
    for batch in 4..=BATCHES {
        let step = live[batch - 1] - live[batch - 2];
        assert_eq!(step > 20 * 1024, batch % 3 == 0, "batch {batch}: {live:?}");
    }
    report.assert_ledger_closes();
    Ok(())
}
