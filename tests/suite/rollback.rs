//! Automatic rollback holds its laws whatever happens, by simulation from seeds: a small Railway, releases of which some answer 500, answers that
//! get lost, processes that die and remember nothing, people who restart and edit; and two broken executors, which the laws catch.

use jiff::{SignedDuration, Timestamp};
use reconciler::kinds::service::health::Answer;
use reconciler::kinds::service::series::Series;
use reconciler::manifest::{Desired, load};
use reconciler::plan::gate::{self, Memory};
use reconciler::plan::plan;
use reconciler::plan::write::{What, Write};
use reconciler::source::Files;
use reconciler::world::railway::{
    Action, Active, Deployment, History, Named, Patch, PatchState, Railway, Service, Setting,
    Settings, Source, Staged, Status, Variable,
};
use reconciler::world::secret::Secret;
use reconciler::world::{Seen, World};
use std::collections::{BTreeMap, BTreeSet};

const UNHEALTHY_FOR: i64 = 60;
const WITHIN: i64 = 600;
const EVERY: i64 = 10;
const TURNS: i64 = 700;
/// Nothing goes wrong any more, and git asks for nothing new.
const QUIET: i64 = 350;

/// How the executor is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The message of a patch loses what was refused.
    Markless,
    /// What is good is told as bad, as if there were no debounce and no release.
    Hasty,
    /// Variables go back with the image.
    Thorough,
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % most
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

/// One deployment in the model.
#[derive(Debug, Clone)]
struct Run {
    id: String,
    made: i64,
    up: i64,
    image: String,
    level: String,
    patch: Option<String>,
}

