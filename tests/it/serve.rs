//! `rushes serve`: what it shows, and what it refuses or bounds. The real binary, asked byte by byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::cli::{failure, output, run_smoke, rushes};
use crate::run::signal;

/// A server that ends with the test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path) -> Self {
        Self::starting(rushes(&["serve", folder.to_str().unwrap(), "--port=0"]))
    }

    fn starting(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("an address");
        let address = line.trim().trim_start_matches("http://").trim_end_matches('/');
        Self { child, address: address.parse().expect("an address") }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        // Far beyond every limit of the server's: a test that waits for ever says nothing.
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        stream
    }

    /// Sends these bytes and reads to the end.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that has refused already may have closed its side.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn ask(&self, method: &str, target: &str, host: &str) -> String {
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.raw(request.as_bytes())
    }

    fn get(&self, target: &str) -> String {
        self.ask("GET", target, "localhost")
    }

    /// The status of a GET.
    fn status(&self, target: &str) -> u16 {
        status(&self.get(target))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// A folder with a run in it, which took no training.
fn made() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = run_smoke(
        folder.path(),
        &["--set", "agents={\"random\":{\"policy\":{\"type\":\"random\"}}}"],
    );
    (folder, format!("smoke/{}", run.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn runs_are_listed_shown_and_compared() {
    let (folder, run) = made();
    let server = Server::start(folder.path());
    let index = server.get("/");
    assert!(index.contains(&format!("data-run=\"{run}\"")), "{index}");
    assert!(index.contains("content-security-policy: default-src 'none'"), "{index}");
    let page = server.get(&format!("/{run}/"));
    assert_eq!(status(&page), 200);
    assert!(page.contains("<h1>smoke</h1>"));
    assert_eq!(server.status(&format!("/{run}")), 308, "to the folder, with its slash");
    assert_eq!(server.status("/smoke/latest/index.html"), 200, "a link that stays inside");
    let comparison = server.get(&format!("/compare?run={run}&run={}", run.replace('/', "%2F")));
    assert!(comparison.contains("Run B"), "{}", &comparison[..500]);
    assert_eq!(server.status("/compare"), 400);
    assert_eq!(server.status("/compare?run=smoke/none&run=smoke/none"), 404);
    assert_eq!(server.status(&format!("/compare?{}", format!("run={run}&").repeat(13))), 400);
    // A browser winds a film by asking for parts of it.
    let film = format!("/{run}/trials/random--s0/after.mp4");
    let range = |range: &str| {
        let head = format!("GET {film} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
        server.raw(format!("{head}\r\nRange: {range}\r\n\r\n").as_bytes())
    };
    let part = range("bytes=4-7");
    assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\nftyp"), "{part}");
    assert_eq!(status(&range("bytes=999999999-")), 416);
    for whole in ["bytes=0-3,4-7", "frames=0-3", "bytes=4-7\r\nIf-Range: \"another\""] {
        assert_eq!(status(&range(whole)), 200, "{whole}");
    }

    // The folder of one experiment.
    let server = Server::start(&folder.path().join("smoke"));
    let run_only = run.strip_prefix("smoke/").unwrap();
    assert!(server.get("/").contains(&format!("data-run=\"{run_only}\"")));
    assert_eq!(server.status(&format!("/{run_only}/")), 200);
    let both = format!("/compare?run={run_only}&run={run_only}");
    assert_eq!(server.status(&both), 200);

    let server = Server::start(folder.path());
    let mut events = server.connect();
    events.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(events).lines().map(|line| line.unwrap());
    let data = lines.find(|line| line.starts_with("data:")).expect("news");
    assert!(data.contains(&run), "{data}");
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let (folder, run) = made();
    let outside = folder.path().with_extension("secret");
    std::fs::write(&outside, "secret").unwrap();
    let name = outside.file_name().unwrap().to_str().unwrap();
    std::os::unix::fs::symlink(&outside, folder.path().join("smoke/leak")).unwrap();
    std::os::unix::fs::symlink("/", folder.path().join("smoke/root")).unwrap();
    let server = Server::start(folder.path());
    for target in [
        format!("/../{name}"),
        format!("/smoke/../../{name}"),
        format!("/%2e%2e/{name}"),
        format!("/..%2f{name}"),
        format!("/smoke/%2E%2E%2F%2E%2E%2F{name}"),
        format!("/{run}/..%5c..%5c..%5c{name}"),
        outside.display().to_string(),
        format!("/{}", outside.display()),
        "/smoke/leak".to_owned(),
        "/smoke/root/etc/passwd".to_owned(),
        format!("/compare?run=../{name}&run=../{name}"),
        "/compare?run=smoke/root/etc&run=smoke/root/etc".to_owned(),
    ] {
        let answer = server.get(&target);
        assert!((400..500).contains(&status(&answer)), "{target}: {answer}");
        assert!(!answer.ends_with("secret") && !answer.contains("root:"), "{target}: {answer}");
    }
    std::fs::remove_file(outside).unwrap();
}

#[test]
fn only_plain_reading_by_its_own_name_is_answered() {
    let (folder, run) = made();
    let server = Server::start(folder.path());
    let port = server.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]", &format!("127.0.0.1:{port}"), "localhost:8080"]
    {
        assert_eq!(status(&server.ask("GET", "/", host)), 200, "{host}");
    }
    for host in [
        "example.com",
        "localhost.example.com",
        &format!("127.0.0.1.nip.io:{port}"),
        "",
        "a@localhost",
    ] {
        let answer = server.ask("GET", "/", host);
        assert!(matches!(status(&answer), 400 | 421), "{host}: {answer}");
        assert!(!answer.contains("smoke"), "{host}");
    }
    assert_eq!(status(&server.ask("GET", "http://example.com/", "localhost")), 421);
    assert!(matches!(status(&server.raw(b"GET / HTTP/1.0\r\n\r\n")), 400 | 421), "no name");
    let two =
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\nConnection: close\r\n\r\n";
    assert!(matches!(status(&server.raw(two)), 400 | 421), "two names");
    let file = folder.path().join(&run).join("run.json");
    let before = std::fs::read(&file).unwrap();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "NONSENSE"] {
        let answer = server.ask(method, &format!("/{run}/run.json"), "localhost");
        assert!((400..500).contains(&status(&answer)), "{method}: {answer}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let head = server.ask("HEAD", "/", "localhost");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn requests_that_never_end_and_a_thousand_at_once_are_bounded() {
    let (folder, _run) = made();
    let server = Server::start(folder.path());
    // A head that stops, one that goes on for ever, a body that nobody wants.
    let mut slow = server.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: local").unwrap();
    let long = [b"GET / HTTP/1.1\r\n".to_vec(), b"X: yyyyyyyy\r\n".repeat(100_000)].concat();
    assert!(!server.raw(&long).contains("200 OK"), "a head of a megabyte");
    let body = b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\nConnection: close\r\n\r\nx";
    assert_eq!(status(&server.raw(body)), 200, "answered, and its body left alone");

    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..1000 {
            let ask = || {
                if server.status("/") == 200 {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            };
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, ask).unwrap();
        }
        if cfg!(target_os = "linux") {
            let of = format!("/proc/{}", server.child.id());
            let count = |folder: &str| std::fs::read_dir(format!("{of}/{folder}")).unwrap().count();
            assert!(count("task") < 20, "{} threads", count("task"));
            assert!(count("fd") < 200, "{} files", count("fd"));
        }
    });
    assert_eq!(answered.into_inner(), 1000, "they wait for one another");
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "a request that never ended was given up");
}

#[test]
fn a_run_goes_on_while_everything_is_asked_for() {
    let (folder, run) = made();
    let server = Server::start(folder.path());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for target in
            ["/".to_owned(), format!("/compare?run={run}&run={run}"), "/smoke/latest/".to_owned()]
        {
            let (server, over) = (&server, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    server.get(&target);
                }
            });
        }
        let output =
            output(&["run", "experiments/smoke.json", "--output", folder.path().to_str().unwrap()]);
        over.store(true, Ordering::Relaxed);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("warning"), "{said}");
    });
    // Requests share a reading of the runs, which may be older than the run's end.
    let both = || server.get("/").matches("data-state=\"finished\"").count() == 2;
    let pause = || std::thread::sleep(Duration::from_millis(100));
    assert!(
        (0..100).any(|_| both() || {
            pause();
            false
        }),
        "the second run is not listed as finished"
    );
}

#[test]
fn a_folder_that_is_not_there_and_a_port_that_is_taken_are_told() {
    let (code, error) = failure(&["serve", "/none/such"]);
    assert_eq!(code, 2);
    assert!(error.contains("/none/such"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("--port={}", taken.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let (code, error) = failure(&["serve", folder.path().to_str().unwrap(), &port]);
    assert_eq!(code, 2);
    assert!(error.contains("choose another one with --port"), "{error}");
}

#[test]
fn sigint_and_sigterm_end_the_server_although_it_was_started_with_them_ignored() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["INT", "TERM"] {
        let serve = rushes(&["serve", folder.path().to_str().unwrap(), "--port=0"]);
        // As a shell that is not interactive starts what runs in the background.
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' INT TERM; exec \"$0\" \"$@\""]);
        shell.arg(serve.get_program()).args(serve.get_args());
        let mut server = Server::starting(shell);
        // Somebody listens: a stream of news has no end.
        let mut events = server.connect();
        events.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        signal(name, &server.child.id().to_string());
        assert_eq!(server.child.wait().unwrap().code(), Some(0), "SIG{name}");
    }
}
