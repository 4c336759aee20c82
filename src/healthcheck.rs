//! `tenantry healthcheck`: asks the server on this machine whether it is ready, so that a container's health check needs no
//! other program.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

/// How long the server may take; longer than it waits for MongoDB itself.
const LIMIT: Duration = Duration::from_secs(4);

/// Asks the server that listens on this address. The error says why it is not ready.
pub fn ask(listen: SocketAddr) -> anyhow::Result<()> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let status_line = status_line_of(address).with_context(|| format!("no answer from {address}"))?;
    ensure!(status_line.starts_with("HTTP/1.1 200 "), "the server says that it is not ready: {status_line}");
    Ok(())
}

/// Loopback for a server that listens on every address.
fn reachable(listen: IpAddr) -> IpAddr {
    match listen {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

fn status_line_of(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
