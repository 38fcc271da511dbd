//! The probe file: its questions as values, and what is wrong with it where it is wrong.

use super::answer::Comparison;
pub(super) use super::seen::Pick;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The parts of the probe file, one for each section of facts/railway.md and one for what they share.
const FILES: &[(&str, &str)] = &[
    ("requests.yaml", include_str!("railway/requests.yaml")),
    ("access.yaml", include_str!("railway/access.yaml")),
    ("reading.yaml", include_str!("railway/reading.yaml")),
    ("writing.yaml", include_str!("railway/writing.yaml")),
    ("deploying.yaml", include_str!("railway/deploying.yaml")),
    ("not-probed.yaml", include_str!("railway/not-probed.yaml")),
];

/// Recipes may use recipes, but not without end.
const DEEPEST: usize = 4;

/// Every question, and what the questions share.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// In the order in which they are asked.
    pub probes: Vec<Probe>,
    /// What is not asked, and why.
    pub not_probed: Vec<NotProbed>,
    documents: BTreeMap<String, Document>,
    recipes: BTreeMap<String, Vec<Step>>,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Stays the same for good: issues name it.
    pub id: String,
    /// In words.
    pub question: String,
    /// The section of facts/railway.md.
    pub facts: String,
    /// What is said there, word for word; nothing where nobody says anything at all.
    pub says: Vec<String>,
    /// What it cannot be asked without.
    pub needs: BTreeSet<Need>,
    pub(super) steps: Vec<Step>,
    /// Done at the end, however the steps went.
    pub(super) after: Vec<Step>,
    pub(super) answers: Vec<Answer>,
    /// What its steps keep.
    pub(super) keeps: BTreeSet<String>,
    reads_only: bool,
}

/// What a question cannot be asked without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Some environment to look at.
    Environment,
    /// A service of its own, which is removed right after.
    Service,
    /// That something small is deployed there.
    Deployment,
    /// A volume of that service.
    Volume,
    /// A project token, made for the time of the run.
    ProjectToken,
}

/// A statement that no probe asks about.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotProbed {
    /// Its name.
    pub id: String,
    /// In words.
    pub question: String,
    /// The section of facts/railway.md.
    pub facts: String,
    /// What is said there, word for word.
    #[serde(default)]
    pub says: Vec<String>,
    /// Why it is not asked.
    pub why: String,
}

/// A possible answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub name: String,
    /// For the product.
    pub means: String,
    /// What was seen when this is the answer: all of one case.
    pub when: Vec<Case>,
}

/// Values by name, each with what it has to be.
pub(super) type Case = BTreeMap<String, Comparison>;

/// A GraphQL request.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub text: String,
    pub writes: bool,
    /// The names of its variables.
    pub variables: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub act: Act,
    pub by: By,
    pub with: Map<String, Value>,
    pub keep: BTreeMap<String, Pick>,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Asks once.
    Ask(String),
    /// Writes once.
    Send(String),
    /// Asks until something is seen.
    Wait {
        document: String,
        until: Case,
        at_most: Duration,
        /// Whether it is an answer as well when that does not come.
        goes_on: bool,
    },
    /// Lets time pass.
    Pause(Duration),
    /// The steps of a recipe.
    Do(String),
}

/// Who asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum By {
    #[default]
    Myself,
    Nobody,
    WrongToken,
    ProjectToken,
}

impl Sheet {
    /// The file that is part of the product.
    ///
    /// # Errors
    /// What is wrong with it, and where: a test sees to it that nothing is.
    pub fn read() -> Result<Sheet, String> {
        Sheet::of(FILES)
    }

    /// From the texts of files.
    ///
    /// # Errors
    /// As [`Sheet::read`].
    pub fn of(files: &[(&str, &str)]) -> Result<Sheet, String> {
        let mut sheet = Sheet::default();
        for (name, text) in files {
            let file: File =
                serde_yaml::from_str(text).map_err(|wrong| format!("{name}: {wrong}"))?;
            sheet
                .add(file)
                .map_err(|wrong| format!("{name}: {wrong}"))?;
        }
        sheet.checked()
    }

    /// Every request by name, for the test that holds them to the schema.
    pub fn requests(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self
            .documents
            .iter()
            .map(|(name, document)| (name.as_str(), document.text.as_str()));
        own.chain(super::ground::DOCUMENTS.iter().copied())
    }

