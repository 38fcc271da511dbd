//! What a terminal, a pipe and a comment on a pull request are given: widths, colours, questions, and nothing that acts on them.

use super::scene::{BINARY, Ran, Scene, scene, scene_of, scene_with};
use sandbox::HandEdit;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ESCAPE: char = '\u{1b}';

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let scene = scene();
    for arguments in [
        &["diff", "production", "-o", "json"][..],
        &["diff", "production"],
        &["show", "production"],
        &["schema", "Service"],
        &["completion", "bash"],
        &["explain", "service"],
        &["doctor"],
        &["--help"],
    ] {
        let mut child = scene.start(arguments);
        drop(child.stdout.take());
        let ran = Ran::of(child.wait_with_output().unwrap(), arguments);
        assert!(
            ran.code.is_some_and(|code| code < 2),
            "{:?}\n{}",
            ran.code,
            ran.err
        );
        ran.says_nothing();
    }
    let mut child = scene.start(&["validate", "nowhere"]);
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn no_line_of_a_diff_is_wider_than_the_columns_but_for_single_words() {
    let scene = scene().set("COLUMNS", "60");
    scene.railway.by_hand(HandEdit::Stage {
        environment: "production".to_owned(),
        patch: json!({ "services": { "web": { "variables": { "A_RATHER_LONG_NAME_OF_A_VARIABLE": { "value": "x" }, "ANOTHER_RATHER_LONG_NAME": { "value": "y" } } } } }),
    });
    let held = scene.run(&["diff", "production"]).exits(1).prints("hold");
    let scene = super::scene::scene().set("COLUMNS", "60");
    scene.release("1.5.0-bad");
    let made = scene.run(&["diff", "production"]).exits(1);
    scene.run(&["apply", "--yes", "production"]).exits(6);
    let failed = scene.run(&["diff", "production"]).exits(1);

    for out in [held.out, made.out, failed.out] {
        for line in out.lines().filter(|line| line.chars().count() > 60) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words.len(), 1, "wider than 60: {line}");
        }
        assert!(out.lines().any(|line| line.chars().count() > 45));
    }
}

#[test]
fn colours_do_not_go_into_a_pipe_unless_they_are_wanted() {
    let scene = scene();
    for arguments in [
        &["diff", "production"][..],
        &["validate", "nowhere"],
        &["--help"],
    ] {
        let plain = scene.run(arguments);
        assert!(!plain.out.contains(ESCAPE) && !plain.err.contains(ESCAPE));
    }
    let wanted = scene.run(&["diff", "production", "--color", "always"]);
    assert!(
        wanted.out.contains("\u{1b}[1m\u{1b}[32mmake"),
        "{:?}",
        wanted.out
    );
    let wanted = scene.run(&["validate", "nowhere", "--color", "always"]);
    assert!(wanted.err.contains("\u{1b}[1;31merror\u{1b}[0m: "));
}

#[test]
fn waiting_is_told_in_a_log_only_when_it_is_for_something_else() {
    let scene = scene_with(
        "timings: { queue: 0.1, initialize: 0.1, build: 0.1, deploy: 8, healthcheck: 0.1 }\n",
    );

    let apply = scene.run(&["apply", "--yes", "production"]).exits(0);

    let waits: Vec<&str> = apply
        .err
        .lines()
        .filter(|line| line.contains("waiting:"))
        .collect();
    assert!(!waits.is_empty());
    assert!(waits.windows(2).all(|two| two[0] != two[1]), "{waits:#?}");
}

/// The same on a terminal of its own.
pub struct Terminal {
    child: Child,
    arguments: Vec<String>,
}