/// A Railway with one service, and what git asks of it.
struct Model {
    now: i64,
    image: String,
    level: String,
    changed: i64,
    level_written: i64,
    runs: Vec<Run>,
    patches: Vec<Patch>,
    /// What git asks for now.
    wanted: (u64, &'static str),
    bad: BTreeSet<u64>,
    /// How healthy it truly was, by second: since when it has answered badly.
    bad_since: Option<i64>,
    /// How many releases were put back.
    put_back: usize,
    /// The release that was put back last, and whether git has cleared it since by a time or another release.
    refused: Option<(u64, i64)>,
    cleared: i64,
    violations: Vec<String>,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn image(version: u64) -> String {
    format!("shop/web:{version}")
}

fn version(image: &str) -> u64 {
    image.rsplit(':').next().unwrap().parse().unwrap()
}

impl Model {
    fn new(chance: &mut Chance) -> Model {
        let bad = (2..6).filter(|_| chance.percent(45)).collect();
        Model {
            now: 0,
            image: image(1),
            level: "info".to_owned(),
            changed: -100_000,
            level_written: -100_000,
            runs: vec![Run {
                id: "d0".to_owned(),
                made: -100_000,
                up: -99_990,
                image: image(1),
                level: "info".to_owned(),
                patch: None,
            }],
            patches: Vec::new(),
            wanted: (1, "info"),
            bad,
            bad_since: None,
            put_back: 0,
            refused: None,
            cleared: 0,
            violations: Vec::new(),
        }
    }

    fn serving(&self) -> &Run {
        let up = self.runs.iter().rev().find(|run| run.up <= self.now);
        up.unwrap_or(&self.runs[0])
    }

    fn answers_well(&self) -> bool {
        !self.bad.contains(&version(&self.serving().image))
    }

    fn deploy(&mut self, image: String, level: String, patch: Option<String>, takes: i64) {
        let id = format!("d{}", self.runs.len());
        self.runs.push(Run {
            id,
            made: self.now,
            up: self.now + takes,
            image,
            level,
            patch,
        });
    }

    fn apply(&mut self, write: &Write, chance: &mut Chance) {
        match &write.what {
            What::Patch(changes) => {
                let id = format!("p{}", self.patches.len());
                let mut fields = BTreeSet::new();
                for change in changes {
                    fields.insert(change.set.field());
                    match &change.set {
                        Setting::Image(image) => self.moves(image.clone(), &write.message()),
                        Setting::Variable { value, .. } => {
                            if let reconciler::world::railway::VariableValue::Text(text) = value {
                                self.level.clone_from(text);
                                self.level_written = self.now;
                            }
                        }
                        other => self.violations.push(format!("nobody asked for {other:?}")),
                    }
                }
                self.changed = self.now;
                self.patches.insert(
                    0,
                    Patch {
                        id: id.clone(),
                        begun_at: at(self.now),
                        at: at(self.now),
                        state: PatchState::Committed,
                        message: write.message(),
                        by: None,
                        touched: BTreeMap::from([("web-id".to_owned(), fields)]),
                    },
                );
                let takes = 5 + i64::try_from(chance.below(20)).unwrap();
                self.deploy(self.image.clone(), self.level.clone(), Some(id), takes);
            }
            What::One(Action::Rollback { deployment, .. }) => {
                let run = self
                    .runs
                    .iter()
                    .find(|run| run.id == *deployment)
                    .unwrap()
                    .clone();
                if run.level != self.level {
                    self.violations.push("a variable was put back".to_owned());
                }
                self.deploy(run.image, run.level, run.patch, 3);
            }
            What::One(Action::Deploy { .. } | Action::Redeploy { .. }) => {
                self.deploy(self.image.clone(), self.level.clone(), None, 8);
            }
            What::One(Action::Store { image, .. }) => {
                self.image.clone_from(image);
                self.changed = self.now;
            }
            What::One(other) => self.violations.push(format!("nobody asked for {other:?}")),
            What::Redis(other) => self.violations.push(format!("nobody asked for {other:?}")),
        }
        if self.level != self.wanted.1 && write.steps.is_empty() {
            self.violations.push("a variable was put back".to_owned());
        }
    }

    /// Judges every change of the image against what git asks for.
    fn moves(&mut self, to: String, message: &str) {
        let refused = self.wanted.0;
        if to != image(refused) && !message.contains("refused") {
            self.violations
                .push(format!("{to} was put back without a mark: {message}"));
        }
        if to != image(refused) && self.image == image(refused) {
            let unhealthy = self.bad_since.map(|since| self.now - since);
            if unhealthy.is_none_or(|seconds| seconds < UNHEALTHY_FOR) {
                self.violations.push(format!(
                    "{refused} was put back after {unhealthy:?} s of bad answers"
                ));
            }
            if self.refused == Some((refused, self.cleared)) {
                self.violations
                    .push(format!("{refused} was put back twice"));
            }
            self.put_back += 1;
            self.refused = Some((refused, self.cleared));
        } else if to == image(refused) && self.image != to {
            if self.refused == Some((refused, self.cleared)) {
                self.violations
                    .push(format!("{refused} was released again"));
            }
            self.refused = None;
        }
        self.image = to;
    }

    fn world(&self, as_of: i64, health: Seen<reconciler::world::health::Health>) -> World {
        let shown: Vec<&Run> = self.runs.iter().filter(|run| run.made <= as_of).collect();
        let serving = shown.iter().rev().find(|run| run.up <= self.now).copied();
        let deployment = |run: &&Run| {
            let is_newest = shown.last().is_some_and(|last| last.id == run.id);
            let is_serving = serving.is_some_and(|serving| serving.id == run.id);
            let status = if run.up > self.now && is_newest {
                Status::Rolling("DEPLOYING".to_owned())
            } else if is_serving {
                Status::Healthy
            } else {
                Status::Removed
            };
            let level = Some(Secret::new(run.level.as_str()));
            Deployment {
                id: run.id.clone(),
                status,
                created_at: at(run.made),
                status_at: Some(at(run.up)),
                image: Some(run.image.clone()),
                commit: None,
                patch: run.patch.clone(),
                stopped: false,
                can_rollback: !is_newest,
                settings: None,
                by_file: BTreeMap::new(),
                variables: Seen::Facts(BTreeMap::from([("LEVEL".to_owned(), level)])),
            }
        };
        let level = Variable {
            value: Some(Secret::new(self.level.as_str())),
            sealed: false,
        };
        let settings = Settings::default();
        let written = reconciler::world::railway::Written {
            created_at: at(-100_000),
            updated_at: at(self.level_written),
        };
        let service = Service {
            id: "web-id".to_owned(),
            source: Source::Image(self.image.clone()),
            updates_itself: false,
            settings,
            has_registry: None,
            placement: Seen::Facts(BTreeMap::new()),
            variables: Seen::Facts(BTreeMap::from([("LEVEL".to_owned(), level)])),
            has_volume: false,
            domains: vec!["web.example".to_owned()],
            updated_at: Some(at(self.changed)),
            newest: shown.last().map(deployment),
            active: serving
                .map(|run| Active {
                    id: run.id.clone(),
                    stopped: false,
                })
                .into_iter()
                .collect(),
            push_to_deploy: Seen::Unasked,
            kept: Seen::Facts(shown.iter().rev().take(20).map(deployment).collect()),
            log: Seen::Facts(Vec::new()),
        };
        let railway = Railway {
            pulse: None,
            project: Named {
                id: "p".to_owned(),
                name: "shop".to_owned(),
            },
            environment: Named {
                id: "e".to_owned(),
                name: "production".to_owned(),
            },
            services: BTreeMap::from([("web".to_owned(), Seen::Facts(service))]),
            elsewhere: BTreeSet::new(),
            shared: Seen::Facts(BTreeMap::new()),
            staged: Seen::Facts(Staged::default()),
            history: Seen::Facts(History {
                patches: self.patches.clone(),
                is_whole: true,
            }),
            written: Seen::Facts(BTreeMap::from([(
                ("web-id".to_owned(), "LEVEL".to_owned()),
                written,
            )])),
            region_names: BTreeMap::new(),
        };
        World {
            railway: Seen::Facts(railway),
            pages: BTreeMap::new(),
            redis: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: BTreeMap::from([("web".to_owned(), health)]),
        }
    }
}

fn desired(version: u64, level: &str, restarted: Option<i64>, now: i64) -> Desired {
    let restarted = restarted.map_or_else(String::new, |moment| {
        format!(", restartedAfter: {}", at(moment))
    });
    let text = format!(
        "apiVersion: reconciler/v1alpha1\nkind: Environment\nmetadata: {{ name: production }}\nspec:\n  railway: {{ project: shop, environment: production }}\n  rollback: {{ unhealthyFor: {UNHEALTHY_FOR}s, within: {WITHIN}s }}\n---\napiVersion: reconciler/v1alpha1\nkind: Service\nmetadata: {{ name: web }}\nspec: {{ image: \"{}\", variables: {{ LEVEL: {level} }}, health: {{ path: /health, every: {EVERY}s }}{restarted} }}\n",
        image(version)
    );
    let files = Files {
        directory: String::new(),
        texts: BTreeMap::from([("production.yaml".into(), text.into())]),
    };
    load(&files, at(now)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What a simulation did, for the tally, and what it violated.
#[derive(Debug, Default)]
struct Report {
    put_back: usize,
    held: usize,
    violations: Vec<String>,
    /// What was asked for and written, for whoever looks into a violation.
    transcript: Vec<String>,
}

fn play(seed: u64, flaw: Flaw, is_recorded: bool) -> Report {
    let chance = &mut Chance(seed.wrapping_mul(7_919) + 1);
    let mut model = Model::new(chance);
    let mut series = Series::default();
    let mut memory = Memory::default();
    let mut wants = desired(1, "info", None, 0);
    let mut asks_something = true;
    let mut transcript = vec![format!("bad: {:?}", model.bad)];
    let mut last = String::new();
    for turn in 0..TURNS {
        model.now = turn * 5;
        let is_loud = turn < QUIET;
        let well = model.answers_well();
        model.bad_since = model
            .bad_since
            .filter(|_| !well)
            .or((!well).then_some(model.now));
        // Git moves on.
        if is_loud && chance.percent(2) {
            let level = ["info", "debug"][usize::try_from(chance.below(2)).unwrap()];
            let next = 1 + chance.below(5);
            if chance.percent(70) {
                model.wanted = (next, level);
            } else {
                model.wanted.1 = level;
            }
            let restarted = chance.percent(30).then_some(model.now);
            if restarted.is_some() {
                model.cleared = model.now;
            }
            wants = desired(model.wanted.0, model.wanted.1, restarted, model.now);
            transcript.push(format!(
                "{} git {:?}, restarted {restarted:?}",
                model.now, model.wanted
            ));
        }
        // A process dies, and nothing is remembered; the last one has not made anything three times yet.
        if is_loud && chance.percent(2) || turn == QUIET {
            series = Series::default();
            memory = Memory::writing_since(at(model.now));
        }
        if turn % (EVERY / 5) == 0 {
            let answer = match (
                is_loud && chance.percent(5),
                well != (flaw == Flaw::Hasty && chance.percent(30)),
            ) {
                (true, _) => Answer::Silent("our network is down".to_owned()),
                (false, true) => Answer::Good("HTTP 200".to_owned()),
                (false, false) => Answer::Bad("HTTP 500".to_owned()),
            };
            series.heard(
                &answer,
                if flaw == Flaw::Hasty { 1 } else { 3 },
                at(model.now),
            );
        }
        let mut health = series.seen(std::time::Duration::from_secs(10), at(model.now));
        if let (Flaw::Hasty, Seen::Facts(health)) = (flaw, &mut health) {
            health.since -= SignedDuration::from_secs(UNHEALTHY_FOR);
        }
        let world = model.world(model.now, health);
        if let Seen::Facts(railway) = &world.railway {
            memory.saw(railway);
        }
        let plan = gate::hold(
            plan(&wants, &world, at(model.now)),
            &world,
            &memory,
            at(model.now),
        );
        asks_something = !plan.writes.is_empty();
        if is_recorded {
            let shown = reconciler::plan::text::text(&plan, LOOK);
            if shown != last {
                transcript.push(format!("{} {shown}", model.now));
                last = shown;
            }
        }
        for write in &plan.writes {
            let mut write = write.clone();
            if flaw == Flaw::Markless {
                write.marks.clear();
            }
            for position in &write.steps {
                let step = &plan.steps[*position];
                memory.sent(step, at(model.now));
                if step.deploys() {
                    let newest = model.runs.last().map(|run| at(run.made));
                    memory.deploying("web", newest, at(model.now));
                }
            }
            transcript.push(format!("{} write {}", model.now, write.message()));
            // Some never arrive, and the answers of some that do are lost: both look alike.
            if is_loud && chance.percent(10) {
                continue;
            }
            model.now += 1;
            model.apply(&write, chance);
            if flaw == Flaw::Thorough && write.message().contains("refused") {
                model.level = "info".to_owned();
                if model.wanted.1 != "info" {
                    model.violations.push("a variable was put back".to_owned());
                }
            }
        }
        if !model.violations.is_empty() {
            break;
        }
    }
    if model.violations.is_empty() {
        let serves = version(&model.serving().image);
        let is_refused = model.image != image(model.wanted.0);
        let mut found = Vec::new();
        if asks_something {
            found.push("still writing at the end".to_owned());
        }
        if model.level != model.wanted.1 || model.serving().level != model.wanted.1 {
            found.push("the variable is not as git says".to_owned());
        }
        if is_refused && !model.bad.contains(&model.wanted.0) {
            found.push(format!("{} is good, and held", model.wanted.0));
        }
        if !is_refused && serves != model.wanted.0 {
            found.push(format!("{serves} serves, and {} is stored", model.wanted.0));
        }
        model.violations = found;
    }
    Report {
        put_back: model.put_back,
        held: usize::from(model.image != image(model.wanted.0)),
        violations: model.violations,
        transcript,
    }
}

const LOOK: reconciler::plan::text::Look = reconciler::plan::text::Look {
    width: 160,
    color: false,
};

/// So many simulations in `make test`.
const SEEDS: u64 = 500;

#[test]
fn a_bad_release_is_put_back_once_with_its_reasons_and_stays_held() {
    let (mut put_back, mut held) = (0, 0);
    for seed in 0..SEEDS {
        let report = play(seed, Flaw::None, false);
        if !report.violations.is_empty() {
            println!("{}", play(seed, Flaw::None, true).transcript.join("\n"));
        }
        assert_eq!(report.violations, [""; 0], "seed {seed}");
        put_back += report.put_back;
        held += report.held;
    }
    println!(
        "rollback: {put_back} releases put back in {SEEDS} simulations, {held} held at the end"
    );
    assert!(
        put_back > 200 && held > 50,
        "{put_back} put back, {held} held"
    );
}

#[test]
fn broken_executors_are_caught() {
    for flaw in [Flaw::Markless, Flaw::Hasty, Flaw::Thorough] {
        let caught =
            (0..SEEDS).find_map(|seed| play(seed, flaw, false).violations.into_iter().next());
        let words = caught.unwrap_or_else(|| panic!("{flaw:?} is not caught"));
        println!("rollback: {flaw:?} is caught: {words}");
    }
}