    /// The names of a probe's answers.
    pub fn answers<'p>(&self, probe: &'p Probe) -> impl Iterator<Item = &'p str> {
        probe.answers.iter().map(|answer| answer.name.as_str())
    }

    /// The probes with these names, or all.
    ///
    /// # Errors
    /// The name that none has.
    pub fn chosen(&self, only: &[String]) -> Result<Vec<&Probe>, String> {
        let known = || self.probes.iter().map(|probe| probe.id.as_str());
        if let Some(unknown) = only.iter().find(|id| !known().any(|known| known == *id)) {
            let near = crate::problem::nearest(unknown, known());
            let meant = near.map(|near| format!(", did you mean `{near}`?"));
            return Err(format!(
                "no probe is called `{unknown}`{}; `--list` lists them",
                meant.unwrap_or_default()
            ));
        }
        let is_wanted = |probe: &&Probe| only.is_empty() || only.contains(&probe.id);
        Ok(self.probes.iter().filter(is_wanted).collect())
    }

    pub(super) fn document(&self, name: &str) -> Option<&Document> {
        self.documents.get(name)
    }

    pub(super) fn recipe(&self, name: &str) -> &[Step] {
        self.recipes.get(name).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, file: File) -> Result<(), String> {
        for (name, text) in file.requests {
            let document = Document::read(text).map_err(|wrong| format!("{name}: {wrong}"))?;
            if self.documents.insert(name.clone(), document).is_some() {
                return Err(format!("{name} is there twice"));
            }
        }
        for (name, written) in file.recipes {
            let steps = steps(written).map_err(|wrong| format!("{name}: {wrong}"))?;
            self.recipes.insert(name, steps);
        }
        for written in file.probes {
            let id = written.id.clone();
            let probe = written.read().map_err(|wrong| format!("{id}: {wrong}"))?;
            self.probes.push(probe);
        }
        self.not_probed.extend(file.not_probed);
        Ok(())
    }

    fn checked(mut self) -> Result<Sheet, String> {
        let mut probes = std::mem::take(&mut self.probes);
        let mut ids = BTreeSet::new();
        for probe in &mut probes {
            let mut known = Known::default();
            for list in [&probe.steps, &probe.after] {
                self.check(list, 0, &mut known)
                    .map_err(|wrong| format!("{}: {wrong}", probe.id))?;
            }
            probe.reads_only = !known.writes;
            self.check_probe(probe, &known)
                .map_err(|wrong| format!("{}: {wrong}", probe.id))?;
            if !ids.insert(probe.id.clone()) {
                return Err(format!("{} is there twice", probe.id));
            }
            probe.keeps = known.kept;
        }
        self.probes = probes;
        Ok(self)
    }

    fn check_probe(&self, probe: &Probe, known: &Known) -> Result<(), String> {
        let is_id = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-';
        if probe.id.is_empty() || !probe.id.chars().all(is_id) {
            return Err("an id is of small letters, digits and hyphens".to_owned());
        }
        if known.writes && !probe.needs.contains(&Need::Service) {
            // What is written stays within what was seen to stay within the throw-away environment.
            return Err("it writes, and needs no service".to_owned());
        }
        if known.holds_a_token && !probe.needs.contains(&Need::ProjectToken) {
            return Err("it needs a project token, and does not say so".to_owned());
        }
        if probe.answers.is_empty() {
            return Err("it has no answers".to_owned());
        }
        let mut names = BTreeSet::new();
        for answer in &probe.answers {
            if !names.insert(&answer.name) {
                return Err(format!("the answer {} is there twice", answer.name));
            }
            let mut looked = answer.when.iter().flat_map(BTreeMap::keys);
            if let Some(unseen) = looked.find(|name| !known.kept.contains(*name)) {
                return Err(format!("{}: no step keeps `{unseen}`", answer.name));
            }
        }
        Ok(())
    }

    fn check(&self, steps: &[Step], depth: usize, known: &mut Known) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("recipes go in a circle".to_owned());
        }
        for step in steps {
            let document = match &step.act {
                Act::Ask(name) | Act::Send(name) | Act::Wait { document: name, .. } => {
                    let document = self.documents.get(name);
                    Some(document.ok_or(format!("no request is called {name}"))?)
                }
                Act::Do(name) => {
                    let recipe = self.recipes.get(name);
                    let recipe = recipe.ok_or(format!("no recipe is called {name}"))?;
                    self.check(recipe, depth + 1, known)?;
                    None
                }
                Act::Pause(_) => None,
            };
            if let Some(document) = document {
                let sends = matches!(step.act, Act::Send(_));
                if document.writes != sends {
                    return Err("a query is asked, a mutation is sent".to_owned());
                }
                known.writes |= sends;
            }
            known.holds_a_token |= step.by == By::ProjectToken;
            known.kept.extend(step.keep.keys().cloned());
            if let Act::Wait { until, .. } = &step.act
                && let Some(unseen) = until.keys().find(|name| !known.kept.contains(*name))
            {
                return Err(format!("it waits for `{unseen}`, which no step keeps"));
            }
        }
        Ok(())
    }
}

/// What the steps of a probe come to.
#[derive(Default)]
struct Known {
    writes: bool,
    holds_a_token: bool,
    kept: BTreeSet<String>,
}

