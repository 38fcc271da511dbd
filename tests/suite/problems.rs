//! Every problem that manifests can have, as people read it: one page, `tests/problems.md`, to be read as a whole.
//!
//! `UPDATE_PROBLEMS=1` writes it anew; read the difference before you commit it.

use jiff::Timestamp;
use reconciler::files::read_directory;
use reconciler::manifest::{self, Checked, Parses, Style};
use reconciler::problem::Problem;
use reconciler::repository::conflicts;
use reconciler::source::Files;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const ENVIRONMENT: &str = "apiVersion: reconciler/v1alpha1
kind: Environment
metadata: { name: production }
spec:
  railway: { project: shop, environment: production }
  secrets: { prefix: PRODUCTION_ }
";

/// What somebody did, and the files that came of it.
struct Case {
    what: &'static str,
    files: Vec<(String, String)>,
}

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: reconciler/v1alpha1\nkind: {kind}\nmetadata: {{ name: {name} }}\nspec:\n  {}\n",
        spec.replace('\n', "\n  ")
    )
}

fn web(spec: &str) -> String {
    document("Service", "web", spec)
}

/// A file beside a good Environment.
fn beside(what: &'static str, text: impl Into<String>) -> Case {
    Case {
        what,
        files: vec![
            (
                "production/environment.yaml".to_owned(),
                ENVIRONMENT.to_owned(),
            ),
            ("production/app.yaml".to_owned(), text.into()),
        ],
    }
}

/// Nothing but these files.
fn only(what: &'static str, files: &[(&str, String)]) -> Case {
    Case {
        what,
        files: files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.clone()))
            .collect(),
    }
}

/// A file over a base with `web` and `site`.
fn over(what: &'static str, text: &str) -> Case {
    let base = web("release: app\nstart: node server.js\nvariables: { LOG_LEVEL: info }")
        + "---\n"
        + &document("Release", "app", "image: \"shop/app:1\"")
        + "---\n"
        + &document(
            "Maintenance",
            "site",
            "enabled: false\nservices: [web]\nby: { variable: CLOSED }",
        );
    only(
        what,
        &[
            (
                "production/environment.yaml",
                ENVIRONMENT.replace("spec:\n", "spec:\n  base: ../base\n"),
            ),
            ("base/app.yaml", base),
            ("production/sizes.yaml", text.to_owned()),
        ],
    )
}

