//! What nobody states about Railway (`?` and `F` in facts/railway.md): drawn from the seed, and the product must settle under either answer.

use super::chance::Chance;

/// What becomes of `source.commitSha` in a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchCommit {
    /// The patch deploys that commit.
    Honoured,
    /// Stored, and the commit of before is deployed.
    Stored,
    /// Not even stored.
    Dropped,
}

/// When a patch counts as applied, measured by the deployments that it causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppliedAt {
    Together,
    /// Deployments are made, and up to three seconds later the patch counts as applied.
    AfterDeployments,
    /// The patch counts as applied, and its deployments are made up to three seconds later.
    BeforeDeployments,
}

/// What a patch does while somebody else has staged changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverStaged {
    Leaves,
    Merges,
    Refuses,
}

/// One Railway out of all those that the facts allow.
#[derive(Debug, Clone)]
pub struct Switches {
    pub patch_commit: PatchCommit,
    pub applied_at: AppliedAt,
    pub over_staged: OverStaged,
    /// Whether a deployment's `meta` names the patch that caused it.
    pub meta_patch_id: bool,
    pub rollback_copies_patch_id: bool,
    /// Whether a patch that changes nothing deploys.
    pub noop_deploys: bool,
    /// Whether regions read as airport codes whatever was written.
    pub airport_codes: bool,
    pub store_image_deploys: bool,
    /// Seconds for which a patch is on its way before its values show.
    pub patch_lag: u64,
    /// Whether an instance tells when it was changed.
    pub tells_updated_at: bool,
    /// Whether the first look brings the history along, as it does for ids; for names it must be asked for.
    pub first_look_has_history: bool,
    /// Whether a variable set outside a patch is in the history.
    pub direct_edits_in_history: bool,
    /// Whether a redeployment takes the variables and settings of now, not those of the deployment that it repeats.
    pub redeploy_takes_current: bool,
    /// Whether a shared variable redeploys the services that refer to it.
    pub shared_redeploys: bool,
    /// Whether a deployment's `meta` tells the settings that it runs with.
    pub meta_settings: bool,
    /// Whether the credentials of a registry read as stars; else they read as nothing.
    pub registry_stars: bool,
    /// Whether a sealed variable is named in a deployment's snapshot.
    pub snapshot_has_sealed: bool,
    /// Whether writing the value that a variable already has counts as writing it.
    pub rewrites_show: bool,
    /// Seconds for which an older page may be shown.
    pub page_lag: i64,
}

impl Switches {
    pub fn drawn(chance: &mut Chance) -> Switches {
        Switches {
            patch_commit: chance.pick(&[
                PatchCommit::Honoured,
                PatchCommit::Stored,
                PatchCommit::Dropped,
            ]),
            applied_at: chance.pick(&[
                AppliedAt::Together,
                AppliedAt::AfterDeployments,
                AppliedAt::BeforeDeployments,
            ]),
            over_staged: chance.pick(&[
                OverStaged::Leaves,
                OverStaged::Merges,
                OverStaged::Refuses,
            ]),
            meta_patch_id: chance.percent(60),
            rollback_copies_patch_id: chance.percent(50),
            noop_deploys: chance.percent(40),
            airport_codes: chance.percent(30),
            store_image_deploys: chance.percent(25),
            patch_lag: chance.below(4),
            tells_updated_at: chance.percent(70),
            first_look_has_history: chance.percent(60),
            direct_edits_in_history: chance.percent(50),
            redeploy_takes_current: chance.percent(50),
            shared_redeploys: chance.percent(50),
            meta_settings: chance.percent(65),
            registry_stars: chance.percent(50),
            snapshot_has_sealed: chance.percent(50),
            rewrites_show: chance.percent(50),
            page_lag: chance.pick(&[0, 0, 2, 5]),
        }
    }

    /// The likeliest of them.
    pub fn plain() -> Switches {
        Switches {
            patch_commit: PatchCommit::Stored,
            applied_at: AppliedAt::Together,
            over_staged: OverStaged::Leaves,
            meta_patch_id: true,
            rollback_copies_patch_id: false,
            noop_deploys: false,
            airport_codes: false,
            store_image_deploys: false,
            patch_lag: 0,
            tells_updated_at: true,
            first_look_has_history: true,
            direct_edits_in_history: false,
            redeploy_takes_current: true,
            shared_redeploys: true,
            meta_settings: true,
            registry_stars: true,
            snapshot_has_sealed: true,
            rewrites_show: true,
            page_lag: 0,
        }
    }
}
