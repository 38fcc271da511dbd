//! Manifests of what is there: readable ones, with what is not at its default and no value that may be a secret.

use crate::kinds::API_VERSION;
use crate::kinds::shown::few;
use crate::kinds::variable::is_template;
use crate::kinds::written::Size;
use crate::manifest::{is_name, yaml};
use crate::world::Seen;
use crate::world::railway::{
    READY_SECONDS, RESTARTS, Railway, RestartPolicy, Service, SettingName, SettingValue, Settings,
    Source, Variable,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Which variables are written with their values, beside templates: those that somebody chose by name.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    names: BTreeSet<String>,
    beginnings: Vec<String>,
}

impl Chosen {
    /// From names; one with `*` at its end stands for all that begin so.
    pub fn of(names: impl IntoIterator<Item = String>) -> Chosen {
        let (beginnings, names): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| name.ends_with('*'));
        Chosen {
            names: names.into_iter().collect(),
            beginnings: beginnings
                .iter()
                .map(|name| name.trim_end_matches('*').to_owned())
                .collect(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name) || self.beginnings.iter().any(|start| name.starts_with(start))
    }
}

/// The files for one environment or several, by their paths below the directory that they are meant for.
pub fn files(environments: &[Railway], chosen: &Chosen) -> BTreeMap<String, String> {
    let drafts: Vec<Draft> = environments
        .iter()
        .map(|railway| Draft::of(railway, chosen))
        .collect();
    match drafts.as_slice() {
        [only] => only.files("", None, &BTreeMap::new()),
        several => together(several),
    }
}

/// A field's name and its value.
type Fields = Map<String, Value>;

/// What one environment's manifests will say.
struct Draft {
    /// As people call it.
    name: String,
    project: String,
    shared: Fields,
    releases: BTreeMap<String, String>,
    services: BTreeMap<String, Fields>,
    /// What was left out, in words.
    remarks: Vec<String>,
}

impl Draft {
    fn of(railway: &Railway, chosen: &Chosen) -> Draft {
        let mut draft = Draft {
            name: railway.environment.name.clone(),
            project: railway.project.name.clone(),
            shared: Fields::new(),
            releases: BTreeMap::new(),
            services: BTreeMap::new(),
            remarks: Vec::new(),
        };
        if let Seen::Facts(shared) = &railway.shared {
            let (written, left) = variables(shared, chosen);
            draft.shared = written;
            draft.leave("the environment", &left);
        }
        for (name, service) in &railway.services {
            let Seen::Facts(service) = service else {
                draft.remark(format!("{name}: it could not be read"));
                continue;
            };
            if !is_name(name) {
                draft.remark(format!("{name}: a manifest cannot have such a name"));
                continue;
            }
            let fields = draft.service(name, service, chosen);
            draft.services.insert(name.clone(), fields);
        }
        draft.release_together();
        draft
    }

    fn remark(&mut self, words: String) {
        self.remarks.push(words);
    }

    fn leave(&mut self, whose: &str, names: &[String]) {
        if !names.is_empty() {
            self.remark(format!(
                "{} of {whose}: {} (`--variables` chooses names)",
                if names.len() == 1 {
                    "a variable"
                } else {
                    "variables"
                },
                few(names, 20)
            ));
        }
    }

    fn service(&mut self, name: &str, service: &Service, chosen: &Chosen) -> Fields {
        let mut fields = Fields::new();
        match &service.source {
            Source::Image(image) if is_image(image) => {
                fields.insert("image".to_owned(), json!(image));
            }
            Source::Image(_) => self.remark(format!("{name}: a manifest cannot name its image")),
            Source::Repository { .. } => fields.extend(commit(service)),
            Source::Nothing => {}
        }
        fields.extend(settings(&service.settings));
        if let Seen::Facts(placement) = &service.placement
            && !placement.is_empty()
        {
            fields.insert("replicas".to_owned(), json!(placement));
        }
        if service.newest.as_ref().is_some_and(|newest| newest.stopped) {
            fields.insert("stopped".to_owned(), json!(true));
        }
        if let Seen::Facts(stored) = &service.variables {
            let (written, left) = variables(stored, chosen);
            if !written.is_empty() {
                fields.insert("variables".to_owned(), Value::Object(written));
            }
            self.leave(name, &left);
        }
        if service.has_registry == Some(true) {
            self.remark(format!("{name}: the credentials of its registry"));
        }
        fields
    }

