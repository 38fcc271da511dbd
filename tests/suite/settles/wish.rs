//! Desired states: what one commit asks of an environment, as values. `drawn` draws them, `yaml` writes them as manifests.

mod consent;
mod drawn;
mod yaml;

pub use consent::{Consent, Risk, may_lose};
pub use drawn::{Family, Setup};

use jiff::{SignedDuration, Timestamp};
use reconciler::world::railway::{Ready, RestartPolicy, SettingName, Settings, Source};
use std::collections::BTreeMap;

/// When every schedule begins.
pub fn start() -> Timestamp {
    "2026-11-23T02:00:00Z".parse().expect("a moment")
}

/// A moment by seconds from the start.
pub fn at(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// What one commit asks of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub release: Content,
    /// Variables that all services share.
    pub shared: BTreeMap<String, VariableWish>,
    pub services: BTreeMap<String, ServiceWish>,
    pub maintenance: Option<MaintenanceWish>,
    pub consents: Vec<Consent>,
    /// How long consent may hold, seconds.
    pub expire_seconds: i64,
    /// Whether what is not declared any more is taken away.
    pub removes_entries: bool,
    /// Whether services that are not declared any more are held for their deletion.
    pub holds_services: bool,
    /// How long a controller lets stay what did not come from git, seconds.
    pub heal_seconds: Option<i64>,
    /// When nothing is begun that customers could notice.
    pub freeze: Option<(Timestamp, Timestamp)>,
}

