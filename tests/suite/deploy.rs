//! `deploy/`: the container, the systemd unit and their variables name only what there is, and give the controller no more than it needs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const CONTAINER: &str = "deploy/container/Containerfile";
const UNIT: &str = "deploy/systemd/reconciler.service";
const VARIABLES: [&str; 2] = [
    "deploy/systemd/reconciler.env.example",
    "deploy/railway/variables.env",
];
/// A setting of Railway's own, which the program does not know.
const PORT: &str = "PORT";
/// Stands for whatever manifests refer to.
const REFERRED: &str = "PRODUCTION_STRIPE_KEY";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|failure| panic!("{path}: {failure}"))
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Words that look like the name of a variable of ours, Railway's or Amazon's.
fn names(text: &str) -> BTreeSet<String> {
    let is_sign = |sign: char| sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == '_';
    text.split(|sign: char| !is_sign(sign))
        .filter(|word| {
            let is_ours = ["RECONCILER_", "RAILWAY_", "AWS_"]
                .iter()
                .any(|prefix| word.starts_with(prefix));
            is_ours && !word.ends_with('_')
        })
        .map(str::to_owned)
        .collect()
}

/// The names that are written in the program as a text of their own.
fn known() -> BTreeSet<String> {
    let mut files = Vec::new();
    files_below(&root().join("src"), &mut files);
    let mut known = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let literals = text.split('"').filter(|part| {
            let found = names(part);
            found.len() == 1 && found.contains(*part)
        });
        known.extend(literals.map(str::to_owned));
    }
    assert!(known.contains("RECONCILER_REPOSITORY") && known.contains("RECONCILER_LISTEN"));
    known
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_reconciler"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The arguments of `reconciler` in a command, all of which must be a command and flags of it.
fn check_arguments(arguments: &[&str]) {
    let (command, flags) = arguments.split_first().unwrap();
    let help = help(&[command, "--help"]);
    for flag in flags.iter().filter(|word| word.starts_with('-')) {
        let name = flag.split('=').next().unwrap();
        assert!(help.contains(name), "{command} has no {name}");
    }
}

#[test]
fn only_variables_that_there_are_are_named() {
    let known = known();
    let mut files = vec![root().join("README.md")];
    for folder in ["container", "systemd", "railway"] {
        files_below(&root().join("deploy").join(folder), &mut files);
    }
    for file in files {
        for name in names(&fs::read_to_string(&file).unwrap()) {
            assert!(known.contains(&name), "{name} in {}", file.display());
        }
    }
}

#[test]
fn the_readme_names_every_variable_of_the_controller() {
    let readme = names(&read("README.md"));
    let read_by_it = [
        "src/cli/run.rs",
        "src/cli/orders.rs",
        "src/config.rs",
        "src/controller/settings.rs",
        "src/serve/settings.rs",
        "src/repository/access.rs",
        "src/store/bucket.rs",
    ];
    // Each is told where its command is, or is for tests.
    let elsewhere = [
        "RECONCILER_FOR",
        "RECONCILER_REASON",
        "RECONCILER_PAGES_URL",
    ];
    for file in read_by_it {
        for name in names(&read(file)) {
            assert!(
                readme.contains(&name) || elsewhere.contains(&name.as_str()),
                "{name} of {file}"
            );
        }
    }
}

#[test]
fn example_variables_hold_no_secret() {
    for path in VARIABLES {
        let text = read(path);
        for line in text.lines().filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.trim_start_matches('#').split_once('=') else {
                assert!(line.starts_with('#'), "{path}: {line}");
                continue;
            };
            if name.contains(' ') {
                continue;
            }
            let is_known = name == PORT || name == REFERRED || !names(name).is_empty();
            assert!(is_known, "{path}: {line}");
            let is_secret = ["TOKEN", "SECRET", "KEY"]
                .iter()
                .any(|word| name.contains(word));
            assert!(!is_secret || value.is_empty(), "{path}: {name}");
        }
    }
}

/// A line that is empty in the example is given to the program as empty: a flag's twin would take that for a value.
#[test]
fn what_is_left_empty_in_an_example_is_no_flag() {
    let help = help(&["run", "--help"]);
    for path in VARIABLES {
        let text = read(path);
        let empty = text.lines().filter_map(|line| line.strip_suffix('='));
        for name in empty.filter(|name| !name.starts_with('#')) {
            assert!(!help.contains(&format!("env: {name}=")), "{path}: {name}");
        }
    }
}