    /// Services that run the very same image move together: they get a Release.
    fn release_together(&mut self) {
        let mut by_image: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, fields) in &self.services {
            if let Some(image) = fields.get("image").and_then(Value::as_str) {
                by_image
                    .entry(image.to_owned())
                    .or_default()
                    .push(name.clone());
            }
        }
        for (image, services) in by_image.into_iter().filter(|(_, all)| all.len() > 1) {
            let base = release_name(&image);
            let taken = |name: &String| self.releases.contains_key(name);
            let name = std::iter::once(base.clone())
                .chain((2..).map(|number| format!("{base}-{number}")))
                .find(|name| !taken(name))
                .unwrap_or(base);
            for service in services {
                if let Some(fields) = self.services.get_mut(&service) {
                    fields.remove("image");
                    fields.insert("release".to_owned(), json!(name));
                }
            }
            self.releases.insert(name, image);
        }
    }

    fn files(
        &self,
        directory: &str,
        base: Option<&str>,
        shared: &BTreeMap<String, Fields>,
    ) -> BTreeMap<String, String> {
        let at = |file: &str| format!("{directory}{file}");
        let mut files = BTreeMap::from([(at("environment.yaml"), self.environment(base))]);
        if !self.releases.is_empty() {
            let documents = self
                .releases
                .iter()
                .map(|(name, image)| {
                    let spec = Fields::from_iter([("image".to_owned(), json!(image))]);
                    document("Release", name, false, &spec)
                })
                .collect::<Vec<_>>();
            let head = "# What runs: the one file that a release changes.\n";
            files.insert(
                at("release.yaml"),
                format!("{head}{}", documents.join("---\n")),
            );
        }
        let documents: Vec<String> = self
            .services
            .iter()
            .filter_map(|(name, fields)| match shared.get(name) {
                Some(common) => {
                    let own = without(fields, common);
                    (!own.is_empty()).then(|| document("Service", name, true, &own))
                }
                None => Some(document("Service", name, false, fields)),
            })
            .collect();
        if !documents.is_empty() {
            files.insert(at("services.yaml"), documents.join("---\n"));
        }
        files
    }

    fn environment(&self, base: Option<&str>) -> String {
        let mut spec = Fields::new();
        if let Some(base) = base {
            spec.insert("base".to_owned(), json!(base));
        }
        spec.insert(
            "railway".to_owned(),
            json!({ "project": self.project, "environment": self.name }),
        );
        if !self.shared.is_empty() {
            spec.insert("variables".to_owned(), Value::Object(self.shared.clone()));
        }
        let mut text = String::new();
        if !self.remarks.is_empty() {
            text.push_str("# Not written here, and so not managed:\n");
            for remark in &self.remarks {
                let _ = writeln!(text, "#   {}", crate::kinds::shown::harmless(remark));
            }
        }
        let name = if is_name(&self.name) {
            self.name.clone()
        } else {
            release_name(&self.name)
        };
        text + &document("Environment", &name, false, &spec)
    }
}

/// Several environments of a project: what is the same goes into a base, the rest is laid over it.
fn together(drafts: &[Draft]) -> BTreeMap<String, String> {
    let mut common: BTreeMap<String, Fields> = BTreeMap::new();
    if let Some((first, others)) = drafts.split_first() {
        for (name, fields) in &first.services {
            let everywhere: Option<Vec<&Fields>> = others
                .iter()
                .map(|draft| draft.services.get(name))
                .collect();
            if let Some(everywhere) = everywhere {
                common.insert(name.clone(), same(fields, &everywhere));
            }
        }
    }
    let base: Vec<String> = common
        .iter()
        .map(|(name, fields)| document("Service", name, false, fields))
        .collect();
    let mut files = BTreeMap::new();
    if !base.is_empty() {
        let head = "# What holds for every environment; each lays its own values over it.\n";
        files.insert(
            "base/services.yaml".to_owned(),
            format!("{head}{}", base.join("---\n")),
        );
    }
    let above = (!base.is_empty()).then_some("../base");
    for draft in drafts {
        let folder = format!("{}/", release_name(&draft.name));
        files.extend(draft.files(&folder, above, &common));
    }
    files
}

