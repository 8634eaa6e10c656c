//! A web application of Flask, served by waitress, both as they are published.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{LONG, Python, Target, packages, skip};

/// What is installed: these versions, so that a test means the same tomorrow.
const PACKAGES: [&str; 2] = ["flask==3.1.3", "waitress==3.0.2"];

/// A running application.
#[derive(Debug)]
pub struct Flask {
    /// Its only process, or memtrace if that started it.
    pub process: Target,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Flask {
    /// The folder with the packages for an interpreter, installed when first asked for. `None`, and said so, where there
    /// is no such interpreter, no pip, or no network.
    ///
    /// # Errors
    ///
    /// Where a folder can't be made.
    pub fn packages(python: &Path) -> Result<Option<PathBuf>> {
        let Some(python) = Python::at(python) else {
            skip(&format!("there is no {}", python.display()));
            return Ok(None);
        };
        packages(&python, &PACKAGES)
    }

    /// The application's source.
    pub fn source() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/python/shop.py")
    }

    /// Waits until it listens; `process` is on its way.
    ///
    /// # Errors
    ///
    /// Where it doesn't in time.
    pub fn listening(mut process: Target) -> Result<Self> {
        let said = process.expect("listens at ")?;
        let port = said.rsplit(' ').next().unwrap_or_default();
        let port = port.parse().with_context(|| said.clone())?;
        Ok(Self { process, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// Makes one request of each view, `order`, which keeps something, among them, and checks the answers to the last
    /// byte.
    ///
    /// # Errors
    ///
    /// Where one is wrong or doesn't come.
    pub fn ask(address: SocketAddr, number: usize) -> Result<()> {
        let expected = [
            (format!("/add/{number}"), format!("{number} and 1 are {}\n", number + 1)),
            (format!("/order/{number}"), format!("{{\"bytes\":2000,\"number\":{number}}}\n")),
            (format!("/page/%3C{number}"), format!("<p>&lt;{number} & 012345678</p>")),
        ];
        for (path, expected) in expected {
            let body = get(address, &path).with_context(|| path.clone())?;
            ensure!(body == expected, "{path}: {body:?}");
        }
        Ok(())
    }
}

fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LONG)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    Ok(body.to_owned())
}
