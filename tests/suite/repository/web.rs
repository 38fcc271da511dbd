//! Git over HTTP: that the token is sent to the server, and is nowhere else; and that a slow or dying server is bounded.

use super::origin::{Origin, config, mirror, path, quick};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reconciler::repository::{Access, Limits, Mirror, Source, Trouble};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOKEN: &str = "ghp_ThisIsTheTokenOfTheManifests";

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    /// It takes the request and never answers.
    Silent,
    /// It answers 500.
    Broken,
    /// It sends elsewhere.
    Elsewhere,
    /// It sends the first bytes of a pack and no more.
    Stuck,
}

/// `git http-backend` on a free port of loopback; only who has the token is let in.
struct Server {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    requests: Arc<AtomicUsize>,
    /// The command lines of all processes while requests were answered.
    seen: Arc<Mutex<String>>,
}

impl Server {
    fn of(origin: &Origin) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            port: listener.local_addr().unwrap().port(),
            mood: Arc::new(Mutex::new(Mood::Fine)),
            requests: Arc::default(),
            seen: Arc::default(),
        };
        let home = origin.home.path().to_owned();
        let (mood, requests, seen) = (
            server.mood.clone(),
            server.requests.clone(),
            server.seen.clone(),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (home, mood, requests, seen) =
                    (home.clone(), mood.clone(), requests.clone(), seen.clone());
                std::thread::spawn(move || {
                    requests.fetch_add(1, Ordering::Relaxed);
                    seen.lock().unwrap().push_str(&command_lines());
                    let mood = *mood.lock().unwrap();
                    let _ = answer(stream, &home, mood);
                });
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/origin.git", self.port)
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

fn command_lines() -> String {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n")
        .collect()
}

fn answer(stream: TcpStream, home: &Path, mood: Mood) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let header = |name: &str| {
        lines.iter().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let basic = format!(
        "Basic {}",
        STANDARD.encode(format!("x-access-token:{TOKEN}"))
    );
    if header("authorization") != Some(basic) {
        return out.write_all(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    match mood {
        Mood::Silent => {
            let mut rest = Vec::new();
            let _ = reader.read_to_end(&mut rest);
            return Ok(());
        }
        Mood::Broken => {
            return out
                .write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Mood::Elsewhere => {
            return out.write_all(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/other.git/info/refs\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Mood::Fine | Mood::Stuck => {}
    }
    let first = lines.first().cloned().unwrap_or_default();
    let mut words = first.split(' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let (target, query) = target.split_once('?').unwrap_or((target, ""));
    let mut body = Vec::new();
    if header("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            body.extend(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    } else {
        let length = header("content-length")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", path())
        .env("GIT_PROJECT_ROOT", home)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", home)
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", target)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env(
            "HTTP_CONTENT_ENCODING",
            header("content-encoding").unwrap_or_default(),
        )
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    child.stdin.take().unwrap().write_all(&body)?;
    let said = child.wait_with_output()?.stdout;
    let end = said
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or(0);
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let content = &said[end + 4..];
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK")
        .to_owned();
    let is_pack = String::from_utf8_lossy(&body).contains("command=fetch");
    write!(
        out,
        "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    )?;
    if mood == Mood::Stuck && is_pack {
        out.write_all(&content[..content.len() / 2])?;
        out.flush()?;
        let mut rest = Vec::new();
        let _ = reader.read_to_end(&mut rest);
        return Ok(());
    }
    out.write_all(content)
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

async fn of(server: &Server, origin: &Origin, limits: Limits) -> Mirror {
    let config = config(&[("RECONCILER_GIT_TOKEN", TOKEN)]);
    let source = Source::new(&server.url(), "main", "").unwrap();
    Mirror::open(
        &origin.home.path().join("here"),
        source,
        Access::of(&config),
        limits,
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn the_token_is_sent_and_is_neither_on_disk_nor_in_any_command_line() {
    let origin = Origin::new();
    let head = origin.push(&[("a.yaml", "a: 1")]);
    let server = Server::of(&origin);
    let mut mirror = of(&server, &origin, quick()).await;

    assert_eq!(mirror.fetch().await.unwrap().head, head);

    let seen = server.seen.lock().unwrap().clone();
    assert!(
        seen.contains("git ls-remote") && seen.contains("git fetch"),
        "the children were not seen"
    );
    let basic = STANDARD.encode(format!("x-access-token:{TOKEN}"));
    let secrets = [TOKEN, basic.as_str()];
    for secret in secrets {
        assert!(!seen.contains(secret), "it is in a command line");
    }
    let mut paths = Vec::new();
    files(&origin.home.path().join("here"), &mut paths);
    assert!(paths.len() > 5);
    for path in paths {
        let bytes = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            secrets.iter().all(|secret| !text.contains(secret)),
            "it is in {}",
            path.display()
        );
    }
}

#[tokio::test]
async fn without_the_right_token_it_says_which_setting_is_meant_and_not_what_it_holds() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    let server = Server::of(&origin);
    let source = Source::new(&server.url(), "main", "").unwrap();
    for token in ["", "ghp_AnotherTokenThatIsWrong"] {
        let config = config(&[("RECONCILER_GIT_TOKEN", token)]);
        let mut mirror = mirror(&origin.home.path().join("here"), source.clone(), &config).await;

        let trouble = mirror.fetch().await.unwrap_err();

        let words = trouble.to_string();
        assert!(matches!(trouble, Trouble::Refused(_)), "{words}");
        assert!(words.contains("RECONCILER_GIT_TOKEN"), "{words}");
        assert!(token.is_empty() || !words.contains(token), "{words}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_stuck_or_broken_is_given_up_in_time_and_changes_nothing() {
    let origin = Origin::new();
    let head = origin.push(&[("a.yaml", "a: 1")]);
    let server = Server::of(&origin);
    let limits = Limits {
        ask: Duration::from_secs(2),
        fetch: Duration::from_secs(2),
    };
    let mut mirror = of(&server, &origin, limits).await;
    mirror.fetch().await.unwrap();
    let newest = origin.push(&[("a.yaml", "a: 2")]);

    for mood in [Mood::Silent, Mood::Stuck, Mood::Broken] {
        server.is(mood);
        let trouble = mirror.fetch().await.unwrap_err();
        assert!(
            matches!(trouble, Trouble::Unreachable(_)),
            "{mood:?}: {trouble:?}"
        );
        assert_eq!(mirror.head().await.unwrap(), Some(head), "{mood:?}");
        assert!(mirror.commit(head).await.is_ok(), "{mood:?}");
    }

    server.is(Mood::Fine);
    assert_eq!(mirror.fetch().await.unwrap().head, newest);
}

#[tokio::test]
async fn a_server_that_sends_elsewhere_is_not_followed() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    let server = Server::of(&origin);
    server.is(Mood::Elsewhere);
    let mut mirror = of(&server, &origin, quick()).await;

    let trouble = mirror.fetch().await.unwrap_err();

    assert!(matches!(trouble, Trouble::Refused(_)), "{trouble:?}");
}

#[tokio::test]
async fn when_nothing_is_new_two_requests_are_enough() {
    let origin = Origin::new();
    origin.push(&[("a.yaml", "a: 1")]);
    let server = Server::of(&origin);
    let mut mirror = of(&server, &origin, quick()).await;
    mirror.fetch().await.unwrap();
    let before = server.requests.load(Ordering::Relaxed);

    mirror.fetch().await.unwrap();

    assert_eq!(server.requests.load(Ordering::Relaxed) - before, 2);
}