/// The fields that are the same everywhere; of variables, the entries.
fn same(fields: &Fields, others: &[&Fields]) -> Fields {
    let mut common = Fields::new();
    for (field, value) in fields {
        if others.iter().all(|other| other.get(field) == Some(value)) {
            common.insert(field.clone(), value.clone());
        } else if let (true, Value::Object(entries)) = (field == "variables", value) {
            let maps: Option<Vec<&Fields>> = others
                .iter()
                .map(|other| other.get(field).and_then(Value::as_object))
                .collect();
            let entries = maps.map(|maps| same(entries, &maps)).unwrap_or_default();
            if !entries.is_empty() {
                common.insert(field.clone(), Value::Object(entries));
            }
        }
    }
    common
}

/// The fields without those that are common already; of variables, the entries.
fn without(fields: &Fields, common: &Fields) -> Fields {
    let mut own = Fields::new();
    for (field, value) in fields {
        match (value, common.get(field)) {
            (value, Some(shared)) if value == shared => {}
            (Value::Object(entries), Some(Value::Object(shared))) => {
                own.insert(field.clone(), Value::Object(without(entries, shared)));
            }
            (value, _) => {
                own.insert(field.clone(), value.clone());
            }
        }
    }
    own
}

/// A service that a push does not move is held to the commit that it runs.
fn commit(service: &Service) -> Fields {
    let commit = service
        .newest
        .as_ref()
        .and_then(|newest| newest.commit.as_ref());
    match (&service.push_to_deploy, commit) {
        (Seen::Facts(false), Some(commit)) if is_commit(commit) => Fields::from_iter([
            ("commit".to_owned(), json!(commit)),
            ("pushToDeploy".to_owned(), json!(false)),
        ]),
        (Seen::Facts(false), _) => Fields::from_iter([("pushToDeploy".to_owned(), json!(false))]),
        _ => Fields::new(),
    }
}

fn is_commit(commit: &str) -> bool {
    commit.len() == 40
        && commit
            .chars()
            .all(|sign| matches!(sign, '0'..='9' | 'a'..='f'))
}

/// As the schema of `image` has it.
fn is_image(image: &str) -> bool {
    image.len() <= 512
        && image.starts_with(|sign: char| sign.is_ascii_alphanumeric())
        && image
            .chars()
            .all(|sign| sign.is_ascii_alphanumeric() || "._/:@-".contains(sign))
}