pub fn on_terminal(scene: &Scene, arguments: &[&str], settings: &[(&str, &str)]) -> Terminal {
    let mut command = scene.command(&[]);
    let line = format!("{BINARY} {}", arguments.join(" "));
    let envs: Vec<(String, String)> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
        .collect();
    command = Command::new("script");
    command
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env_clear()
        .envs(envs)
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .env("PATH", "/usr/bin:/bin")
        .envs(settings.iter().copied())
        .current_dir(&scene.home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    Terminal {
        child: command.spawn().unwrap(),
        arguments: arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect(),
    }
}

impl Terminal {
    /// Types after it was asked, and gives all that the screen showed.
    pub fn types(mut self, after: &str, keys: &str) -> Ran {
        let mut shown = Vec::new();
        let mut screen = self.child.stdout.take().unwrap();
        let mut chunk = [0; 4096];
        let mut keys = Some(keys);
        loop {
            let count = screen.read(&mut chunk).unwrap();
            if count == 0 {
                break;
            }
            shown.extend_from_slice(&chunk[..count]);
            if String::from_utf8_lossy(&shown).contains(after)
                && let Some(keys) = keys.take()
            {
                std::thread::sleep(Duration::from_millis(50));
                let typed = self.child.stdin.as_mut().unwrap();
                typed.write_all(keys.as_bytes()).unwrap();
                typed.flush().unwrap();
            }
        }
        Ran {
            code: self.child.wait().unwrap().code(),
            out: String::from_utf8(shown).unwrap(),
            err: String::new(),
            command: self.arguments.join(" "),
        }
    }

    pub fn shows(self) -> Ran {
        self.types("\u{0}", "")
    }
}

#[test]
fn colours_are_for_terminals_and_not_for_those_who_do_not_want_them() {
    let scene = scene();
    let diff: &[&str] = &["diff", "production"];

    let colored = on_terminal(&scene, diff, &[]).shows().exits(1);
    assert!(
        colored.out.contains("\u{1b}[1m\u{1b}[32mmake"),
        "{:?}",
        colored.out
    );
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_terminal(&scene, diff, &[(name, value)]).shows().exits(1);
        assert!(!plain.out.contains(ESCAPE), "{name}: {:?}", plain.out);
    }
    let in_ci = on_terminal(&scene, diff, &[("CI", "true")])
        .shows()
        .exits(1);
    assert!(
        !in_ci.out.contains('\r') || !in_ci.out.contains("looking"),
        "a line moves in CI: {:?}",
        in_ci.out
    );
}

#[test]
fn a_person_is_asked_once_and_only_yes_means_yes() {
    let apply: &[&str] = &["apply", "production"];
    for (answer, code) in [("n\r", 2), ("\r", 2), ("maybe\r", 2)] {
        let scene = scene();
        on_terminal(&scene, apply, &[])
            .types("Apply? [y/N]", answer)
            .exits(code)
            .prints("nothing was changed");
        scene.changed_nothing();
    }
    let scene = scene();
    let yes = on_terminal(&scene, apply, &[]).types("Apply? [y/N]", "y\r");
    let yes = yes.exits(0).prints("In step: 1 write");
    assert_eq!(yes.out.matches("Apply?").count(), 1);
    let in_ci = super::scene::scene();
    on_terminal(&in_ci, apply, &[("CI", "true")])
        .shows()
        .exits(2)
        .prints("nobody can be asked here");
    in_ci.changed_nothing();
}

#[test]
fn ctrl_c_at_the_question_ends_it_at_once_with_nothing_changed() {
    let scene = scene();

    let ran = on_terminal(&scene, &["apply", "production"], &[]).types("Apply? [y/N]", "\u{3}");

    ran.exits(130);
    scene.changed_nothing();
}

/// What acts on a screen, in a page or in a shell: none of it may reach one.
const NASTY: &str = "a\u{1b}[2J\u{1b}]0;pwned\u{7}\r\n\u{9b}31m\u{202e}evil\u{2066}\u{200b}\u{7f}\u{85}\u{2028}\u{feff}";

fn acts_on_the_screen(sign: char) -> bool {
    let invisible = ['\u{200b}', '\u{202e}', '\u{2028}', '\u{2066}', '\u{feff}'];
    (sign.is_control() && sign != '\n') || invisible.contains(&sign)
}

#[track_caller]
fn is_harmless(ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        let found = text.chars().find(|sign| acts_on_the_screen(*sign));
        assert_eq!(found, None, "$ {}\n{text:?}", ran.command);
    }
}

