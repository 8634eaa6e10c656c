//! A web server in one process.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
};

use anyhow::Result;

use crate::{Target, until};

/// A running nginx, on a port of its own.
#[derive(Debug)]
pub struct Nginx {
    /// Its only process.
    pub process: Target,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Nginx {
    /// Starts one that serves a folder's files, and writes its own there.
    ///
    /// # Errors
    ///
    /// Where it can't be started, or doesn't listen in time.
    pub fn start(folder: &Path) -> Result<Self> {
        // Free now; nobody else is given it so soon.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let root = folder.display();
        let configuration = folder.join("nginx.conf");
        fs::write(
            &configuration,
            format!(
                "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
                 events {{ }}\n\
                 http {{\n\
                   access_log off; root {root};\n\
                   client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;\n\
                   fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi;\n\
                   scgi_temp_path {root}/scgi;\n\
                   server {{ listen {address}; }}\n\
                 }}\n"
            ),
        )?;
        // Ends with us even if we are killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nginx", "-c"]).arg(&configuration).arg("-e");
        command.arg(folder.join("error.log"));
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin");
        let server = Self { process: Target::start(&mut command)?, address };
        until("nginx listens", || TcpStream::connect(address).is_ok())?;
        Ok(server)
    }
}
