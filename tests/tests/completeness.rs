//! Programs as distributions have them, compiled without frame pointers: nearly all of their stacks have to be whole.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{
    Document, LONG, Memtrace, Nginx, Postgres, Running, Target, cannot_trace, skip, until,
};
use rustix::process::Signal;

/// Of the allocated blocks, this many on whole stacks.
const LEAST: f64 = 0.995;

/// Where one stack more or less makes no difference.
const ENOUGH: i64 = 1000;

/// The distribution's, with the interpreter in the program itself.
#[test]
fn python() -> Result<()> {
    const PYTHON: &str = "/usr/bin/python3";
    if cannot_trace(&[]) {
        return Ok(());
    }
    if !Path::new(PYTHON).exists() {
        skip(&format!("{PYTHON} is not installed"));
        return Ok(());
    }
    let script = "\
import collections, decimal, functools, json, re, threading
class Node:
    def __init__(self, depth):
        self.text = 'x' * (600 + depth)
        self.children = [Node(depth - 1) for _ in range(3)] if depth else []
    def __lt__(self, other): return len(self.text) < len(other.text)
    def walk(self):
        yield self.text
        for child in self.children: yield from child.walk()
@functools.lru_cache(maxsize=None)
def deep(number): return 'y' * 700 if number == 0 else deep(number - 1) + 'z'
def work():
    kept = [str(number) * 200 for number in range(2000)]
    tree = Node(5)
    deep(50)
    sorted((Node(0) for _ in range(200)), key=functools.cmp_to_key(lambda a, b: len(a.text) - len(b.text)))
    words = collections.Counter(re.findall('[a-z]+', ' '.join(tree.walk())))
    json.loads(json.dumps({'kept': kept, 'words': words}))
    str(sum(decimal.Decimal(number) / 7 for number in range(500)))
    try: [].pop()
    except IndexError as error: repr(error)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
work()
";
    under_exec("python3", Path::new(PYTHON), &["-I", "-c", script])
}

#[test]
fn sqlite() -> Result<()> {
    if cannot_trace(&["sqlite3"]) {
        return Ok(());
    }
    let statements = "\
CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
  INSERT INTO t SELECT i, hex(randomblob(100)) FROM n;
CREATE INDEX i ON t (text);
SELECT count(*), group_concat(substr(text, 1, 2)) FROM t GROUP BY id % 10;
SELECT json_group_array(json_object('id', id, 'text', text)) FROM t WHERE id < 300;
UPDATE t SET text = replace(text, 'A', 'BB');
PRAGMA integrity_check;
";
    let arguments = ["-batch", "-init", "/dev/null", ":memory:", statements];
    under_exec("sqlite3", Path::new("sqlite3"), &arguments)
}

/// A wrapper that becomes the program it is for, as `#!/usr/bin/env` does. The tables of each image have to be there
/// before its first instruction, or a short program is over before it can be unwound.
#[test]
fn replaced_by_another_image() -> Result<()> {
    if cannot_trace(&["sqlite3"]) {
        return Ok(());
    }
    let statement = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
                     SELECT count(*), group_concat(hex(i)) FROM n;";
    let command = format!("exec env sqlite3 -batch -init /dev/null :memory: '{statement}'");
    under_exec("sh, env, sqlite3", Path::new("sh"), &["-c", &command])
}