/// The instructions of the container file, a line each.
fn instructions() -> Vec<(String, String)> {
    let text = read(CONTAINER);
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined: Vec<&str> = lines.collect();
    let joined = joined.join("\n").replace("\\\n", " ");
    let instructions = joined.lines().filter_map(|line| line.split_once(' '));
    instructions
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn of(name: &str) -> Vec<String> {
    let all = instructions().into_iter();
    all.filter(|(instruction, _)| instruction == name)
        .map(|(_, rest)| rest)
        .collect()
}

#[test]
fn images_have_a_version_and_no_registry() {
    let images = of("FROM");
    assert_eq!(images.len(), 2);
    for image in images {
        let image = image.split(' ').next().unwrap();
        let (name, tag) = image
            .split_once(':')
            .unwrap_or_else(|| panic!("{image} has no tag"));
        assert!(!tag.is_empty() && tag != "latest", "{image}");
        assert!(!name.contains(['/', '.']), "{image}");
    }
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).unwrap();
    let version = version.split('"').next().unwrap();
    let version = version.rsplit_once('.').unwrap().0;
    assert!(of("FROM")[0].starts_with(&format!("rust:{version}-")));
}

#[test]
fn the_container_runs_as_nobody_of_importance() {
    let users = of("USER");
    let (user, group) = users.last().unwrap().split_once(':').unwrap();
    let number = |text: &str| text.parse::<u32>().unwrap();
    assert!(number(user) >= 1000 && number(group) >= 1000);
    // Everything that needs root comes before.
    let all = instructions();
    let last = all.iter().rposition(|(name, _)| name == "USER").unwrap();
    assert!(
        all[last..]
            .iter()
            .all(|(name, _)| name != "RUN" && name != "COPY")
    );

    let builds = of("RUN");
    assert!(
        builds
            .iter()
            .any(|build| build.contains("cargo build") && build.contains("--locked"))
    );
    assert!(
        builds
            .iter()
            .any(|build| build.contains("/var/lib/reconciler"))
    );
    // Railway refuses an image that declares one.
    assert!(of("VOLUME").is_empty());
}

#[test]
fn the_container_starts_the_controller_without_a_shell() {
    let words = |name: &str| -> Vec<String> {
        let text = of(name).pop().unwrap();
        serde_json::from_str(&text).unwrap_or_else(|failure| panic!("{name} {text}: {failure}"))
    };
    let entry = words("ENTRYPOINT");
    assert!(entry.last().unwrap().ends_with("/reconciler"));
    assert!(entry.iter().all(|word| !word.ends_with("sh")), "{entry:?}");
    let command = words("CMD");
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    assert_eq!(command[0], "run");
    check_arguments(&command);
}

/// Runs the health check of the image against a server that answers with a status.
fn is_healthy(status: &str) -> bool {
    let check = of("HEALTHCHECK").pop().unwrap();
    let (_, command) = check.split_once("CMD ").unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let answer = format!("HTTP/1.0 {status}\r\ncontent-length: 0\r\n\r\n");
    let asked = thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            asked.extend(byte);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    let result = Command::new(&command[0])
        .args(&command[1..])
        .env("RECONCILER_LISTEN", format!("0.0.0.0:{port}"))
        .status()
        .unwrap();
    assert!(
        asked
            .join()
            .unwrap()
            .starts_with("GET /healthz HTTP/1.0\r\n")
    );
    result.success()
}

#[test]
fn the_health_check_of_the_image_hears_what_the_controller_says() {
    assert!(is_healthy("200 OK"));
    assert!(!is_healthy("503 Service Unavailable"));
}

/// What the unit says under a name; the last one holds.
fn setting(name: &str) -> String {
    let unit = read(UNIT);
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    let mut values = lines
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let last = values.next_back();
    last.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

#[test]
fn the_unit_starts_the_controller_and_gives_it_its_directory_alone() {
    let command = setting("ExecStart");
    let words: Vec<&str> = command.split(' ').collect();
    assert!(words[0].ends_with("/reconciler"));
    assert_eq!(words[1], "run");
    check_arguments(&words[1..]);

    let state = format!("[default: /var/lib/{}]", setting("StateDirectory"));
    assert!(help(&["run", "--help"]).contains(&state), "{state}");
    let expected = [
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("Restart", "always"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
    ];
    for (name, value) in expected {
        assert_eq!(setting(name), value, "{name}");
    }
    assert!(setting("MemoryMax").ends_with('M'));
    assert!(setting("EnvironmentFile").starts_with("/etc/reconciler/"));
}
