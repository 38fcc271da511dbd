//! Executors that are wrong on purpose: the oracles must find each of them, or they would not find the product wrong either.

mod bent;
mod looped;

use super::play::AnyProvider;
use super::schedule::{POLICIES, Schedule, parsed};
use super::stage::Seat;
use super::wish::{Consent, DATABASES, Risk, Wish, at, may_lose};
use bent::Bent;
use jiff::Timestamp;
use looped::Loop;
use reconciler::interrupt::Interrupt;
use reconciler::manifest::Desired;
use reconciler::plan::gate::Memory;
use reconciler::reconcile::{End, Looked, Pass, Watcher};
use reconciler::world::Failure;
use std::sync::Arc;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing: the product.
    None,
    /// Sends a write again at once when no answer came.
    RetriesBlindly,
    /// Takes what could not be seen for empty.
    TrustsPartialLooks,
    /// Takes a masked value for a value.
    ReadsMasks,
    /// Does not remember what it has sent.
    ForgetsWhatItSent,
    /// Writes while somebody has staged changes.
    CommitsOverStaged,
    /// Deletes the variables that no manifest names.
    DeletesUndeclared,
    /// Writes to a service that no manifest names.
    TouchesForeign,
    /// Scales down before it scales up.
    ScalesDownFirst,
    /// Deploys a failed deployment again and again.
    RetriesFailed,
    /// Takes a state that it does not know for a removed deployment.
    GuessesStates,
    /// Carries out the plan of a diff.
    WritesInDiff,
    /// Goes on with an older commit when a newer one is there.
    IgnoresNewerCommits,
    /// Sends every change as a patch of its own.
    PatchesEveryChange,
    /// Tells the history which value it sets.
    TellsSecrets,
    /// Gives a refused joint patch up as a whole.
    GivesUpOnRefusal,
    /// Never stores the image to which it went back.
    NeverStoresTheImage,
    /// Never deploys what is stored and does not run.
    NeverDeploysWhatIsStored,
    /// Writes everything again at every look.
    WritesAlways,
    /// Goes on when the token is denied.
    IgnoresDenial,
    /// Takes an accepted write for a done one and never looks again.
    NeverLooksAgain,
    /// Does what may lose data although nobody consented.
    IgnoresMissingConsent,
    /// Does not see that a consent was used.
    UsesConsentTwice,
    /// Takes every variable for its own work, and takes it away with its declaration.
    DeletesWhatItDidNotMake,
    /// Takes away the services that no manifest names.
    DeletesServices,
    /// Takes a page that could not be seen for the one that is wanted.
    OpensOnAnUnseenPage,
    /// Takes every page for the one that is wanted.
    NeverWaitsForThePage,
    /// Does nothing while anything cannot be seen, closing neither.
    ClosesOnlyWhenAllIsSeen,
    /// Closes by a patch, whoever has staged something.
    CommitsStagedToClose,
    /// Opens when the time has come that the maintenance should end.
    OpensByItself,
    /// Does not read that a service is stopped.
    StartsWhatIsStopped,
    /// Never stops anything.
    NeverStops,
    /// Goes back to a kept deployment whatever variables it ran with.
    RollsBackOverOtherVariables,
    /// Goes back to a kept deployment whatever settings it ran with.
    RollsBackOverOtherSettings,
    /// Stores the image after a way back, and not the settings.
    NeverStoresTheSettings,
    /// Writes shared variables as a service's own.
    WritesSharedAsOwn,
    /// Never turns deployments by push on or off.
    NeverSwitchesPushes,
    /// Undoes at once what somebody changed.
    HealsAtOnce,
    /// Does not read that nothing is to be begun.
    IgnoresTheFreeze,
}

