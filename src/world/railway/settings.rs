//! The plain settings of a service that a deployment carries: commands, checks, restarts, schedule, sleep, hand-over, limits.

use serde::Serialize;
use std::fmt;

/// All of them with defaults filled in (facts/railway.md 2.2): what is stored, or what a deployment runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The command that starts the process; none means the image's own.
    pub start: Option<String>,
    /// The command that runs once per deployment, before traffic.
    pub before_deploy: Option<String>,
    /// The health check that Railway makes while deploying.
    pub ready: Ready,
    /// What Railway does when a process ends.
    pub restart_policy: RestartPolicy,
    /// The schedule, five fields in UTC; none means that it runs all the time.
    pub cron: Option<String>,
    /// Whether it sleeps when nobody calls.
    pub sleep: bool,
    /// How a deployment takes over from the one before it.
    pub hand_over: HandOver,
    /// What one replica may use at most.
    pub limits: Limits,
}

/// The health check that Railway makes while deploying, defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The path that must answer 200; none means that a started container is enough.
    pub path: Option<String>,
    /// How long it may take, seconds.
    pub within_seconds: u64,
}

/// Railway's own limit for the health check, seconds (facts/railway.md 2.2).
pub const READY_SECONDS: u64 = 300;

/// How often Railway restarts a failing process where nothing is said (facts/railway.md 2.2).
pub const RESTARTS: u32 = 10;

/// What Railway does when a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RestartPolicy {
    /// Starts it again, always.
    Always,
    /// Leaves it ended.
    Never,
    /// Starts it again when it failed, so many times.
    OnFailure(u32),
}

/// How a deployment takes over from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HandOver {
    /// How long both run, seconds.
    pub overlap_seconds: u64,
    /// How long the old one may take to end after it was told to, seconds.
    pub drain_seconds: u64,
}

/// What one replica may use at most; none means what Railway's plan allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Thousandths of a virtual processor.
    pub milli_cpu: Option<u64>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
}

/// The name of a plain setting, as manifests write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingName {
    /// `start`.
    Start,
    /// `beforeDeploy`.
    BeforeDeploy,
    /// `ready`.
    Ready,
    /// `restartPolicy`.
    RestartPolicy,
    /// `cron`.
    Cron,
    /// `sleep`.
    Sleep,
    /// `handOver`.
    HandOver,
    /// `limits`.
    Limits,
}

/// A plain setting with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SettingValue {
    /// See [`Settings::start`].
    Start(Option<String>),
    /// See [`Settings::before_deploy`].
    BeforeDeploy(Option<String>),
    /// See [`Settings::ready`].
    Ready(Ready),
    /// See [`Settings::restart_policy`].
    RestartPolicy(RestartPolicy),
    /// See [`Settings::cron`].
    Cron(Option<String>),
    /// See [`Settings::sleep`].
    Sleep(bool),
    /// See [`Settings::hand_over`].
    HandOver(HandOver),
    /// See [`Settings::limits`].
    Limits(Limits),
}

impl Default for Ready {
    fn default() -> Ready {
        Ready {
            path: None,
            within_seconds: READY_SECONDS,
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            start: None,
            before_deploy: None,
            ready: Ready::default(),
            restart_policy: RestartPolicy::OnFailure(RESTARTS),
            cron: None,
            sleep: false,
            hand_over: HandOver::default(),
            limits: Limits::default(),
        }
    }
}

impl Settings {
    /// One of them.
    pub fn value(&self, name: SettingName) -> SettingValue {
        match name {
            SettingName::Start => SettingValue::Start(self.start.clone()),
            SettingName::BeforeDeploy => SettingValue::BeforeDeploy(self.before_deploy.clone()),
            SettingName::Ready => SettingValue::Ready(self.ready.clone()),
            SettingName::RestartPolicy => SettingValue::RestartPolicy(self.restart_policy),
            SettingName::Cron => SettingValue::Cron(self.cron.clone()),
            SettingName::Sleep => SettingValue::Sleep(self.sleep),
            SettingName::HandOver => SettingValue::HandOver(self.hand_over),
            SettingName::Limits => SettingValue::Limits(self.limits),
        }
    }

    /// Sets one of them.
    pub fn set(&mut self, value: SettingValue) {
        match value {
            SettingValue::Start(start) => self.start = start,
            SettingValue::BeforeDeploy(command) => self.before_deploy = command,
            SettingValue::Ready(ready) => self.ready = ready,
            SettingValue::RestartPolicy(policy) => self.restart_policy = policy,
            SettingValue::Cron(cron) => self.cron = cron,
            SettingValue::Sleep(sleep) => self.sleep = sleep,
            SettingValue::HandOver(hand_over) => self.hand_over = hand_over,
            SettingValue::Limits(limits) => self.limits = limits,
        }
    }
}

impl SettingValue {
    /// Which one it is.
    pub fn name(&self) -> SettingName {
        match self {
            SettingValue::Start(_) => SettingName::Start,
            SettingValue::BeforeDeploy(_) => SettingName::BeforeDeploy,
            SettingValue::Ready(_) => SettingName::Ready,
            SettingValue::RestartPolicy(_) => SettingName::RestartPolicy,
            SettingValue::Cron(_) => SettingName::Cron,
            SettingValue::Sleep(_) => SettingName::Sleep,
            SettingValue::HandOver(_) => SettingName::HandOver,
            SettingValue::Limits(_) => SettingName::Limits,
        }
    }
}

impl SettingName {
    /// Every one, in the order in which plans show them.
    pub const ALL: [SettingName; 8] = [
        SettingName::Start,
        SettingName::BeforeDeploy,
        SettingName::Ready,
        SettingName::RestartPolicy,
        SettingName::Cron,
        SettingName::Sleep,
        SettingName::HandOver,
        SettingName::Limits,
    ];

    /// The word in manifests, plans and messages.
    pub fn word(self) -> &'static str {
        match self {
            SettingName::Start => "start",
            SettingName::BeforeDeploy => "beforeDeploy",
            SettingName::Ready => "ready",
            SettingName::RestartPolicy => "restartPolicy",
            SettingName::Cron => "cron",
            SettingName::Sleep => "sleep",
            SettingName::HandOver => "handOver",
            SettingName::Limits => "limits",
        }
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}