/// The last part of an image's name, fit to be a name.
fn release_name(image: &str) -> String {
    let last = image.split('@').next().unwrap_or(image);
    let last = last.rsplit('/').next().unwrap_or(last);
    let last = last.split(':').next().unwrap_or(last);
    let name: String = last
        .chars()
        .filter(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_' | '-' | ' '))
        .map(|sign| if sign == ' ' { '-' } else { sign })
        .collect();
    let name = name.trim_start_matches(['.', '_', '-']);
    if is_name(name) {
        name.to_owned()
    } else {
        "app".to_owned()
    }
}

/// The settings that are not at their defaults.
fn settings(stored: &Settings) -> Fields {
    let defaults = Settings::default();
    let mut fields = Fields::new();
    for name in SettingName::ALL {
        let value = stored.value(name);
        if value == defaults.value(name) {
            continue;
        }
        if let Some(written) = setting(&value) {
            fields.insert(name.word().to_owned(), written);
        }
    }
    fields
}

fn setting(value: &SettingValue) -> Option<Value> {
    Some(match value {
        SettingValue::Start(command) | SettingValue::BeforeDeploy(command) => {
            json!(command.as_ref()?)
        }
        SettingValue::Cron(cron) => json!(cron.as_ref()?),
        SettingValue::Sleep(sleep) => json!(sleep),
        SettingValue::Ready(ready) => {
            let path = ready.path.as_ref()?;
            let mut check = json!({ "path": path });
            if ready.within_seconds != READY_SECONDS {
                check["within"] = seconds(ready.within_seconds);
            }
            check
        }
        SettingValue::RestartPolicy(RestartPolicy::Always) => json!("always"),
        SettingValue::RestartPolicy(RestartPolicy::Never) => json!("never"),
        SettingValue::RestartPolicy(RestartPolicy::OnFailure(RESTARTS)) => json!("onFailure"),
        SettingValue::RestartPolicy(RestartPolicy::OnFailure(times)) => {
            json!({ "onFailure": times })
        }
        SettingValue::HandOver(hand_over) => {
            let parts = [
                ("overlap", hand_over.overlap_seconds),
                ("drain", hand_over.drain_seconds),
            ];
            // Both, although one may be at its default: a change of either is to be seen.
            Value::Object(
                parts
                    .map(|(name, time)| (name.to_owned(), seconds(time)))
                    .into_iter()
                    .collect(),
            )
        }
        SettingValue::Limits(limits) => {
            let cpu = limits.milli_cpu.and_then(cpu);
            let memory = limits.memory_bytes.and_then(memory);
            let set: Fields = [("cpu", cpu), ("memory", memory)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect();
            (!set.is_empty()).then_some(Value::Object(set))?
        }
    })
}

fn seconds(seconds: u64) -> Value {
    json!(humantime::format_duration(Duration::from_secs(seconds)).to_string())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a limit has few digits before and after its point"
)]
fn cpu(milli: u64) -> Option<Value> {
    if !(100..=64_000).contains(&milli) {
        return None;
    }
    Some(if milli.is_multiple_of(1000) {
        json!(milli / 1000)
    } else {
        json!(milli as f64 / 1000.0)
    })
}

/// In a unit of the language; what has none cannot be written.
fn memory(bytes: u64) -> Option<Value> {
    let written = Size { bytes }.to_string();
    (!written.ends_with("bytes")).then(|| json!(written))
}

/// The variables that may be written, and the names of the others.
fn variables(stored: &BTreeMap<String, Variable>, chosen: &Chosen) -> (Fields, Vec<String>) {
    let mut written = Fields::new();
    let mut left = Vec::new();
    for (name, variable) in stored {
        let value = variable.value.as_ref().map(|value| value.reveal());
        match value {
            Some(value) if is_only_template(value) || chosen.has(name) => {
                written.insert(name.clone(), json!(value));
            }
            Some(_) | None => left.push(name.clone()),
        }
    }
    (written, left)
}

/// References to other variables, and nothing around them in which a secret could stand.
fn is_only_template(value: &str) -> bool {
    is_template(value) && crate::kinds::shown::is_harmless_template(value)
}

fn document(kind: &str, name: &str, from_base: bool, spec: &Fields) -> String {
    let from = if from_base { ", from: base" } else { "" };
    let mut text = format!(
        "apiVersion: {API_VERSION}\nkind: {kind}\nmetadata: {{ name: {}{from} }}\n",
        yaml::scalar(name)
    );
    if spec.is_empty() {
        text.push_str("spec: {}\n");
        return text;
    }
    text.push_str("spec:\n");
    for field in ordered(spec) {
        yaml::entry(&mut text, field, &spec[field], 1);
    }
    text
}

/// The order in which people read a spec.
fn ordered(spec: &Fields) -> Vec<&String> {
    const ORDER: &[&str] = &[
        "base",
        "railway",
        "secrets",
        "release",
        "image",
        "commit",
        "start",
        "beforeDeploy",
        "replicas",
        "ready",
        "restartPolicy",
        "cron",
        "sleep",
        "handOver",
        "limits",
        "pushToDeploy",
        "stopped",
        "variables",
    ];
    let rank = |field: &String| ORDER.iter().position(|known| known == field);
    let mut fields: Vec<&String> = spec.keys().collect();
    fields.sort_by_key(|field| (rank(field).unwrap_or(ORDER.len()), (*field).clone()));
    fields
}