/// A Railway where somebody has given everything a nasty name or value.
fn nasty() -> Scene {
    let service = |image: &str| json!({ "image": image, "variables": { "PLAIN": format!("${{{{redis.{NASTY}}}}}"), "LOG_LEVEL": NASTY }, "deploy": { "healthcheckPath": format!("/{NASTY}") } });
    let mut services = serde_json::Map::new();
    services.insert("web".to_owned(), service("ghcr.io/nasty/app:1"));
    services.insert(
        "bad".to_owned(),
        service(&format!("ghcr.io/nasty/app:{NASTY}")),
    );
    services.insert(format!("wrker{NASTY}"), service("ghcr.io/nasty/app:1"));
    let project = format!("nasty{NASTY}");
    let timings: Value = json!({ "queue": 0.05, "initialize": 0.05, "build": 0.05, "deploy": 0.05, "healthcheck": 0.05 });
    let seed = json!({
        "timings": timings,
        "projects": { (project.clone()): { "id": "5e27a000-0000-4000-8000-000000000009", "environments": { "production": { "services": services } } } },
        "images": { "ghcr.io/nasty/app:2": { "outcome": "failed", "log": [NASTY, "second line"] } },
        "tokens": { "nasty-token": { "kind": "project", "project": project, "environment": "production" } },
    });
    let scene = scene_of(&ascii(&seed)).set("RAILWAY_TOKEN", "nasty-token");
    fs::remove_dir_all(scene.path("production")).unwrap();
    scene.write(
        "production/environment.yaml",
        "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: { name: production }\nspec:\n  railway: { project: 5e27a000-0000-4000-8000-000000000009, environment: production }\n",
    );
    scene.write(
        "production/services.yaml",
        "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: web }\nspec:\n  image: ghcr.io/nasty/app:2\n  ready: { path: /live }\n  variables: { PLAIN: new, LOG_LEVEL: info, NASTY: \"a\\e[2J\\u202Eevil\\x07 \\u200b\" }\n---\n\
         apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: bad }\nspec: { image: ghcr.io/nasty/app:1 }\n---\n\
         apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: { name: wrker }\nspec: { image: ghcr.io/nasty/app:1 }\n",
    );
    scene
}

/// As JSON that YAML reads, too: with no character but those of a keyboard.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for sign in value.to_string().chars() {
        if (' '..='~').contains(&sign) {
            text.push(sign);
        } else {
            text.push_str(&format!("\\u{:04x}", u32::from(sign)));
        }
    }
    text
}

#[test]
fn names_and_values_from_outside_never_act_on_the_screen() {
    let scene = nasty();
    let stage = |path: &str| json!({ "services": { "web": { "variables": { (path): { "value": "x" } } } } });

    for arguments in [
        &["diff", "production"][..],
        &["diff", "production", "-o", "json"],
        &["diff", "production", "-o", "markdown"],
        &["show", "production"],
        &["show", "production", "-o", "json"],
        &["doctor", "production"],
        &["apply", "production"],
        &["apply", "--yes", "production"],
        &["diff", "production"],
        &["--log", "debug", "diff", "production"],
    ] {
        let ran = scene.run(arguments);
        assert!(ran.code.is_some_and(|code| code != 3), "{}", ran.err);
        is_harmless(&ran);
    }
    scene.railway.by_hand(HandEdit::Stage {
        environment: "production".to_owned(),
        patch: stage(NASTY),
    });
    is_harmless(&scene.run(&["diff", "production"]));

    // A token of a project whose name is nasty, for manifests of another one.
    scene.replace(
        "production/environment.yaml",
        "5e27a000-0000-4000-8000-000000000009",
        "other",
    );
    let other = scene.run(&["diff", "production"]).exits(4);
    is_harmless(&other);

    // What is typed and what lies in the directory is from outside, too.
    for arguments in [
        &["show", "production", NASTY][..],
        &["explain", NASTY],
        &["schema", NASTY],
        &["validate", NASTY],
        &["apply", "--yes", NASTY],
        &["diff", "production", "--out", NASTY],
    ] {
        is_harmless(&scene.run(arguments));
    }
    scene.write(
        &format!("production/{NASTY}.yaml"),
        format!("kind: {NASTY}\nmetadata: 3\n"),
    );
    for output in ["text", "json", "github"] {
        is_harmless(
            &scene
                .run(&["validate", "production", "-o", output])
                .exits(3),
        );
    }
}

#[test]
fn json_stays_json_when_names_and_values_are_nasty() {
    let scene = nasty();
    scene.run(&["show", "production", "-o", "json"]).exits(0);
    let diff = scene.run(&["diff", "production", "-o", "json"]).json();
    assert!(
        diff["railway"]["project"]["name"]
            .as_str()
            .unwrap()
            .ends_with(NASTY)
    );
}

