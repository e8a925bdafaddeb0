//! A small web server for a folder of runs: an index with live curves, reports, comparisons.
//!
//! ```text
//! browser ── / ──────────▶ routes ──▶ listing   runs as rows, read on as they grow
//!         ── /events ────▶ routes ──▶ listing   the rows that changed, as server-sent events
//!         ── /compare ───▶ routes ──▶ report    several runs on one page
//!         ── /EXP/RUN/… ─▶ routes ──▶ files     what lies in the output folder, nothing else
//! ```
//! It only reads, takes no lock and writes nothing, so that no run waits for it. It listens on this machine's own
//! address, and what a request may cost is bounded: how long its head may take, how long a connection may last, and how
//! many of them there may be.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fs_err as fs;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

mod files;
mod listing;
mod routes;

/// Connections at a time; others wait in the system's queue.
const CONNECTIONS: usize = 64;
/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may last. A browser opens another one where it has not got all of a film.
const CONNECTION: Duration = Duration::from_secs(60);
/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// Threads that read files and render pages.
const READERS: usize = 4;

/// Serves the folder `output` on this machine's loopback address until SIGINT or SIGTERM, which end it even where the
/// process was started with them ignored, as background jobs of scripts are; a `port` of 0 is any free one. `ready` is
/// told the address.
///
/// # Errors
/// Fails if there is no such folder, or the port is taken.
pub fn serve(
    output: &Path,
    port: u16,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let root = fs::canonicalize(output).context("failed to open the output folder")?;
    anyhow::ensure!(root.is_dir(), "{} is not a folder", root.display());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(READERS)
        .build()
        .context("failed to start the server")?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.with_context(|| {
            format!("failed to listen on port {port}; choose another one with --port, 0 for any free one")
        })?;
        ready(listener.local_addr()?)?;
        let routes = routes::router(root)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let next = async {
                let place = room.clone().acquire_owned().await?;
                anyhow::Ok((place, listener.accept().await))
            };
            let (place, accepted) = tokio::select! {
                next = next => next?,
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, for example: some are given back in a while.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let service = TowerToHyperService::new(routes.clone());
            tokio::spawn(async move {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .max_buf_size(HEAD_BYTES)
                    .serve_connection(TokioIo::new(stream), service);
                // Whatever ends it is the client's affair.
                let _ = tokio::time::timeout(CONNECTION, connection).await;
                drop(place);
            });
        }
    });
    // What is read for a page at the moment is not waited for.
    runtime.shutdown_background();
    ended
}