/// Every flaw, with the oracle that finds it.
pub const ALL: &[(Flaw, &str)] = &[
    (Flaw::RetriesBlindly, "s11_no_blind_repeat"),
    (Flaw::TrustsPartialLooks, "s6_unseen_is_not_touched"),
    (Flaw::ReadsMasks, "s6_unseen_is_not_touched"),
    (Flaw::ForgetsWhatItSent, "s11_no_blind_repeat"),
    (Flaw::CommitsOverStaged, "s8_staged_by_hand_is_left"),
    (Flaw::DeletesUndeclared, "s1_ownership"),
    (Flaw::TouchesForeign, "s1_ownership"),
    (Flaw::ScalesDownFirst, "s3_availability_floor"),
    (Flaw::RetriesFailed, "s11_no_twin_deployment"),
    (Flaw::GuessesStates, "s11_no_twin_deployment"),
    (Flaw::WritesInDiff, "s10_read_only"),
    (Flaw::IgnoresNewerCommits, "s7_forward_only"),
    (Flaw::PatchesEveryChange, "s12_one_patch_a_look"),
    (Flaw::TellsSecrets, "s9_no_secret_out"),
    (Flaw::GivesUpOnRefusal, "l1_converges"),
    (Flaw::NeverStoresTheImage, "l1_converges"),
    (Flaw::NeverDeploysWhatIsStored, "l1_converges"),
    (Flaw::WritesAlways, "l1_converges"),
    (Flaw::IgnoresDenial, "s11_no_storm"),
    (Flaw::NeverLooksAgain, "l1_converges"),
    (Flaw::IgnoresMissingConsent, "s2_consent"),
    (Flaw::UsesConsentTwice, "s2_consent"),
    (Flaw::DeletesWhatItDidNotMake, "s1_ownership"),
    (Flaw::DeletesServices, "s2_consent"),
    (Flaw::OpensOnAnUnseenPage, "s4_page_is_seen"),
    (Flaw::NeverWaitsForThePage, "s4_page_is_seen"),
    (Flaw::ClosesOnlyWhenAllIsSeen, "s4_closing_never_waits"),
    (Flaw::CommitsStagedToClose, "s8_staged_by_hand_is_left"),
    (Flaw::OpensByItself, "s4_maintenance_bracket"),
    (Flaw::StartsWhatIsStopped, "s5_stopped_stays_stopped"),
    (Flaw::NeverStops, "l1_converges"),
    (Flaw::RollsBackOverOtherVariables, "s3_way_back_is_exact"),
    (Flaw::RollsBackOverOtherSettings, "s3_way_back_is_exact"),
    (Flaw::NeverStoresTheSettings, "s3_way_back_is_exact"),
    (Flaw::WritesSharedAsOwn, "s1_ownership"),
    (Flaw::NeverSwitchesPushes, "l1_converges"),
    (Flaw::HealsAtOnce, "s13_drift_has_its_time"),
    (Flaw::IgnoresTheFreeze, "s14_nothing_is_begun_in_a_freeze"),
];

impl Flaw {
    /// What the commit asks for, as it is read.
    pub fn desired(self, schedule: &Schedule, commit: usize, now: Timestamp) -> Arc<Desired> {
        let read = || schedule.wishes()[commit].clone();
        let mut wish;
        match self {
            Flaw::IgnoresMissingConsent => {
                wish = read();
                wish.consents = every_consent(&wish);
            }
            Flaw::StartsWhatIsStopped => {
                wish = read();
                for service in wish.services.values_mut() {
                    service.stopped = None;
                }
            }
            Flaw::HealsAtOnce => {
                wish = read();
                wish.heal_seconds = Some(0);
            }
            Flaw::IgnoresTheFreeze => {
                wish = read();
                wish.freeze = None;
            }
            Flaw::OpensByItself => {
                wish = read();
                if let Some(maintenance) = &mut wish.maintenance {
                    maintenance.enabled &= now < maintenance.until;
                }
            }
            _ => return schedule.desired(commit),
        }
        Arc::new(parsed(&wish.yaml()))
    }

    /// The way to Railway, bent where the flaw lies in what is seen or sent.
    pub fn provider(self, seat: Seat<'_>) -> AnyProvider<'_> {
        match self {
            Flaw::None => Box::new(seat),
            _ => Box::new(Bent { seat, flaw: self }),
        }
    }

    /// Passes of another sort, where the flaw lies in the loop.
    pub async fn passes(
        self,
        pass: &Pass<'_>,
        watcher: &mut dyn Watcher,
        interrupt: &Interrupt,
    ) -> Option<Result<End, Failure>> {
        match self {
            Flaw::ForgetsWhatItSent
            | Flaw::GivesUpOnRefusal
            | Flaw::WritesAlways
            | Flaw::IgnoresDenial
            | Flaw::NeverLooksAgain => Some(
                Loop { flaw: self, pass }
                    .until_in_step(watcher, interrupt)
                    .await,
            ),
            _ => None,
        }
    }

    /// The first seed of the schedules in which it can show.
    pub fn first_seed(self) -> u64 {
        match self {
            Flaw::HealsAtOnce | Flaw::IgnoresTheFreeze => POLICIES,
            _ => 0,
        }
    }

    pub fn ignores_newer_commits(self) -> bool {
        self == Flaw::IgnoresNewerCommits
    }

    pub async fn after_diff(self, pass: &Pass<'_>, looked: &Looked) {
        if self == Flaw::WritesInDiff {
            let (_stop, interrupt) = reconciler::interrupt::interrupt();
            pass.act(looked, &mut Memory::default(), &interrupt).await;
        }
    }
}

/// Consent to every change of every database.
fn every_consent(wish: &Wish) -> Vec<Consent> {
    let pairs = || {
        DATABASES
            .iter()
            .flat_map(|from| DATABASES.iter().map(move |to| (*from, *to)))
    };
    let of_service = |service: &String| {
        pairs()
            .filter(|(from, to)| may_lose(from, to))
            .map(|(from, to)| Consent {
                risk: Risk::Image {
                    service: service.clone(),
                    from: from.to_owned(),
                    to: to.to_owned(),
                },
                until: at(1800),
            })
            .collect::<Vec<_>>()
    };
    wish.services.keys().flat_map(of_service).collect()
}
