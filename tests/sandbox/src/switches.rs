//! Everything that nobody states about Railway, as a setting: the product must settle under each answer.
//!
//! `Switches::default()` is the likeliest answer, `Switches::drawn(seed)` draws every one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::random::Random;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// What stands for a value under `decryptVariables: false`.
    pub mask: Mask,
    /// What stands for a sealed value, which no call ever reveals.
    pub sealed_mask: SealedMask,
    /// What `null` for a scalar does in a patch.
    pub null_scalar: NullScalar,
    /// Whether `""` for a scalar setting (not a variable) in a patch clears it.
    pub empty_string_clears: bool,
    /// What `environmentPatchCommit` does with changes that somebody has staged.
    pub commit_over_staged: OverStaged,
    /// What `environmentStageChanges` takes for an absent `merge`.
    pub stage_merge_default: bool,
    pub etag_moves_on_deploy: bool,
    pub etag_moves_on_stage: bool,
    pub etag_moves_on_sealed: bool,
    /// What `source.commitSha` in a patch does.
    pub patch_commit_sha: PatchCommitSha,
    pub pushed_commit_moves_stored: bool,
    /// Whether `deployment.meta` names the patch that caused the deployment.
    pub meta_patch_id: Presence,
    pub rollback_copies_patch_id: bool,
    /// How a patch's `appliedAt` lies to the creation of its deployments.
    pub applied_at: AppliedAt,
    /// Seconds during which a patch is APPLYING and shows nothing yet.
    pub patch_apply_lag: u32,
    /// Whether a patch that changes nothing of a service it names deploys that service.
    pub noop_patch_deploys: bool,
    pub region_keys: RegionKeys,
    /// Whether a restart moves the deployment's `updatedAt`.
    pub restart_shows: bool,
    pub instance_update_deploys: bool,
    /// Whether redeploying a mutable tag pulls what the tag means now.
    pub redeploy_pulls: bool,
    /// Whether a redeploy takes the stored variables of now or those of the original deployment.
    pub redeploy_variables: RedeployVariables,
    /// How `deploymentSnapshot` shows sealed variables.
    pub snapshot_sealed: SnapshotSealed,
    pub snapshot_includes_railway: bool,
    /// Items in a page when neither `first` nor `last` is given.
    pub default_page_size: u32,
    /// Seconds for which `workflowStatus` answers NotFound.
    pub workflow_lag: u32,
    /// Whether `workflowStatus` ever knows the id that a commit returns.
    pub commit_workflow: Workflow,
    /// Whether `environment.config` spells out values that are at their default.
    pub config_defaults: Presence,
    /// Unknown keys sprinkled over the JSON scalars.
    pub extra_keys: bool,
    pub shared_variable_redeploys: bool,
    pub missing_service_error: MissingService,
    pub project_token_may_read_project: bool,
    /// Whether a project token may create, rename and delete services.
    pub project_token_may_write_project: bool,
    /// What happens to running replicas once every region is null.
    pub no_regions: NoRegions,
    pub active_deployments: ActiveDeployments,
    pub auth_code: AuthCode,
    /// Whether requests without a query string hit the edge's 10 a second and its error 1015.
    pub cloudflare_trap: bool,
    /// Whether a log `limit` returns one row too many.
    pub log_limit_extra: bool,
    /// Whether a hot scale shows in the running deployment's `meta.serviceManifest`.
    pub scale_moves_manifest: bool,
    /// Whether writing the value a variable already has moves its `updatedAt`.
    pub rewrite_moves_updated_at: bool,
    pub variable_delete_deploys: bool,
    pub reset_header: ResetHeader,
    /// Whether moving a service with a volume to another region deploys it, or waits for its next deployment.
    pub volume_move_deploys: bool,
    /// What the request that wakes a sleeping service gets.
    pub waking_request: WakingRequest,
    /// Whether a deployment reads as stopped once all its processes have ended by themselves, or sleep.
    pub exited_is_stopped: bool,
    /// What becomes of deployments on the Free plan, whose machines are full by day.
    pub peak_hours: PeakHours,
    /// Seconds between two projects, environments or volumes that one token may create.
    pub creation_pace: u32,
    /// Whether volumes are backed up by schedule on plans below Pro.
    pub schedules_below_pro: bool,
    pub etag_moves_on_schedule: bool,
    /// What a commit that failed while it was applied reads: the live service has a newer word for it.
    pub failed_patch: FailedPatch,
    /// How long the edge blocks whoever ran into its limit.
    pub edge_block_minutes: u32,
    /// Whether each root field of a request counts for the rate limit.
    pub aliases_count: bool,
    /// How long `environmentCreate` takes to answer when it copies in the foreground.
    pub duplicate_seconds: u32,
    /// Whether committing an empty staged patch clears the record, or is refused.
    pub empty_commit_clears: bool,
    /// The longest name of a service.
    pub longest_name: u32,
    /// Where `serviceCreate` makes a service when it names an environment that is no copy of another.
    pub service_create_scope: ServiceScope,
    /// Whether `serviceConnect` fails, after it took effect, when some environment has no instance of the service.
    pub connect_needs_every_instance: bool,
    /// Whether `serviceInstanceUpdate` without a `source` takes the stored one away.
    pub update_without_source_clears: bool,
    /// Where `volumeCreate` makes instances when it names no environment.
    pub volume_without_environment: VolumeScope,
    /// Whether a project token may make, restore and delete backups.
    pub project_token_may_back_up: bool,
    /// Whether a project token may make and delete domains and proxies.
    pub project_token_may_name: bool,
    /// Whether a project token may apply change sets.
    pub project_token_may_apply: bool,
}

