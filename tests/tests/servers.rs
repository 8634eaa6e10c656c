//! A real server under load: it keeps on serving, with memtrace coming and going.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{LONG, Memtrace, Nginx, cannot_trace, start_time, until};

const CLIENTS: usize = 2;

/// Requests that each client may make at most, should the trace never end.
const MOST_REQUESTS: usize = 200_000;

/// Requests before memtrace starts, and after it has ended.
const SOME: usize = 100;

#[test]
fn nginx_serves_every_request() -> Result<()> {
    if cannot_trace(&["nginx"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let content = "a page of some length\n".repeat(2000);
    fs::write(folder.path().join("page.txt"), &content)?;
    let mut nginx = Nginx::start(folder.path())?;
    let started = start_time(nginx.process.pid())?;

    let served = AtomicUsize::new(0);
    let enough = AtomicBool::new(false);
    let (finished, during) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..MOST_REQUESTS {
                        if enough.load(Ordering::Relaxed) {
                            break;
                        }
                        request(nginx.address, &content)?;
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        let served_to = |wanted| {
            let given_up = || clients.iter().all(ScopedJoinHandle::is_finished);
            let enough = || served.load(Ordering::Relaxed) >= wanted;
            until("requests are served", || enough() || given_up())
        };
        let trace = || {
            served_to(SOME)?;
            let before = served.load(Ordering::Relaxed);
            let pid = nginx.process.pid();
            let finished = Memtrace::attach(pid).args("-i 1s -n 5 --format json").run()?;
            let after = served.load(Ordering::Relaxed);
            served_to(after + SOME)?;
            anyhow::Ok((finished, after - before))
        };
        let traced = trace();
        enough.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        traced
    })?;

    let report = finished.document()?;
    assert_eq!(report.whole_iterations(), 5);
    for iteration in &report.iterations()[..5] {
        assert_eq!(iteration["trigger"], "interval", "{iteration:#}");
        assert!(iteration["alloc_blocks"].as_u64() > Some(0), "{iteration:#}");
        // Each request is made on a connection of its own, whose blocks are freed with it.
        assert!(iteration["free_blocks"].as_u64() > Some(0), "{iteration:#}");
        let seconds = iteration["duration_ns"].as_u64().unwrap_or_default() as f64 / 1e9;
        assert!((0.9..5.0).contains(&seconds), "an iteration of {seconds} s");
    }
    report.assert_ledger_closes();
    assert!(during > SOME, "only {during} requests during the trace");
    println!("{during} requests served during the trace");
    assert!(nginx.process.is_running()?);
    assert_eq!(start_time(nginx.process.pid())?, started);
    Ok(())
}

fn request(address: SocketAddr, content: &str) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, LONG)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"GET /page.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    ensure!(body == content, "{} bytes of content, not {}", body.len(), content.len());
    Ok(())
}