const TEMPTING: &str = "`x` | <b>y</b> @octocat [l](http://evil.test) ![i](//evil.test/i) www.evil.test #12 $\\(z\\)$ </code></details> -->";

#[test]
fn nothing_in_a_value_can_leave_its_place_in_the_markdown() {
    let scene = scene();
    scene.write(
        "production/extra.yaml",
        format!(
            "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: redis, from: base }}\nspec:\n  variables:\n    GREETING: {}\n    OTHER: {}\n",
            json!(TEMPTING),
            json!("@octocat\n\n# title\n- [ ] http://evil.test")
        ),
    );

    let markdown = scene
        .run(&["diff", "production", "-o", "markdown"])
        .exits(1)
        .out;

    let rows: Vec<&str> = markdown
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    assert!(rows.iter().any(|row| row.contains("GREETING")));
    for row in rows {
        assert_eq!(row.matches('|').count(), 5, "{row}");
    }
    let ours = [
        "<code>",
        "</code>",
        "<details open>",
        "<details>",
        "</details>",
        "<summary>",
        "</summary>",
        "<br>",
        "<!-- reconciler production -->",
    ];
    let rest = ours
        .iter()
        .fold(markdown.clone(), |text, tag| text.replace(tag, ""));
    let rest = without_entities(&rest);
    for sign in ['<', '>', '`', '@', '[', ']', '\\'] {
        assert!(!rest.contains(sign), "{sign} in\n{rest}");
    }
    for link in ["http://", "https://", "www.", "#12", "# title"] {
        assert!(!rest.contains(link), "{link} in\n{rest}");
    }
    assert_eq!(
        markdown.matches("<code>").count(),
        markdown.matches("</code>").count()
    );
    assert_eq!(markdown.matches("<details").count(), 1);
    let mentions = markdown
        .replace("&#64;&#8203;", "")
        .replace("&#35;&#8203;", "");
    assert!(
        !mentions.contains("&#64;") && !mentions.contains("&#35;"),
        "a mention is made of the decoded text"
    );
}

/// Signs that are written by their number do nothing in Markdown.
fn without_entities(text: &str) -> String {
    let mut parts = text.split("&#");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let (number, rest) = part.split_once(';').unwrap();
        assert!(number.parse::<u32>().is_ok(), "&#{number}");
        text + "\u{fffc}" + rest
    })
}

#[test]
fn markdown_of_two_thousand_steps_fits_into_a_comment_and_says_what_it_leaves_out() {
    let mut services = serde_json::Map::new();
    let mut manifests = String::new();
    for number in 0..200 {
        let name = format!("service-{number}");
        services.insert(name.clone(), json!({ "image": "ghcr.io/many/app:1" }));
        let variables: Vec<String> = (0..10)
            .map(|at| format!("VARIABLE_{at}: \"@{}\"", "<&>".repeat(16)))
            .collect();
        manifests.push_str(&format!(
            "---\napiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ variables: {{ {} }} }}\n",
            variables.join(", ")
        ));
    }
    let seed = json!({
        "projects": { "many": { "environments": { "production": { "services": services } } } },
        "tokens": { "many-token": { "kind": "project", "project": "many", "environment": "production" } },
    });
    let scene = scene_of(&seed.to_string()).set("RAILWAY_TOKEN", "many-token");
    fs::remove_dir_all(scene.path("production")).unwrap();
    scene.write(
        "production/all.yaml",
        format!("apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: {{ name: production }}\nspec:\n  railway: {{ project: many, environment: production }}\n{manifests}"),
    );

    let markdown = scene
        .run(&["diff", "production", "-o", "markdown"])
        .exits(1);
    let json = scene
        .run(&["diff", "production", "-o", "json"])
        .exits(1)
        .json();

    assert_eq!(json["toMake"], 2_000);
    assert!(markdown.out.len() < 65_536, "{} bytes", markdown.out.len());
    let rows = markdown.out.matches("\n| make |").count();
    let markdown = markdown.prints(&format!("{} more lines do not fit here", 2_000 - rows));
    assert!(markdown.out.contains("</details>"));
}