macro_rules! answers {
    ($($name:ident { $first:ident $(, $other:ident)* })*) => { $(
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { #[default] $first, $($other),* }
    )* };
}

// The first of each is the default.
answers! {
    Mask { Null, Empty, Stars }
    SealedMask { Absent, Null, Empty, Stars }
    NullScalar { Clears, Ignored }
    OverStaged { Leaves, Merges, Refuses }
    PatchCommitSha { Honoured, Stored, Dropped }
    Presence { Present, Absent }
    AppliedAt { Together, AfterDeployments, BeforeDeployments }
    RegionKeys { AsWritten, AirportCodes }
    RedeployVariables { Current, Original }
    SnapshotSealed { Null, Absent, Stars }
    Workflow { Known, Unknown }
    MissingService { Problem, NotAuthorized }
    NoRegions { Drained, Left }
    ActiveDeployments { Running, UnfinishedToo }
    AuthCode { InternalServerError, Unauthenticated }
    ResetHeader { Epoch, SecondsLeft, Rfc3339 }
    WakingRequest { Answered, BadGateway }
    PeakHours { None, Queued, Rejected }
    FailedPatch { Staged, Failed }
    ServiceScope { Named, AllUnforked }
    VolumeScope { Nowhere, Everywhere }
}

/// Every switch with every answer it can take, as it is written in YAML.
const ANSWERS: &[(&str, &[&str])] = &[
    ("mask", &["null", "empty", "stars"]),
    ("sealed_mask", &["absent", "null", "empty", "stars"]),
    ("null_scalar", &["clears", "ignored"]),
    ("empty_string_clears", BOTH),
    ("commit_over_staged", &["leaves", "merges", "refuses"]),
    ("stage_merge_default", BOTH),
    ("etag_moves_on_deploy", BOTH),
    ("etag_moves_on_stage", BOTH),
    ("etag_moves_on_sealed", BOTH),
    ("patch_commit_sha", &["honoured", "stored", "dropped"]),
    ("pushed_commit_moves_stored", BOTH),
    ("meta_patch_id", &["present", "absent"]),
    ("rollback_copies_patch_id", BOTH),
    (
        "applied_at",
        &["together", "after_deployments", "before_deployments"],
    ),
    ("patch_apply_lag", &["0", "1", "3"]),
    ("noop_patch_deploys", BOTH),
    ("region_keys", &["as_written", "airport_codes"]),
    ("restart_shows", BOTH),
    ("instance_update_deploys", BOTH),
    ("redeploy_pulls", BOTH),
    ("redeploy_variables", &["current", "original"]),
    ("snapshot_sealed", &["null", "absent", "stars"]),
    ("snapshot_includes_railway", BOTH),
    ("default_page_size", &["5", "20", "100", "1000"]),
    ("workflow_lag", &["0", "2", "5"]),
    ("commit_workflow", &["known", "unknown"]),
    ("config_defaults", &["absent", "present"]),
    ("extra_keys", BOTH),
    ("shared_variable_redeploys", BOTH),
    ("missing_service_error", &["problem", "not_authorized"]),
    ("project_token_may_read_project", BOTH),
    ("project_token_may_write_project", BOTH),
    ("no_regions", &["drained", "left"]),
    ("active_deployments", &["running", "unfinished_too"]),
    ("auth_code", &["internal_server_error", "unauthenticated"]),
    ("cloudflare_trap", BOTH),
    ("log_limit_extra", BOTH),
    ("scale_moves_manifest", BOTH),
    ("rewrite_moves_updated_at", BOTH),
    ("variable_delete_deploys", BOTH),
    ("reset_header", &["epoch", "seconds_left", "rfc3339"]),
    ("volume_move_deploys", BOTH),
    ("waking_request", &["answered", "bad_gateway"]),
    ("exited_is_stopped", BOTH),
    ("peak_hours", &["none", "queued", "rejected"]),
    ("creation_pace", &["0", "30"]),
    ("schedules_below_pro", BOTH),
    ("etag_moves_on_schedule", BOTH),
    ("failed_patch", &["staged", "failed"]),
    ("edge_block_minutes", &["0", "1440"]),
    ("aliases_count", BOTH),
    ("duplicate_seconds", &["0", "35"]),
    ("empty_commit_clears", BOTH),
    ("longest_name", &["32", "48"]),
    ("service_create_scope", &["named", "all_unforked"]),
    ("connect_needs_every_instance", BOTH),
    ("update_without_source_clears", BOTH),
    ("volume_without_environment", &["nowhere", "everywhere"]),
    ("project_token_may_back_up", BOTH),
    ("project_token_may_name", BOTH),
    ("project_token_may_apply", BOTH),
];
const BOTH: &[&str] = &["false", "true"];

impl Switches {
    pub const NAMES: [&'static str; ANSWERS.len()] = {
        let mut names = [""; ANSWERS.len()];
        let mut at = 0;
        while at < ANSWERS.len() {
            names[at] = ANSWERS[at].0;
            at += 1;
        }
        names
    };

    /// Every answer drawn from the seed.
    pub fn drawn(seed: u64) -> Switches {
        let mut random = Random::new(seed);
        let drawn: Map<String, Value> = ANSWERS
            .iter()
            .map(|(name, answers)| (name.to_string(), literal(random.pick::<&str>(answers))))
            .collect();
        serde_json::from_value(Value::Object(drawn))
            .expect("ANSWERS lists only answers that the struct takes")
    }

    /// The answers that a switch can take; empty for an unknown name.
    pub fn answers(name: &str) -> &'static [&'static str] {
        ANSWERS
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(&[], |(_, answers)| answers)
    }

    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Value::Object(mut all) =
            serde_json::to_value(&*self).expect("switches are plain values")
        else {
            unreachable!("a struct serialises as an object")
        };
        all.insert(name.to_string(), literal(value));
        *self = serde_json::from_value(Value::Object(all))
            .map_err(|error| format!("switch {name}={value}: {error}"))?;
        Ok(())
    }

    /// `set`, for building one in place; panics on a name or answer that does not exist.
    pub fn with(mut self, name: &str, value: &str) -> Switches {
        self.set(name, value)
            .expect("the switch and its answer exist");
        self
    }
}