impl Probe {
    /// Whether it changes nothing, so that it may be asked anywhere.
    pub fn reads_only(&self) -> bool {
        self.reads_only
    }
}

impl Need {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Need::Environment => "an environment",
            Need::Service => "a service of its own",
            Need::Deployment => "a small deployment",
            Need::Volume => "a volume",
            Need::ProjectToken => "a project token",
        }
    }
}

impl Document {
    fn read(text: String) -> Result<Document, String> {
        let writes = match text.split_whitespace().next() {
            Some("query") => false,
            Some("mutation") => true,
            _ => return Err("it begins with neither query nor mutation".to_owned()),
        };
        let head = text.split('{').next().unwrap_or_default();
        let variables = head
            .split('$')
            .skip(1)
            .map(|part| part.chars().take_while(|sign| is_name(*sign)).collect())
            .collect();
        Ok(Document {
            text,
            writes,
            variables,
        })
    }
}

/// What names of values consist of, so that `$prefix-1` is `$prefix` and a hyphen.
pub(super) fn is_name(sign: char) -> bool {
    sign.is_ascii_alphabetic() || sign == '_'
}

// The file as it is written.

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    requests: BTreeMap<String, String>,
    recipes: BTreeMap<String, Vec<WrittenStep>>,
    probes: Vec<WrittenProbe>,
    not_probed: Vec<NotProbed>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProbe {
    id: String,
    question: String,
    facts: String,
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    needs: BTreeSet<Need>,
    steps: Vec<WrittenStep>,
    #[serde(default)]
    after: Vec<WrittenStep>,
    answers: Vec<WrittenAnswer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAnswer {
    name: String,
    when: OneOrMany,
    means: String,
}

/// One case, or several of which any will do.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Map<String, Value>),
    Many(Vec<Map<String, Value>>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenStep {
    ask: Option<String>,
    send: Option<String>,
    wait: Option<String>,
    pause: Option<String>,
    r#do: Option<String>,
    by: By,
    with: Map<String, Value>,
    keep: BTreeMap<String, String>,
    until: Map<String, Value>,
    #[serde(rename = "at most")]
    at_most: Option<String>,
    r#else: Option<Else>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Else {
    #[serde(rename = "go on")]
    GoOn,
}

impl WrittenProbe {
    fn read(self) -> Result<Probe, String> {
        let answers = self.answers.into_iter().map(|answer| {
            let cases = match answer.when {
                OneOrMany::One(case) => vec![case],
                OneOrMany::Many(cases) => cases,
            };
            let when: Result<Vec<Case>, String> = cases.into_iter().map(case).collect();
            Ok(Answer {
                name: answer.name,
                means: answer.means,
                when: when?,
            })
        });
        Ok(Probe {
            answers: answers.collect::<Result<_, String>>()?,
            id: self.id,
            question: self.question,
            facts: self.facts,
            says: self.says,
            needs: self.needs,
            steps: steps(self.steps)?,
            after: steps(self.after)?,
            keeps: BTreeSet::new(),
            reads_only: false,
        })
    }
}

fn steps(written: Vec<WrittenStep>) -> Result<Vec<Step>, String> {
    written.into_iter().map(WrittenStep::read).collect()
}

fn case(written: Map<String, Value>) -> Result<Case, String> {
    let read = |(name, value)| Ok((name, Comparison::read(value)?));
    written.into_iter().map(read).collect()
}

impl WrittenStep {
    fn read(self) -> Result<Step, String> {
        let time = |text: &str| {
            humantime::parse_duration(text).map_err(|wrong| format!("`{text}`: {wrong}"))
        };
        let waits = self.wait.is_some();
        if !waits && (!self.until.is_empty() || self.at_most.is_some() || self.r#else.is_some()) {
            return Err("`until`, `at most` and `else` belong to `wait`".to_owned());
        }
        let act = match (self.ask, self.send, self.wait, self.pause, self.r#do) {
            (Some(document), None, None, None, None) => Act::Ask(document),
            (None, Some(document), None, None, None) => Act::Send(document),
            (None, None, Some(document), None, None) => Act::Wait {
                document,
                until: case(self.until)?,
                at_most: time(self.at_most.as_deref().ok_or("`wait` needs `at most`")?)?,
                goes_on: self.r#else.is_some(),
            },
            (None, None, None, Some(text), None) => Act::Pause(time(&text)?),
            (None, None, None, None, Some(recipe)) => Act::Do(recipe),
            _ => return Err("a step has one of ask, send, wait, pause and do".to_owned()),
        };
        let keep = self.keep.into_iter();
        Ok(Step {
            act,
            by: self.by,
            with: self.with,
            keep: keep
                .map(|(name, pick)| Ok((name, Pick::read(&pick)?)))
                .collect::<Result<_, String>>()?,
        })
    }
}