fn cases() -> Vec<Case> {
    let head = "apiVersion: reconciler/v1alpha1\nkind: Service\n";
    let maintenance = |spec: &str| {
        web("image: \"shop/app:1\"\nvariables: { LOG_LEVEL: info }")
            + "---\n"
            + &document("Maintenance", "site", spec)
    };
    let redis = |queue: &str| {
        document("Redis", "main", "service: redis") + "---\n" + &document("Queue", "orders", queue)
    };
    let mut cases = vec![
        beside("A closing brace is missing", "kind: { a: b\n"),
        beside(
            "A tab indents",
            "apiVersion: reconciler/v1alpha1\nkind: Service\nmetadata:\n\tname: web\n",
        ),
        beside("A key stands twice", web("replicas: 1\nreplicas: 2")),
        beside("An anchor", web("variables: &all { A: b }")),
        beside("A merge key", web("variables: { <<: { A: b } }")),
        beside("A tag", web("start: !!str node")),
        beside("A word that old YAML takes for a truth", web("sleep: yes")),
        beside("A truth in capitals", web("sleep: True")),
        beside(
            "A number in the writing of a programmer",
            web("replicas: 0x10"),
        ),
        beside(
            "A decimal where text is meant",
            web("variables: { VERSION: 1.10 }"),
        ),
        beside(
            "An invisible character",
            web("start: \"node\u{202e} server.js\""),
        ),
        beside(
            "A list instead of a map",
            "- apiVersion: reconciler/v1alpha1\n",
        ),
        beside("A document without anything", "{}\n"),
        beside(
            "An unknown version",
            "apiVersion: reconciler/v1\nkind: Service\nmetadata: { name: web }\nspec: {}\n",
        ),
        beside(
            "A misspelt kind",
            "apiVersion: reconciler/v1alpha1\nkind: Servce\nmetadata: { name: web }\nspec: {}\n",
        ),
        beside(
            "A kind of somebody else",
            "apiVersion: reconciler/v1alpha1\nkind: Deployment\nmetadata: { name: web }\nspec: {}\n",
        ),
        beside(
            "A kind of a later version",
            "apiVersion: reconciler/v1alpha1\nkind: Database\nmetadata: { name: main }\nspec: {}\n",
        ),
        beside(
            "A kind that is no text",
            "apiVersion: reconciler/v1alpha1\nkind: [Service]\nmetadata: { name: web }\nspec: {}\n",
        ),
        beside(
            "Metadata that is text",
            format!("{head}metadata: web\nspec: {{}}\n"),
        ),
        beside(
            "A name that is missing",
            format!("{head}metadata: {{}}\nspec: {{}}\n"),
        ),
        beside(
            "A name that cannot be one",
            format!("{head}metadata: {{ name: \"my web\" }}\nspec: {{}}\n"),
        ),
        beside(
            "A name that is a number",
            format!("{head}metadata: {{ name: 12 }}\nspec: {{}}\n"),
        ),
        beside(
            "A field of Kubernetes",
            format!("{head}metadata: {{ name: web, labels: {{ a: b }} }}\nspec: {{}}\n"),
        ),
        beside(
            "`from` something else",
            format!("{head}metadata: {{ name: web, from: bsae }}\nspec: {{}}\n"),
        ),
        beside("No spec", format!("{head}metadata: {{ name: web }}\n")),
        beside("A misspelt field", web("replica: 3")),
        beside("A field that is nothing like any", web("tolerations: []")),
        beside(
            "A misspelt field further down",
            web("ready: { path: /live, wihtin: 2m }"),
        ),
        beside(
            "A field that is missing further down",
            web("ready: { within: 2m }"),
        ),
        beside("Text instead of a number", web("replicas: three")),
        beside("More replicas than Railway has", web("replicas: 99")),
        beside(
            "More replicas than Railway has, by regions",
            web("replicas: { us-west2: 40, europe-west4-drams3a: 20 }"),
        ),
        beside("No region", web("replicas: {}")),
        beside("No replicas", web("replicas: 0")),
        beside(
            "A duration without a unit",
            web("ready: { path: /live, within: 120 }"),
        ),
        beside(
            "A duration of a kind that is not known",
            web("handOver: { drain: 1 fortnight }"),
        ),
        beside(
            "A path that does not begin with a slash",
            web("ready: { path: live }"),
        ),
        beside(
            "A time without a zone",
            web("restartedAfter: 2026-11-23 03:05"),
        ),
        beside(
            "A day that is none",
            web("restartedAfter: 2026-02-31T03:05:00Z"),
        ),
        beside(
            "A time far ahead",
            web("restartedAfter: 2026-12-31T03:05:00Z"),
        ),
        beside("Memory without a unit", web("limits: { memory: 2048 }")),
        beside("Half a processor too few", web("limits: { cpu: 0 }")),
        beside("A schedule with four fields", web("cron: \"0 3 * *\"")),
        beside(
            "A schedule together with replicas and sleep",
            web("cron: \"0 3 * * *\"\nreplicas: 2\nsleep: true"),
        ),
        beside(
            "A restart policy that is not known",
            web("restartPolicy: sometimes"),
        ),
        beside("A commit that is short", web("commit: 4f2a91c")),
        beside(
            "A commit that every push would leave",
            web("commit: 4f2a91c07d3be8a5f61290cc4d7e8b1a3f5c6d72\npushToDeploy: true"),
        ),
        beside(
            "Two things to run",
            web("image: \"shop/app:1\"\nrelease: app")
                + "---\n"
                + &document("Release", "app", "image: \"shop/app:1\""),
        ),
        beside(
            "A Release of another name",
            web("release: ap") + "---\n" + &document("Release", "app", "image: \"shop/app:1\""),
        ),
        beside("A Release that nobody declared", web("release: app")),
        beside("A Release of nothing", document("Release", "app", "{}")),
        beside("A command that is empty", web("start: \"\"")),
        beside(
            "A variable without a value",
            web("variables: { LOG_LEVEL: }"),
        ),
        beside(
            "A variable that is empty",
            web("variables: { LOG_LEVEL: \"\" }"),
        ),
        beside(
            "A variable that is a list",
            web("variables: { HOSTS: [a, b] }"),
        ),
        beside(
            "A name that cannot be a variable",
            web("variables: { \"LOG-LEVEL\": info }"),
        ),
        beside(
            "A variable of Railway's own",
            web("variables: { RAILWAY_TOKEN: x }"),
        ),
        beside(
            "A misspelt variable of Railway's",
            web("variables: { RAILWAY_HEALTCHECK_TIMEOUT_SEC: 60 }"),
        ),
        beside(
            "A variable and a field for the same thing",
            web(
                "ready: { path: /live, within: 2m }\nvariables: { RAILWAY_HEALTHCHECK_TIMEOUT_SEC: 60 }",
            ),
        ),
        beside(
            "A secret that is misspelt",
            web("variables: { KEY: { form: { secret: KEY } } }"),
        ),
        beside(
            "A secret beside an absence",
            web("variables: { KEY: { from: { secret: KEY }, absent: true } }"),
        ),
        beside(
            "A secret with a path for a name",
            web("variables: { KEY: { from: { secret: ../KEY } } }"),
        ),
        beside(
            "A registry without a password",
            web("registry: { username: deploy }"),
        ),
        only(
            "A secret where none can be reached",
            &[
                (
                    "production/environment.yaml",
                    ENVIRONMENT.replace("  secrets: { prefix: PRODUCTION_ }\n", ""),
                ),
                (
                    "production/app.yaml",
                    web("variables: { KEY: { from: { secret: KEY } } }"),
                ),
            ],
        ),
        only(
            "A prefix that reaches everything",
            &[(
                "production/environment.yaml",
                ENVIRONMENT.replace("PRODUCTION_", "P"),
            )],
        ),
        only(
            "No Environment",
            &[("production/app.yaml", web("replicas: 1"))],
        ),
        only(
            "Two Environments",
            &[
                ("production/environment.yaml", ENVIRONMENT.to_owned()),
                (
                    "production/staging.yaml",
                    ENVIRONMENT.replace("name: production", "name: staging"),
                ),
            ],
        ),
        only(
            "An Environment without a place",
            &[(
                "production/environment.yaml",
                ENVIRONMENT.replace(
                    "  railway: { project: shop, environment: production }\n",
                    "",
                ),
            )],
        ),
        only(
            "A word that `removed` does not know",
            &[(
                "production/environment.yaml",
                format!("{ENVIRONMENT}  removed: {{ services: delete }}\n"),
            )],
        ),
        only(
            "Rollback at once, or for ever",
            &[(
                "production/environment.yaml",
                format!("{ENVIRONMENT}  rollback: {{ unhealthyFor: 1s, within: 90d }}\n"),
            )],
        ),
        only(
            "Rollback without saying when",
            &[(
                "production/environment.yaml",
                format!("{ENVIRONMENT}  rollback: {{ unhealthyFor: 3m }}\n"),
            )],
        ),
        only(
            "A base that is somewhere else",
            &[(
                "production/environment.yaml",
                ENVIRONMENT.replace("spec:\n", "spec:\n  base: /etc\n"),
            )],
        ),
        only(
            "A base that is the directory itself",
            &[(
                "production/environment.yaml",
                ENVIRONMENT.replace("spec:\n", "spec:\n  base: .\n"),
            )],
        ),
        only(
            "A base that holds nothing",
            &[(
                "production/environment.yaml",
                ENVIRONMENT.replace("spec:\n", "spec:\n  base: ../bsae\n"),
            )],
        ),
        only(
            "A base that leaves out what it does not hold",
            &[
                (
                    "production/environment.yaml",
                    ENVIRONMENT.replace(
                        "spec:\n",
                        "spec:\n  base: { path: ../base, without: [Service/wroker] }\n",
                    ),
                ),
                (
                    "base/app.yaml",
                    document("Service", "worker", "replicas: 1"),
                ),
            ],
        ),
        only(
            "What cannot be shared in the base",
            &[
                (
                    "production/environment.yaml",
                    ENVIRONMENT.replace("spec:\n", "spec:\n  base: ../base\n"),
                ),
                (
                    "base/approval.yaml",
                    document(
                        "Approval",
                        "1a2b3c4d",
                        "allow: release Service/redis\nloses: data\nuntil: 2026-11-23T05:00:00Z",
                    ),
                ),
            ],
        ),
        beside(
            "One thing twice",
            web("replicas: 1") + "---\n" + &web("replicas: 2"),
        ),
        beside(
            "Two names that differ in case",
            web("replicas: 1") + "---\n" + &document("Service", "Web", "replicas: 2"),
        ),
        over("A namesake in the base", &web("replicas: 3")),
        over(
            "An overlay of nothing",
            &web("replicas: 3").replace("name: web", "name: wbe, from: base"),
        ),
        over(
            "Two overlays of one thing",
            &(web("replicas: 3").replace("name: web", "name: web, from: base")
                + "---\n"
                + &web("sleep: true").replace("name: web", "name: web, from: base")),
        ),
        over(
            "A mistake in an overlay",
            &web("variables: { LOG_LEVEL: [] }").replace("name: web", "name: web, from: base"),
        ),
        over(
            "Closed without an end",
            &document("Maintenance", "site, from: base", "enabled: true"),
        ),
        over(
            "Closed by an image over a service that does not say what to put back",
            &document(
                "Maintenance",
                "site, from: base",
                "by: { image: \"shop/closed:1\" }",
            ),
        ),
        beside(
            "A Maintenance without its services",
            maintenance("enabled: false\nby: { variable: CLOSED }"),
        ),
        beside(
            "A Maintenance of nothing",
            maintenance("enabled: false\nservices: []\nby: { variable: CLOSED }"),
        ),
        beside(
            "A Maintenance of a service that is misspelt",
            maintenance("enabled: false\nservices: [wbe]\nby: { variable: CLOSED }"),
        ),
        beside(
            "A Maintenance of a service that is nowhere",
            maintenance("enabled: false\nservices: [billing]\nby: { variable: CLOSED }"),
        ),
        beside(
            "A Maintenance in two ways",
            maintenance(
                "enabled: false\nservices: [web]\nby: { variable: CLOSED, image: \"shop/closed:1\" }",
            ),
        ),
        beside(
            "A Maintenance in no way",
            maintenance("enabled: false\nservices: [web]\nby: {}"),
        ),
        beside(
            "A Maintenance by a variable that the service declares",
            maintenance("enabled: false\nservices: [web]\nby: { variable: LOG_LEVEL }"),
        ),
        beside(
            "Two Maintenances of one service",
            maintenance("enabled: false\nservices: [web]\nby: { variable: CLOSED }")
                + "---\n"
                + &document(
                    "Maintenance",
                    "shop",
                    "enabled: false\nservices: [web]\nby: { variable: CLOSED }",
                ),
        ),
        beside(
            "A Maintenance that pauses a queue that is misspelt, and one of Bull",
            maintenance(
                "enabled: false\nservices: [web]\nby: { key: closed, redis: mian }\npause: [ordres, old]",
            ) + "---\n"
                + &redis("redis: main\nlibrary: bullmq")
                + "---\n"
                + &document("Queue", "old", "redis: main\nlibrary: bull"),
        ),
        beside(
            "A Maintenance that waits for the jobs of no queue",
            maintenance("enabled: false\nservices: [web]\nby: { variable: CLOSED }\ndrain: 2m"),
        ),
        beside(
            "A Queue in a Redis that is misspelt",
            redis("redis: mian\nlibrary: bullmq"),
        ),
        beside(
            "A Queue without its Redis and its library",
            document("Queue", "orders", "maxActive: 3"),
        ),
        beside(
            "A Queue in which nothing could run",
            redis("redis: main\nlibrary: bullmq\nmaxActive: 0"),
        ),
        beside(
            "A Queue of Bull that is to be paused",
            redis("redis: main\nlibrary: bull\npaused: true"),
        ),
        beside(
            "A version that YAML takes for a number",
            redis("redis: main\nlibrary: bullmq\nversion: 5.20"),
        ),
        beside(
            "Failed jobs that go by themselves, and nothing keeps them",
            redis("redis: main\nlibrary: bullmq\nfailed: { keep: 7d }"),
        ),
        beside(
            "Failed jobs that go to a store that is nowhere",
            redis("redis: main\nlibrary: bullmq\nfailed: { keep: 7d, archive: backups }"),
        ),
        beside(
            "Two Queues of one queue",
            redis("redis: main\nlibrary: bullmq")
                + "---\n"
                + &document(
                    "Queue",
                    "again",
                    "redis: main\nlibrary: bullmq\nname: orders",
                ),
        ),
        beside("A Redis that is nowhere", document("Redis", "main", "{}")),
        beside(
            "A cache that fits everything, one that fits queues, and a policy that throws jobs away",
            redis("redis: main\nlibrary: bullmq").replace(
                "service: redis",
                "service: redis\n  memory: { max: 1GiB, policy: allkeys-lru }\n  protect: [\"session:*\"]\n  caches: { all: { keys: \"*\" }, b: { keys: \"b*\" }, s: { keys: \"session:web:*\" } }",
            ),
        ),
        beside(
            "Shares of a full server that are none",
            document(
                "Redis",
                "main",
                "service: redis\ncaches: { a: { keys: \"a:*\", purgeAbove: 80 }, b: { keys: \"b:*\", purgeAbove: 100% }, c: { keys: \"c:*\", purgeAbove: 0.8 } }",
            ),
        ),
        beside(
            "A Redis in two places",
            document(
                "Redis",
                "main",
                "service: redis\naddress: { from: { secret: REDIS } }",
            ),
        ),
        beside(
            "A page with a status that is none",
            maintenance(
                "enabled: false\nservices: [web]\nby: { variable: CLOSED }\npage: { closed: { status: 42 }, open: { status: 200 } }",
            ),
        ),
        beside(
            "A page at an address with a password",
            maintenance(
                "enabled: false\nservices: [web]\nby: { variable: CLOSED }\npage: { url: \"https://anna:secret@shop.example/\", closed: { status: 503 }, open: { status: 200 } }",
            ),
        ),
        beside(
            "Health that says nothing to ask",
            web("health: { every: 30s }"),
        ),
        beside(
            "Health in two places",
            web("health: { path: /api/health, url: \"https://shop.example/health\" }"),
        ),
        beside(
            "Health asked without a pause",
            web("health: { path: /api/health, every: 1s, within: 60s }"),
        ),
        beside(
            "Health with a word that is misspelt",
            web("health: { path: /api/health, fails: 3 }"),
        ),
        beside(
            "Health of a service on a schedule",
            web("cron: \"*/15 * * * *\"\nhealth: { path: /api/health }"),
        ),
        beside(
            "An Approval by any name",
            document(
                "Approval",
                "redis8",
                "allow: release Service/redis\nloses: data\nuntil: 2026-11-23T05:00:00Z",
            ),
        ),
        beside(
            "An Approval that holds too long",
            document(
                "Approval",
                "1a2b3c4d",
                "allow: release Service/redis\nloses: data\nuntil: 2026-12-23T05:00:00Z",
            ),
        ),
        beside(
            "A file that is larger than a manifest",
            format!("{}# {}\n", web("replicas: 1"), "x".repeat(1024 * 1024)),
        ),
        beside(
            "More items than can be read",
            format!("a: [{}]\n", "0,".repeat(200_000)),
        ),
        beside("Deeper than can be read", "[".repeat(5_000)),
    ];
    let policies = [
        ("A time to heal that is none", "drift: { heal: soon }"),
        ("A word that `drift` does not know", "drift: { after: 10m }"),
        (
            "A weekly window without a zone",
            "freeze: [{ from: \"fri 16:00\", to: \"mon 07:00\" }]",
        ),
        (
            "A window in a zone that there is not",
            "freeze: [{ from: \"fri 16:00\", to: \"mon 07:00\", timezone: Europe/Berln }]",
        ),
        (
            "A day in full",
            "freeze: [{ from: \"friday 16:00\", to: \"mon 07:00\", timezone: Europe/Berlin }]",
        ),
        (
            "An hour that no day has",
            "freeze: [{ from: \"fri 24:00\", to: \"mon 07:00\", timezone: Europe/Berlin }]",
        ),
        (
            "A window that is never open",
            "freeze: [{ from: \"fri 16:00\", to: \"fri 16:00\", timezone: UTC }]",
        ),
        (
            "A window that ends before it begins, with a zone of its own",
            "freeze: [{ from: 2026-12-24T00:00:00Z, to: 2026-12-23T00:00:00Z, timezone: UTC }]",
        ),
        (
            "A window of two sorts",
            "freeze: [{ from: \"fri 16:00\", to: 2026-12-23T00:00:00Z, timezone: UTC }]",
        ),
        (
            "A freeze that is lifted for ever",
            "overrideUntil: 2027-12-23T00:00:00Z",
        ),
        (
            "A receiver of two sorts",
            "notify: [{ slack: SLACK, webhook: HOOK, about: [hold] }]",
        ),
        (
            "A receiver that is told nothing",
            "notify: [{ slack: SLACK }]",
        ),
        (
            "A receiver by its address",
            "notify: [{ webhook: \"https://example.com/hook\", about: [hold] }]",
        ),
        (
            "A word that `about` does not know",
            "notify: [{ slack: SLACK, about: [holds] }]",
        ),
        (
            "A heartbeat that hammers",
            "heartbeat: { secret: HEARTBEAT_URL, every: 1s }",
        ),
    ];
    cases.extend(policies.into_iter().map(|(what, line)| {
        let text = format!("{ENVIRONMENT}  {line}\n");
        only(what, &[("production/environment.yaml", text)])
    }));
    cases.push(only(
        "A receiver where no secret can be reached",
        &[(
            "production/environment.yaml",
            ENVIRONMENT.replace("  secrets: { prefix: PRODUCTION_ }\n", "")
                + "  notify: [{ slack: SLACK, about: [hold] }]\n  heartbeat: { secret: HEARTBEAT_URL }\n",
        )],
    ));
    cases.push(Case {
        what: "More files than one environment has",
        files: (0..2_001)
            .map(|number| (format!("production/{number}.yaml"), String::new()))
            .collect(),
    });
    cases
}