impl Default for Switches {
    fn default() -> Switches {
        Switches {
            mask: Mask::Null,
            sealed_mask: SealedMask::Absent,
            null_scalar: NullScalar::Clears,
            empty_string_clears: true,
            commit_over_staged: OverStaged::Leaves,
            stage_merge_default: false,
            etag_moves_on_deploy: false,
            etag_moves_on_stage: false,
            etag_moves_on_sealed: true,
            patch_commit_sha: PatchCommitSha::Honoured,
            pushed_commit_moves_stored: false,
            meta_patch_id: Presence::Present,
            rollback_copies_patch_id: false,
            applied_at: AppliedAt::Together,
            patch_apply_lag: 0,
            noop_patch_deploys: false,
            region_keys: RegionKeys::AsWritten,
            restart_shows: true,
            instance_update_deploys: false,
            redeploy_pulls: true,
            redeploy_variables: RedeployVariables::Current,
            snapshot_sealed: SnapshotSealed::Null,
            snapshot_includes_railway: true,
            default_page_size: 100,
            workflow_lag: 0,
            commit_workflow: Workflow::Known,
            config_defaults: Presence::Absent,
            extra_keys: false,
            shared_variable_redeploys: true,
            missing_service_error: MissingService::Problem,
            project_token_may_read_project: true,
            project_token_may_write_project: false,
            no_regions: NoRegions::Left,
            active_deployments: ActiveDeployments::Running,
            auth_code: AuthCode::InternalServerError,
            cloudflare_trap: true,
            log_limit_extra: false,
            scale_moves_manifest: false,
            rewrite_moves_updated_at: true,
            variable_delete_deploys: true,
            reset_header: ResetHeader::Epoch,
            volume_move_deploys: true,
            waking_request: WakingRequest::Answered,
            exited_is_stopped: false,
            peak_hours: PeakHours::None,
            creation_pace: 30,
            schedules_below_pro: false,
            etag_moves_on_schedule: true,
            failed_patch: FailedPatch::Staged,
            edge_block_minutes: 0,
            aliases_count: false,
            duplicate_seconds: 0,
            empty_commit_clears: false,
            longest_name: 48,
            service_create_scope: ServiceScope::Named,
            connect_needs_every_instance: false,
            update_without_source_clears: false,
            volume_without_environment: VolumeScope::Nowhere,
            project_token_may_back_up: true,
            project_token_may_name: true,
            project_token_may_apply: true,
        }
    }
}

/// `true` and `3` are what they look like, all else (`null` too) is a word.
fn literal(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text
            .parse::<u32>()
            .map_or_else(|_| Value::from(text), Value::from),
    }
}
