//! What is known of the library that made a queue: how it keeps a pause, and whether it heeds a limit. Facts: `facts/redis-bullmq.md` 1.

use super::{Library, Spec};
use crate::world::redis::{Layout, Queue};

/// The first version that heeds a limit over all workers.
const LIMITS: (u32, u32) = (5, 9);
/// The versions whose queues are known; what came before 3 is not.
const OLDEST: u32 = 3;
const NEWEST: u32 = 6;

/// What may be done to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The version in words, where it is known.
    pub version: Option<String>,
    /// How it keeps a pause.
    pub layout: Layout,
    /// Whether it heeds a limit.
    pub limits: Limits,
}

/// Whether a library heeds a limit over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// It does.
    Heeded,
    /// It is too old.
    Ignored,
    /// Its version is not known.
    Unknown,
}

/// What may be done to a queue; or why nothing is.
pub fn known(spec: &Spec, queue: &Queue) -> Result<Known, String> {
    if spec.library == Library::Bull {
        return Err("Bull is looked at only: its queues are not changed".to_owned());
    }
    if queue.is_of_bull {
        return Err("its keys are those of Bull, whose queues are not changed".to_owned());
    }
    let written = spec.version.as_deref().and_then(numbers);
    // Ports in other languages write numbers of their own, or of the library that they follow.
    let told = queue
        .version
        .as_deref()
        .and_then(|version| version.strip_prefix("bullmq:"));
    let found = written.or_else(|| told.and_then(numbers));
    let version = match (written, &spec.version) {
        (Some(_), Some(written)) => Some(written.clone()),
        _ => told.filter(|_| found.is_some()).map(str::to_owned),
    };
    let Some((major, minor)) = found else {
        // Safe for 6 too, while the other way round would lose jobs.
        return Ok(Known {
            version: None,
            layout: Layout::Legacy,
            limits: Limits::Unknown,
        });
    };
    if !(OLDEST..=NEWEST).contains(&major) {
        let version = version.unwrap_or_default();
        return Err(format!(
            "how BullMQ {version} keeps its queues is not known here ({OLDEST} to {NEWEST} is)"
        ));
    }
    Ok(Known {
        version,
        layout: if major >= 6 {
            Layout::V6
        } else {
            Layout::Legacy
        },
        limits: if (major, minor) >= LIMITS {
            Limits::Heeded
        } else {
            Limits::Ignored
        },
    })
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next().map_or(Some(0), |minor| minor.parse().ok())?;
    Some((major, minor))
}
