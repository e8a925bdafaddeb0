//! What is answered to which request.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::stream;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tower_http::services::ServeFile;

use super::files::{self, Found};
use super::listing::{Listing, Row};
use crate::report::{self, template};
use crate::store::RunDir;

/// Pages that are told of news at a time.
const LISTENERS: usize = 24;
/// How often it is looked for news, as long as somebody listens.
const TICK: Duration = Duration::from_secs(1);
/// How long a stream of news lasts, less than a connection does; a browser asks for another one.
const STREAM: Duration = Duration::from_secs(45);
/// Runs on one page.
const MOST_COMPARED: usize = 12;

/// What reports need: nothing from elsewhere, and nobody else may show or read them.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; \
         media-src 'self' data:; connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; form-action 'self'; \
         base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// The runs as they were read last.
type Rows = Arc<Vec<Arc<Row>>>;

#[derive(Clone)]
struct Server {
    root: PathBuf,
    listing: Arc<Mutex<Listing>>,
    news: watch::Sender<Rows>,
    listeners: Arc<Semaphore>,
    /// One comparison at a time is made.
    compare: Arc<Semaphore>,
    /// Where runs are read and pages made: one thread, which leaves the machine to its trials.
    pool: Arc<rayon::ThreadPool>,
}

/// Everything that is served from `root`, a canonical path.
///
/// # Errors
/// Fails if the system gives no thread.
pub(super) fn router(root: PathBuf) -> anyhow::Result<Router> {
    let server = Server {
        listing: Arc::new(Mutex::new(Listing::new(root.clone()))),
        news: watch::Sender::new(Rows::default()),
        listeners: Arc::new(Semaphore::new(LISTENERS)),
        compare: Arc::new(Semaphore::new(1)),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build()?),
        root,
    };
    tokio::spawn(look_for_news(server.clone()));
    Ok(Router::new()
        .route("/", get(index))
        .route("/events", get(events))
        .route("/compare", get(compare))
        // Browsers ask for it.
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .fallback(file)
        .with_state(server)
        .layer(middleware::from_fn(guard)))
}

/// Refuses what is no plain reading of this server by its own name: a site elsewhere that has its name lead to this
/// machine (DNS rebinding) is in the way of a browser's own protection.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = if !is_local(&request) {
        (StatusCode::MISDIRECTED_REQUEST, "this server answers to localhost and 127.0.0.1 only\n")
            .into_response()
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        (StatusCode::METHOD_NOT_ALLOWED, allow, "only GET and HEAD: nothing can be changed here\n")
            .into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the request names this machine, in its `Host` and where its target has one.
fn is_local(request: &Request) -> bool {
    let local = |authority: &Authority| {
        matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]")
            && !authority.as_str().contains('@')
    };
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| local(&host)) && request.uri().authority().is_none_or(local)
}

/// Reads the runs on as long as somebody listens.
async fn look_for_news(server: Server) {
    loop {
        tokio::time::sleep(TICK).await;
        if server.news.receiver_count() > 0
            && let Ok(rows) = server.read().await
        {
            server.news.send_if_modified(|known| {
                let same = known.len() == rows.len()
                    && known.iter().zip(&*rows).all(|(old, new)| Arc::ptr_eq(old, new));
                *known = rows;
                !same
            });
        }
    }
}

impl Server {
    /// The runs as they stand now, newest first.
    async fn read(&self) -> Result<Rows, Failure> {
        let (listing, pool) = (self.listing.clone(), self.pool.clone());
        let read =
            move || pool.install(|| listing.lock().expect("no thread panics with the lock").read());
        Ok(Arc::new(tokio::task::spawn_blocking(read).await?))
    }
}

async fn index(State(server): State<Server>) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Page<'a> {
        folder: String,
        rows: Vec<&'a str>,
        version: &'static str,
    }
    let rows = server.read().await?;
    let page = Page {
        folder: server.root.display().to_string(),
        rows: rows.iter().map(|row| row.html.as_str()).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Html(template::render("runs.html", &page)?).into_response())
}