/// What runs, by either name that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub image: Option<String>,
    pub commit: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceWish {
    pub runs: Runs,
    pub replicas: Option<ReplicasWish>,
    pub settings: SettingsWish,
    pub registry: Option<RegistryWish>,
    pub push_to_deploy: Option<bool>,
    pub stopped: Option<bool>,
    pub restarted_after: Option<Timestamp>,
    pub variables: BTreeMap<String, VariableWish>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runs {
    Unsaid,
    Release,
    Own(Content),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicasWish {
    Number(u32),
    Regions(BTreeMap<String, u32>),
}

/// The plain settings that are declared; `Some(None)` is `{ absent: true }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsWish {
    pub start: Option<Option<String>>,
    pub before_deploy: Option<Option<String>>,
    pub ready: Option<Option<Check>>,
    pub restart_policy: Option<RestartPolicy>,
    pub cron: Option<Option<String>>,
    pub sleep: Option<bool>,
    /// Overlap and drain, seconds.
    pub hand_over: Option<(Option<u64>, Option<u64>)>,
    /// Thousandths of a processor, and bytes.
    pub limits: Option<(Option<u64>, Option<u64>)>,
}

/// A health check: its path, and how long it may take, seconds.
pub type Check = (String, Option<u64>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryWish {
    /// Whether the user name is a secret, too.
    pub secret_name: bool,
    pub rotated_after: Option<Timestamp>,
}

/// What closes services to customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenanceWish {
    pub enabled: bool,
    pub services: Vec<String>,
    pub by: ByWish,
    pub page: Option<PageWish>,
    /// When it should be over.
    pub until: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByWish {
    /// By [`CLOSING`], with this value.
    Variable(String),
    /// By [`CLOSED_IMAGE`], with its start command, its command before traffic and its health check.
    Image {
        start: Option<String>,
        before_deploy: Option<String>,
        ready: Option<Check>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageWish {
    /// Whether the address is written, and not that of the first service with a domain.
    pub has_url: bool,
    /// Whether it expects what no application here ever answers.
    pub is_wrong: bool,
    pub within_seconds: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableWish {
    Text(String),
    Number(i64),
    Flag(bool),
    Secret {
        name: String,
        sealed: bool,
        rotated_after: Option<Timestamp>,
    },
    Absent,
}

/// The name of the only Maintenance.
pub const SITE: &str = "site";
/// The variable that closes an application.
pub const CLOSING: &str = "MAINTENANCE_MODE";
/// The values with which it does.
pub const CLOSED: &[&str] = &["true", "1", "on"];
/// The image that shows the closed page.
pub const CLOSED_IMAGE: &str = "ghcr.io/acme/closed:1";

/// Applications that come up.
pub const IMAGES: &[&str] = &[
    "ghcr.io/acme/app:1.4.1",
    "ghcr.io/acme/app:1.4.2",
    "ghcr.io/acme/app:1.5.0",
    "docker.io/library/nginx:1.27",
];
/// What fails, crashes, waits for approval, or is refused by a policy.
pub const BAD_IMAGES: &[&str] = &[
    "ghcr.io/acme/app:bad",
    "ghcr.io/acme/app:crash",
    "ghcr.io/acme/app:approve",
    "ghcr.io/forbidden/app:1",
];
/// What cannot be pulled without credentials.
pub const PRIVATE_IMAGE: &str = "registry.acme.test/app:2.0.0";
/// What keeps its data on a volume.
pub const DATABASES: &[&str] = &["redis:7.2.5", "redis:7.4.1", "redis:8.0.0"];
pub const COMMITS: &[&str] = &[
    "1111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222",
    "3333333333333333333333333333333333333333",
];
/// What fails, is skipped, or is not in the repository.
pub const BAD_COMMITS: &[&str] = &[
    "badbadbadbadbadbadbadbadbadbadbadbadbadb",
    "5c1b5c1b5c1b5c1b5c1b5c1b5c1b5c1b5c1b5c1b",
    "0000000000000000000000000000000000000000",
];
/// A command before traffic that fails.
pub const BAD_COMMAND: &str = "node migrate.js --broken";
/// The secrets that manifests refer to.
pub const STRIPE_KEY: &str = "STRIPE_KEY";
pub const SIGNING_KEY: &str = "SIGNING_KEY";
pub const REGISTRY_TOKEN: &str = "REGISTRY_TOKEN";
pub const SMTP_PASSWORD: &str = "SMTP_PASSWORD";

/// The address under which customers reach a service that has one.
pub fn domain(service: &str) -> String {
    format!("{service}.up.railway.app")
}

impl Content {
    pub const NOTHING: Content = Content {
        image: None,
        commit: None,
    };
}

impl Wish {
    /// What a service built from this shall run, where that fits.
    pub fn fitting(&self, service: &str, source: &Source) -> Option<String> {
        let content = self.content(service);
        match source {
            Source::Repository { .. } => content.commit,
            Source::Image(_) | Source::Nothing => content.image,
        }
    }

    /// What a service shall run; what closes it takes the place of its own.
    pub fn content(&self, service: &str) -> Content {
        if self.closed_by_image(service).is_some() {
            return Content {
                image: Some(CLOSED_IMAGE.to_owned()),
                commit: None,
            };
        }
        match &self.services[service].runs {
            Runs::Unsaid => Content::NOTHING,
            Runs::Release => self.release.clone(),
            Runs::Own(content) => content.clone(),
        }
    }

    /// The settings of a service as they are in force. What is built from a repository cannot run another image, and keeps its own.
    pub fn settings(&self, service: &str, source: &Source) -> SettingsWish {
        let own = self.services[service].settings.clone();
        match (source, self.closed_by_image(service)) {
            (
                Source::Image(_) | Source::Nothing,
                Some(ByWish::Image {
                    start,
                    before_deploy,
                    ready,
                }),
            ) => SettingsWish {
                start: Some(start.clone()),
                before_deploy: Some(before_deploy.clone()),
                ready: Some(ready.clone()),
                ..own
            },
            _ => own,
        }
    }

    /// The Maintenance that names a service.
    pub fn maintenance_of(&self, service: &str) -> Option<&MaintenanceWish> {
        let maintenance = self.maintenance.as_ref()?;
        let names = maintenance.services.iter().any(|name| name == service);
        names.then_some(maintenance)
    }

    /// How a service is closed by an image, where it is.
    pub fn closed_by_image(&self, service: &str) -> Option<&ByWish> {
        let maintenance = self.maintenance_of(service)?;
        let is_image = matches!(maintenance.by, ByWish::Image { .. });
        (maintenance.enabled && is_image).then_some(&maintenance.by)
    }

    /// Whether git says that a service is closed, where it says anything about that.
    pub fn is_closed(&self, service: &str) -> Option<bool> {
        self.maintenance_of(service)
            .map(|maintenance| maintenance.enabled)
    }

    /// What the closing variable of a service has to be, or must not be: only where a Maintenance works by it.
    pub fn closing_value(&self, service: &str) -> Option<(&str, bool)> {
        let maintenance = self.maintenance_of(service)?;
        match &maintenance.by {
            ByWish::Variable(value) => Some((value.as_str(), maintenance.enabled)),
            ByWish::Image { .. } => None,
        }
    }
}

impl SettingsWish {
    /// The declared ones that are not so, in words.
    pub fn lacking(&self, stored: &Settings) -> Vec<(SettingName, String)> {
        let mut lacking = Vec::new();
        let mut add = |name: SettingName, fits: bool| {
            if !fits {
                lacking.push((name, format!("{name} is {:?}", stored.value(name))));
            }
        };
        if let Some(start) = &self.start {
            add(SettingName::Start, *start == stored.start);
        }
        if let Some(command) = &self.before_deploy {
            add(SettingName::BeforeDeploy, *command == stored.before_deploy);
        }
        if let Some(check) = &self.ready {
            add(SettingName::Ready, is_check(check.as_ref(), &stored.ready));
        }
        if let Some(policy) = &self.restart_policy {
            add(SettingName::RestartPolicy, *policy == stored.restart_policy);
        }
        if let Some(cron) = &self.cron {
            add(SettingName::Cron, *cron == stored.cron);
        }
        if let Some(sleep) = self.sleep {
            add(SettingName::Sleep, sleep == stored.sleep);
        }
        if let Some((overlap, drain)) = self.hand_over {
            let is = stored.hand_over;
            let fits = overlap.is_none_or(|overlap| overlap == is.overlap_seconds)
                && drain.is_none_or(|drain| drain == is.drain_seconds);
            add(SettingName::HandOver, fits);
        }
        if let Some((cpu, memory)) = self.limits {
            let is = stored.limits;
            let fits = cpu.is_none_or(|cpu| Some(cpu) == is.milli_cpu)
                && memory.is_none_or(|memory| Some(memory) == is.memory_bytes);
            add(SettingName::Limits, fits);
        }
        lacking
    }

    /// Which ones are declared.
    pub fn declares(&self, name: SettingName) -> bool {
        match name {
            SettingName::Start => self.start.is_some(),
            SettingName::BeforeDeploy => self.before_deploy.is_some(),
            SettingName::Ready => self.ready.is_some(),
            SettingName::RestartPolicy => self.restart_policy.is_some(),
            SettingName::Cron => self.cron.is_some(),
            SettingName::Sleep => self.sleep.is_some(),
            SettingName::HandOver => self.hand_over.is_some(),
            SettingName::Limits => self.limits.is_some(),
        }
    }

    /// Settings that are as declared, and elsewhere as they were.
    pub fn over(&self, settings: &mut Settings) {
        if let Some(start) = &self.start {
            settings.start.clone_from(start);
        }
        if let Some(command) = &self.before_deploy {
            settings.before_deploy.clone_from(command);
        }
        if let Some(check) = &self.ready {
            settings.ready.path = check.as_ref().map(|(path, _)| path.clone());
            if let Some((_, Some(within))) = check {
                settings.ready.within_seconds = *within;
            }
        }
        if let Some(policy) = self.restart_policy {
            settings.restart_policy = policy;
        }
        if let Some(cron) = &self.cron {
            settings.cron.clone_from(cron);
        }
        if let Some(sleep) = self.sleep {
            settings.sleep = sleep;
        }
        if let Some((overlap, drain)) = self.hand_over {
            let is = &mut settings.hand_over;
            is.overlap_seconds = overlap.unwrap_or(is.overlap_seconds);
            is.drain_seconds = drain.unwrap_or(is.drain_seconds);
        }
        if let Some((cpu, memory)) = self.limits {
            let is = &mut settings.limits;
            is.milli_cpu = cpu.or(is.milli_cpu);
            is.memory_bytes = memory.or(is.memory_bytes);
        }
    }
}

/// Without a path its time means nothing.
fn is_check(check: Option<&Check>, stored: &Ready) -> bool {
    match check {
        None => stored.path.is_none(),
        Some((path, within)) => {
            stored.path.as_ref() == Some(path)
                && within.is_none_or(|within| within == stored.within_seconds)
        }
    }
}

impl VariableWish {
    /// The value that it asks for, where it is no secret.
    pub fn text(&self) -> Option<String> {
        match self {
            VariableWish::Text(text) => Some(text.clone()),
            VariableWish::Number(number) => Some(number.to_string()),
            VariableWish::Flag(flag) => Some(flag.to_string()),
            VariableWish::Secret { .. } | VariableWish::Absent => None,
        }
    }

    /// When it has to have been written, where that is said.
    pub fn rotated_after(&self) -> Option<Timestamp> {
        match self {
            VariableWish::Secret { rotated_after, .. } => *rotated_after,
            VariableWish::Text(_)
            | VariableWish::Number(_)
            | VariableWish::Flag(_)
            | VariableWish::Absent => None,
        }
    }
}

/// Whether a content is one of those that do not come up.
pub fn is_bad(content: &Content) -> bool {
    content
        .image
        .as_ref()
        .is_some_and(|image| BAD_IMAGES.contains(&image.as_str()))
        || content
            .commit
            .as_ref()
            .is_some_and(|commit| BAD_COMMITS.contains(&commit.as_str()))
}
