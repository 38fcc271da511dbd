//! Railway's plans, and what each allows.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    Free,
    Trial,
    Hobby,
    Pro,
    Enterprise,
}

impl Plan {
    pub fn text(self) -> &'static str {
        match self {
            Plan::Free => "free",
            Plan::Trial => "trial",
            Plan::Hobby => "hobby",
            // The API has no word of its own for it.
            Plan::Pro | Plan::Enterprise => "pro",
        }
    }

    pub fn is_unpaid(self) -> bool {
        matches!(self, Plan::Free | Plan::Trial)
    }

    /// Whether it has what Pro has.
    pub fn is_professional(self) -> bool {
        matches!(self, Plan::Pro | Plan::Enterprise)
    }

    /// Custom domains of one service.
    pub fn most_domains(self) -> usize {
        match self {
            Plan::Free | Plan::Trial => 1,
            Plan::Hobby => 2,
            Plan::Pro | Plan::Enterprise => 20,
        }
    }

    pub fn requests_per_hour(self) -> u32 {
        match self {
            Plan::Free | Plan::Trial => 100,
            Plan::Hobby => 1_000,
            Plan::Pro => 10_000,
            Plan::Enterprise => 100_000,
        }
    }

    pub fn requests_per_second(self) -> Option<u32> {
        match self {
            Plan::Free | Plan::Trial => None,
            Plan::Hobby => Some(10),
            Plan::Pro => Some(50),
            Plan::Enterprise => Some(500),
        }
    }

    pub fn most_replicas(self) -> u64 {
        match self {
            Plan::Free => 1,
            Plan::Trial => 2,
            Plan::Hobby => 6,
            Plan::Pro => 42,
            Plan::Enterprise => 50,
        }
    }

    /// What a new volume gets, and the most it can grow to.
    pub fn default_volume_mb(self) -> u32 {
        match self {
            Plan::Free | Plan::Trial => 500,
            Plan::Hobby => 5_000,
            Plan::Pro | Plan::Enterprise => 50_000,
        }
    }

    pub fn most_volume_mb(self) -> u32 {
        match self {
            Plan::Enterprise => 5_000_000,
            Plan::Pro => 1_000_000,
            Plan::Free | Plan::Trial | Plan::Hobby => self.default_volume_mb(),
        }
    }

    pub fn most_volumes(self) -> usize {
        match self {
            Plan::Free => 1,
            Plan::Trial => 3,
            Plan::Hobby => 10,
            Plan::Pro => 20,
            Plan::Enterprise => usize::MAX,
        }
    }

    /// The most that one container may be given: vCPUs and gigabytes of memory.
    pub fn container_ceiling(self) -> (f64, f64) {
        match self {
            Plan::Free => (1.0, 0.5),
            Plan::Trial => (2.0, 1.0),
            Plan::Hobby => (8.0, 8.0),
            Plan::Pro => (24.0, 24.0),
            Plan::Enterprise => (48.0, 48.0),
        }
    }

    /// What a container may use when nothing says otherwise, as Railway writes it.
    pub fn container_limits(self) -> Value {
        let (cpu, gigabytes) = self.container_ceiling();
        let disk = if self.is_unpaid() { 1.0 } else { 100.0 };
        let bytes = |gigabytes: f64| (gigabytes * 1e9) as u64;
        json!({ "containers": { "cpu": cpu, "memoryBytes": bytes(gigabytes), "diskBytes": bytes(disk) } })
    }

    /// How long logs are kept.
    pub fn log_days(self) -> u32 {
        match self {
            Plan::Free | Plan::Trial | Plan::Hobby => 7,
            Plan::Pro => 30,
            Plan::Enterprise => 90,
        }
    }

    /// How long the image of a removed deployment is kept.
    pub fn retention_hours(self) -> u32 {
        match self {
            Plan::Free | Plan::Trial => 24,
            Plan::Hobby => 72,
            Plan::Pro => 120,
            Plan::Enterprise => 360,
        }
    }
}