/// The rows that changed since the message before, and the order of all.
async fn events(State(server): State<Server>) -> Response {
    let Ok(place) = server.listeners.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages listen; close some\n")
            .into_response();
    };
    let mut news = server.news.subscribe();
    news.mark_changed();
    let end = tokio::time::Instant::now() + STREAM;
    let start = (news, Rows::default(), place);
    let messages = stream::unfold(start, move |(mut news, known, place)| async move {
        loop {
            tokio::time::timeout_at(end, news.changed()).await.ok()?.ok()?;
            let rows = news.borrow_and_update().clone();
            // Before the first look there is nothing to tell.
            if !(rows.is_empty() && known.is_empty()) {
                let is_new = |row: &&Arc<Row>| !known.iter().any(|old| Arc::ptr_eq(old, row));
                let changed: Vec<&str> =
                    rows.iter().filter(is_new).map(|row| row.html.as_str()).collect();
                let all: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
                let message = json!({ "changed": changed, "all": all }).to_string();
                let event = Event::default().retry(Duration::from_secs(1)).data(message);
                return Some((Ok::<_, std::convert::Infallible>(event), (news, rows, place)));
            }
        }
    });
    Sse::new(messages).keep_alive(KeepAlive::default()).into_response()
}

/// `?run=EXPERIMENT/RUN&run=…`: the runs on one page.
async fn compare(
    State(server): State<Server>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    let names: Vec<String> = (query.split('&'))
        .filter_map(|pair| pair.strip_prefix("run="))
        // A form writes a space as a plus.
        .map(|name| name.replace('+', "%20"))
        .collect();
    if !(2..=MOST_COMPARED).contains(&names.len()) {
        let text = format!("choose between 2 and {MOST_COMPARED} runs to compare\n");
        return Ok((StatusCode::BAD_REQUEST, text).into_response());
    }
    let mut runs = Vec::new();
    for name in &names {
        let Found::File(plan) = files::find(&server.root, &format!("/{name}/plan.json")) else {
            let name = percent_decode_str(name).decode_utf8_lossy();
            return Ok((StatusCode::NOT_FOUND, format!("there is no run {name}\n")).into_response());
        };
        runs.extend(plan.parent().map(PathBuf::from));
    }
    let place = server.compare.clone().acquire_owned().await?;
    let make = move || -> anyhow::Result<String> {
        let runs: Vec<RunDir> =
            runs.iter().map(|run| RunDir::open(run)).collect::<anyhow::Result<_>>()?;
        server.pool.install(|| report::page(&runs, &server.root))
    };
    let page = tokio::task::spawn_blocking(make).await??;
    drop(place);
    Ok(Html(page).into_response())
}

/// A file, or the part of it that is asked for. Several parts are answered with the whole, as are units other than bytes
/// and parts of a version that the client names (RFC 9110, 14.2).
async fn file(State(server): State<Server>, mut request: Request) -> Response {
    let headers = request.headers_mut();
    let in_bytes =
        headers.get(header::RANGE).is_some_and(|range| range.as_bytes().starts_with(b"bytes="));
    if !in_bytes || headers.contains_key(header::IF_RANGE) {
        headers.remove(header::RANGE);
    }
    let path = request.uri().path();
    match files::find(&server.root, path) {
        Found::File(file) => {
            let mut file = ServeFile::new(file).ignore_multi_range_requests(true);
            match file.try_call(request).await {
                Ok(response) => response.into_response(),
                Err(error) => Failure(error.into()).into_response(),
            }
        }
        Found::Folder => Redirect::permanent(&format!("{path}/")).into_response(),
        Found::Nothing => (StatusCode::NOT_FOUND, "there is nothing here\n").into_response(),
    }
}

/// What went wrong while a page was made.
struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{:#}\n", self.0)).into_response()
    }
}