fn now() -> Timestamp {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

fn of_case(case: &Case) -> (Vec<Problem>, Files) {
    let files = Files {
        directory: "production".to_owned(),
        texts: case
            .files
            .iter()
            .map(|(path, text)| (path.as_str().into(), text.as_str().into()))
            .collect(),
    };
    match manifest::load(&files, now()) {
        Ok(_) => panic!("{}: nothing is wrong with it", case.what),
        Err(problems) => (problems, files),
    }
}

/// What only a real directory can have.
fn of_disk() -> Vec<(&'static str, Vec<Problem>)> {
    let home = tempfile::tempdir().unwrap();
    let here = |path: &str| home.path().join(path);
    let write = |path: &str, text: &str| {
        fs::create_dir_all(here(path).parent().unwrap()).unwrap();
        fs::write(here(path), text).unwrap();
    };
    let deep = (0..18).fold("deep".to_owned(), |path, _| path + "/d");
    write(&format!("{deep}/a.yaml"), "");
    write("linked/environment.yaml", ENVIRONMENT);
    std::os::unix::fs::symlink(here("linked"), here("linked/again")).unwrap();
    write("file/environment.yaml", ENVIRONMENT);
    std::os::unix::fs::symlink("/etc/passwd", here("file/users.yaml")).unwrap();
    write("bytes/environment.yaml", "");
    fs::write(here("bytes/environment.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    write("huge/environment.yaml", &"x".repeat(2 * 1024 * 1024));
    for number in 0..2_001 {
        write(&format!("many/{number}.yaml"), "");
    }
    write(
        "based/environment.yaml",
        &ENVIRONMENT.replace("spec:\n", "spec:\n  base: ../link\n"),
    );
    std::os::unix::fs::symlink(here("linked"), here("link")).unwrap();
    write("odd/environment.yaml", ENVIRONMENT);
    write("odd/a b.yaml", "");
    write("clash/environment.yaml", ENVIRONMENT);
    write("clash/App.yaml", "");
    write("clash/app.yaml", "");
    write("module/environment.yaml", ENVIRONMENT);
    write("module/theirs/.git", "gitdir: elsewhere");
    [
        ("A directory that is not there", "nowhere"),
        ("A file instead of a directory", "linked/environment.yaml"),
        ("Folders without end", "deep"),
        ("A link to a directory", "linked"),
        ("A link to a file", "file"),
        ("Bytes that are no text", "bytes"),
        ("A file that is too large", "huge"),
        ("Too many files", "many"),
        ("A base behind a link", "based"),
        ("A name with a space", "odd"),
        ("Two names that are one on some machines", "clash"),
        ("A repository within the repository", "module"),
    ]
    .into_iter()
    .map(|(what, path)| {
        let mut problems = read_directory(&here(path)).expect_err(what);
        let home = home.path().to_string_lossy().into_owned() + "/";
        for problem in &mut problems {
            problem.file = problem.file.replace(&home, "");
        }
        (what, problems)
    })
    .collect()
}

/// What only a look at all environments of a repository can find.
fn of_all() -> Vec<Problem> {
    let loaded = |directory: &str| {
        let path = format!("{directory}/environment.yaml");
        let files = Files {
            directory: directory.to_owned(),
            texts: [(path.as_str().into(), ENVIRONMENT.into())].into(),
        };
        Checked::of(files, now(), &mut Parses::keeping(0)).expect("it is valid")
    };
    let (one, other) = (loaded("production"), loaded("copy"));
    let conflicts = conflicts([("production", &one), ("copy", &other)]);
    conflicts.into_values().flatten().collect()
}

fn page() -> (String, Vec<Problem>) {
    let style = Style {
        width: 100,
        color: false,
    };
    let mut page = "# Every problem that manifests can have\n\nGenerated from `tests/suite/problems.rs`, to be read as a whole: does each name the place, and say what would be right?\n".to_owned();
    let mut all = Vec::new();
    let mut section = |what: &str, problems: Vec<Problem>, files: &Files| {
        let text = manifest::render(&problems, files, style);
        let _ = write!(page, "\n## {what}\n\n```text\n{}\n```\n", text.trim_end());
        all.extend(problems);
    };
    for case in cases() {
        let (problems, files) = of_case(&case);
        section(case.what, problems, &files);
    }
    for (what, problems) in of_disk() {
        section(what, problems, &Files::default());
    }
    let what = "Two environments that claim the same";
    section(what, of_all(), &Files::default());
    (page, all)
}

#[test]
fn the_page_of_all_problems_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems.md");
    let (found, _) = page();
    let update = reconciler::config::Config::read()
        .plain("UPDATE_PROBLEMS")
        .is_some();
    if update {
        fs::write(&path, &found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == found,
        "tests/problems.md is not fresh (UPDATE_PROBLEMS=1 writes it anew)"
    );
}

#[test]
fn every_problem_names_its_file_and_says_what_would_be_right() {
    for problem in page().1 {
        assert!(!problem.file.is_empty(), "{problem:?}");
        let says = [
            "expected",
            "did you mean",
            "at most",
            "at least",
            "missing field",
            "must",
        ];
        let is_said = says.iter().any(|word| problem.message.contains(word));
        assert!(
            problem.help.is_some() || problem.related.is_some() || is_said,
            "{problem:?}"
        );
    }
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The first text that is not part of a path `["spec", "replicas"]`.
fn first_word(text: &str) -> &str {
    let mut depth = 0;
    for (at, sign) in text.char_indices() {
        match sign {
            '[' => depth += 1,
            ']' => depth -= 1,
            '"' if depth == 0 => {
                let rest = &text[at + 1..];
                return rest.split('"').next().unwrap_or_default();
            }
            ';' => break,
            _ => {}
        }
    }
    ""
}

/// The codes that stand in the source where a problem is made.
fn codes() -> BTreeSet<String> {
    let mut paths = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut paths,
    );
    let mut codes = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(path).unwrap();
        let makes = [
            "Problem::at(",
            "Problem::of_file(",
            ".refuse(",
            "add(told,",
            "self.at(",
        ];
        for make in makes {
            for after in text.split(make).skip(1) {
                let code = first_word(after);
                let is_code = |sign: char| sign.is_ascii_lowercase() || sign == '-';
                if !code.is_empty() && code.chars().all(is_code) {
                    codes.insert(code.to_owned());
                }
            }
        }
    }
    codes
}

#[test]
fn every_code_is_on_the_page() {
    let shown: BTreeSet<String> = page()
        .1
        .iter()
        .map(|problem| problem.code.to_owned())
        .collect();
    let missing: Vec<String> = codes().difference(&shown).cloned().collect();
    println!("problems: {} codes on one page", shown.len());
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