#[test]
fn git() -> Result<()> {
    if cannot_trace(&["git"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_string_lossy();
    let run = |arguments: &[&str]| -> Result<()> {
        let own = ["-C", &path, "-c", "user.name=A Tester", "-c", "user.email=tester@example.org"];
        let more = ["-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null"];
        let output = Command::new("git").args(own).args(more).args(arguments).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    run(&["init", "--quiet"])?;
    for number in 0..20 {
        let lines: Vec<_> = (number..number + 200).map(|line| (line % 97).to_string()).collect();
        fs::write(folder.path().join("file"), lines.join("\n"))?;
        run(&["add", "file"])?;
        run(&["commit", "--quiet", "-m", &format!("Change {number}")])?;
    }
    let arguments = ["-C", &path, "--no-pager", "log", "--patch", "--stat", "--graph"];
    under_exec("git log", Path::new("git"), &arguments)
}

#[test]
fn c_compiler() -> Result<()> {
    if cannot_trace(&["gcc"]) {
        return Ok(());
    }
    let named = Command::new("gcc").arg("-print-prog-name=cc1").output()?;
    let cc1 = PathBuf::from(String::from_utf8(named.stdout)?.trim());
    if !cc1.is_absolute() {
        skip("gcc has no cc1 of its own");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let [source, preprocessed, object] = ["x.c", "x.i", "x.s"].map(|name| folder.path().join(name));
    fs::write(
        &source,
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n\
         static int compare(const void *a, const void *b) { return strcmp(a, b); }\n\
         int main(int argc, char **argv) {\n\
           for (int i = 0; i < argc; i++) { printf(\"%d %s\\n\", i, argv[i]); }\n\
           qsort(argv, argc, sizeof *argv, compare);\n\
           return argc > 3 ? atoi(argv[3]) : 0;\n\
         }\n",
    )?;
    // Where headers are, only the driver knows.
    let made = Command::new("gcc").arg("-E").arg(source).arg("-o").arg(&preprocessed).status()?;
    ensure!(made.success(), "gcc -E failed");
    let (from, to) = (preprocessed.to_string_lossy(), object.to_string_lossy());
    let arguments = ["-fpreprocessed", "-quiet", "-O2", "-g", &from, "-o", &to];
    under_exec("cc1", &cc1, &arguments)
}

#[test]
fn nginx() -> Result<()> {
    if cannot_trace(&["nginx", "setpriv"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("page.txt"), "a page of some length\n".repeat(2000))?;
    let server = Nginx::start(folder.path())?;
    let memtrace = attach(server.process.pid())?;
    for number in 0..1000 {
        let mut stream = TcpStream::connect(server.address)?;
        stream.set_read_timeout(Some(LONG))?;
        let page = if number % 10 == 0 { "none.txt" } else { "page.txt" };
        write!(stream, "GET /{page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
    }
    end("nginx", memtrace)
}

#[test]
fn redis() -> Result<()> {
    if cannot_trace(&["redis-server", "setpriv"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "redis-server", "--port", "0", "--unixsocket"]);
    command.arg(&socket).args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path());
    let server = Target::start(&mut command)?;
    until("redis answers", || UnixStream::connect(&socket).is_ok())?;
    let mut client = UnixStream::connect(&socket)?;
    client.set_read_timeout(Some(LONG))?;
    let memtrace = attach(server.pid())?;
    for number in 0..2000 {
        let [key, hash] = [format!("key:{number}"), format!("hash:{}", number % 50)];
        let [value, member] = ["x".repeat(number % 300), format!("member{number}")];
        let (number, offset) = (number.to_string(), (number % 100).to_string());
        let script = "return {redis.call('get', KEYS[1]), ARGV[1] .. 'x'}";
        let commands: [&[&str]; 6] = [
            &["SET", &key, &value],
            &["HSET", &hash, &number, &value],
            &["ZADD", "ranking", &number, &member],
            &["LPUSH", "list", &number],
            &["EVAL", script, "1", &key, &member],
            &["SORT", "list", "LIMIT", &offset, "5"],
        ];
        for words in commands {
            write!(client, "*{}\r\n", words.len())?;
            for word in words {
                write!(client, "${}\r\n{word}\r\n", word.len())?;
            }
            answer(&mut client)?;
        }
    }
    end("redis", memtrace)
}

/// One backend at work; it came by fork from a process that is not traced.
#[test]
fn postgres() -> Result<()> {
    if cannot_trace(&["setpriv"]) {
        return Ok(());
    }
    let Some(mut postgres) = Postgres::start()? else {
        skip("PostgreSQL is not installed");
        return Ok(());
    };
    let memtrace = attach(postgres.backend)?;
    let client = &mut postgres.client;
    client.send(
        "CREATE TABLE t AS SELECT i, md5(i::text) AS text FROM generate_series(1, 20000) i;\n\
         CREATE INDEX ON t (text);\n\
         ANALYZE t;\n\
         SELECT count(*), count(DISTINCT text), sum(length(repeat(text, 20))) FROM t;\n\
         SELECT count(*) FROM t a JOIN t b ON a.text = b.text WHERE a.i < 3000;\n\
         SELECT length(json_agg(t)::text) FROM t WHERE text ~ '^[a-f]+[0-9]';\n\
         CREATE FUNCTION f(n int) RETURNS int LANGUAGE plpgsql AS\n\
           $$ BEGIN IF n > 0 THEN RETURN 1 + f(n - 1); END IF; RETURN 0; END $$;\n\
         SELECT sum(f(i % 20)) FROM t WHERE i < 500;\n\
         SELECT i, rank() OVER (PARTITION BY i % 7 ORDER BY text) FROM t ORDER BY 2 LIMIT 3;\n\
         SELECT 1/0;\n\
         PREPARE p AS SELECT * FROM t WHERE i = $1;\n",
    )?;
    for number in 0..300 {
        client.send(&format!(
            "EXECUTE p({number});\nSELECT * FROM t WHERE text LIKE '{number}%';\n"
        ))?;
    }
    client.send("SELECT 'finished';\n")?;
    client.expect("finished")?;
    let whole = end("postgres", memtrace);
    postgres.end()?;
    whole
}

/// Reads one answer of redis, whatever it is.
fn answer(client: &mut UnixStream) -> Result<()> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line).trim().to_owned();
    let number = || -> Result<i64> { Ok(line[1..].parse()?) };
    match line.chars().next().context("an empty answer")? {
        '+' | ':' => Ok(()),
        '$' => match number()? {
            ..0 => Ok(()),
            length => Ok(client.read_exact(&mut vec![0; length as usize + 2])?),
        },
        '*' => (0..number()?).try_for_each(|_| answer(client)),
        _ => anyhow::bail!("redis says {line}"),
    }
}

fn attach(pid: u32) -> Result<Running> {
    let mut memtrace = Memtrace::attach(pid).args("-i 1h --format json").start()?;
    memtrace.attached()?;
    Ok(memtrace)
}

fn end(name: &str, memtrace: Running) -> Result<()> {
    memtrace.signal(Signal::INT)?;
    assert_whole(name, &memtrace.finish()?.document()?);
    Ok(())
}

fn under_exec(name: &str, program: &Path, arguments: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.json");
    Memtrace::new(["exec"])
        .args("--format json -o")
        .arg(&file)
        .arg("--")
        .arg(program)
        .words(arguments)
        .run()?
        .expect_code(0);
    assert_whole(name, &Document::read(&file)?);
    Ok(())
}

/// What the report sums up is what its stacks say, and nearly all are whole. Prints the program's row of the table.
#[track_caller]
fn assert_whole(name: &str, report: &Document) {
    let allocations = report.number("/unwinding/allocations");
    let complete = report.number("/unwinding/complete");
    let ratio = report.at("/unwinding/complete_ratio").as_f64().unwrap_or_default();
    let mut by_status: BTreeMap<&str, i64> = BTreeMap::new();
    for stack in report.stacks() {
        *by_status.entry(stack.unwind()).or_default() += stack.number("alloc_blocks");
    }
    by_status.retain(|_, blocks| *blocks > 0);
    println!("{name:10} {allocations:8} blocks, {:8.4} % whole {by_status:?}", ratio * 100.0);
    for stack in report.stacks().iter().filter(|stack| stack.unwind() != "complete").take(3) {
        println!("  {}: {:?}", stack.unwind(), stack.functions());
    }
    assert!(allocations > ENOUGH, "too few to judge: {allocations}");
    assert_eq!(by_status.values().sum::<i64>(), allocations);
    assert_eq!(by_status.remove("complete").unwrap_or_default(), complete);
    let incomplete = report.at("/unwinding/incomplete").as_object();
    let incomplete: BTreeMap<&str, i64> = incomplete
        .into_iter()
        .flatten()
        .map(|(status, blocks)| (status.as_str(), blocks.as_i64().unwrap_or_default()))
        .filter(|(_, blocks)| *blocks > 0)
        .collect();
    assert_eq!(by_status, incomplete);
    assert!((ratio - complete as f64 / allocations as f64).abs() < 1e-4, "{ratio}");
    assert!(ratio >= LEAST, "{name}: only {:.2} % of the stacks are whole", ratio * 100.0);
}
