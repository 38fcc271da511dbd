//! What may stand in the way of what git says, by the truth and not by the plan; and as which sort of hold people are told.

use super::super::model::State;
use reconciler::kinds::step::Cause;
use std::collections::BTreeSet;

/// Something that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hindrance {
    /// Somebody staged changes.
    Staged,
    /// The newest patch could not be applied.
    FailedPatch,
    /// A policy refuses the image, and with it the service's whole patch.
    Forbidden,
    /// A schedule that Railway does not combine with the replicas that there are.
    Clash,
    /// Railway moves the image by itself.
    Moves,
    /// What is declared does not fit what the service is built from.
    Kind,
    /// What is declared does not come up.
    Bad,
    /// The newest deployment did not come up.
    Failed,
    /// Railway does not place the replicas so.
    Placement,
    /// A variable is sealed that git wants to read.
    Sealed,
    /// A secret is missing.
    NoSecret,
    /// The service is not there.
    Gone,
    /// Nobody consented to what may be lost.
    NoConsent,
    /// What is closed was to be open again.
    Overdue,
    /// Customers see something else.
    Page,
    /// What closes went from git while it was on.
    LeftOn,
}

pub type Hindrances = BTreeSet<Hindrance>;

impl Hindrance {
    /// The sorts of hold that it explains.
    pub fn causes(self) -> &'static [Cause] {
        match self {
            Hindrance::Staged
            | Hindrance::Moves
            | Hindrance::Sealed
            | Hindrance::Overdue
            | Hindrance::LeftOn => &[Cause::Somebody],
            Hindrance::FailedPatch | Hindrance::Forbidden | Hindrance::Clash => &[Cause::Refused],
            Hindrance::Kind | Hindrance::NoSecret | Hindrance::Gone => &[Cause::Missing],
            // An approval at Railway is somebody's.
            Hindrance::Failed => &[Cause::Unhealthy, Cause::Somebody],
            Hindrance::Bad => &[Cause::Unhealthy, Cause::Somebody, Cause::Refused],
            Hindrance::Placement => &[Cause::Refused, Cause::Missing],
            Hindrance::NoConsent => &[Cause::Consent],
            Hindrance::Page => &[Cause::Unhealthy],
        }
    }
}

/// What stands in the way of every patch.
pub fn of_patches(state: &State) -> Hindrances {
    let staged = (!state.staged.is_empty()).then_some(Hindrance::Staged);
    let failed = state
        .newest_patch_failed()
        .then_some(Hindrance::FailedPatch);
    staged.into_iter().chain(failed).collect()
}
