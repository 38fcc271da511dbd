//! The answer that belongs to each position of the sandbox's switches is the one that is told.

use super::stage::{Stage, answer};
use sandbox::{Faults, Plan, Switches};
use std::collections::{BTreeMap, BTreeSet};

/// (switch, probe, the answer for each position).
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

#[rustfmt::skip]
const POSITIONS: &[Row] = &[
    ("open_introspection", "introspection-without-a-token", &[("true", "told"), ("false", "refused")]),
    ("auth_code", "code-of-a-wrong-token", &[("internal_server_error", "internal-server-error"), ("unauthenticated", "unauthenticated")]),
    ("reset_header", "how-the-limit-resets", &[("epoch", "epoch"), ("seconds_left", "seconds-left"), ("rfc3339", "time")]),
    ("aliases_count", "aliases-and-the-limit", &[("false", "once"), ("true", "each-counts")]),
    ("creation_pace", "pace-of-environments", &[("0", "not-paced"), ("30", "paced")]),
    ("creation_pace", "pace-of-volumes", &[("0", "not-paced"), ("30", "paced")]),
    ("missing_service_error", "patch-for-a-missing-service", &[("problem", "opaque"), ("not_authorized", "not-authorized")]),
    ("project_token_may_read_project", "project-token-reads-its-project", &[("false", "it-may-not"), ("true", "it-may")]),
    ("project_token_may_write_project", "project-token-makes-a-service", &[("false", "it-may-not"), ("true", "it-may")]),
    ("project_token_may_back_up", "project-token-backs-up", &[("false", "it-may-not"), ("true", "it-may")]),
    ("project_token_may_name", "project-token-makes-a-domain", &[("false", "it-may-not"), ("true", "it-may")]),
    ("project_token_may_apply", "project-token-applies-a-change-set", &[("false", "it-may-not"), ("true", "it-may")]),
    ("etag_moves_on_stage", "etag-after-staging", &[("false", "stays"), ("true", "moves")]),
    ("etag_moves_on_stage", "guard-against-staging", &[("false", "taken"), ("true", "refused")]),
    ("etag_moves_on_deploy", "etag-after-a-deployment", &[("false", "stays"), ("true", "moves")]),
    ("etag_moves_on_sealed", "etag-after-sealing", &[("false", "stays"), ("true", "moves")]),
    ("etag_moves_on_schedule", "etag-after-a-backup-schedule", &[("false", "stays"), ("true", "moves")]),
    ("config_defaults", "defaults-in-the-configuration", &[("absent", "left-out"), ("present", "spelled-out")]),
    ("mask", "masked-values", &[("null", "null"), ("empty", "empty"), ("stars", "stars")]),
    ("mask", "masked-values-of-a-patch", &[("null", "null"), ("empty", "empty"), ("stars", "stars")]),
    ("sealed_mask", "sealed-values", &[("absent", "nothing"), ("null", "null"), ("empty", "empty"), ("stars", "stars")]),
    ("snapshot_sealed", "sealed-values-of-a-snapshot", &[("null", "null"), ("absent", "nothing"), ("stars", "stars")]),
    ("snapshot_includes_railway", "variables-of-a-snapshot", &[("false", "they-are-not"), ("true", "they-are")]),
    ("rewrite_moves_updated_at", "rewritten-values", &[("false", "it-stays"), ("true", "it-moves")]),
    ("default_page_size", "default-length-of-a-page", &[("5", "cut"), ("20", "cut"), ("100", "whole"), ("1000", "whole")]),
    ("extra_keys", "keys-of-the-configuration", &[("false", "none"), ("true", "some")]),
    ("region_keys", "keys-of-regions", &[("as_written", "as-written"), ("airport_codes", "airport-codes")]),
    ("longest_name", "longest-name-of-a-service", &[("32", "less"), ("48", "48")]),
    ("log_limit_extra", "log-lines-beyond-the-limit", &[("false", "exact"), ("true", "one-too-many")]),
    ("commit_over_staged", "patch-over-staged-changes", &[("leaves", "left-alone"), ("merges", "committed-with-it"), ("refuses", "refused")]),
    ("commit_workflow", "workflow-of-a-commit", &[("known", "at-once"), ("unknown", "never")]),
    ("workflow_lag", "workflow-of-a-commit", &[("0", "at-once"), ("2", "after-a-while"), ("5", "after-a-while")]),
    ("failed_patch", "word-for-a-failed-patch", &[("staged", "none"), ("failed", "failed")]),
    ("patch_apply_lag", "lag-of-a-patch", &[("0", "at-once"), ("1", "later"), ("3", "later")]),
    ("patch_apply_lag", "domain-while-a-patch-is-applied", &[("0", "made"), ("1", "try-again"), ("3", "try-again")]),
    ("null_scalar", "clearing-with-null", &[("clears", "clears"), ("ignored", "ignored")]),
    ("empty_string_clears", "clearing-with-an-empty-text", &[("false", "stored"), ("true", "clears")]),
    ("variable_delete_deploys", "deleting-a-variable", &[("false", "does-not"), ("true", "deploys")]),
    ("meta_patch_id", "patch-of-a-deployment", &[("present", "it-does"), ("absent", "it-does-not")]),
    ("applied_at", "times-of-a-patch", &[("together", "together"), ("after_deployments", "after"), ("before_deployments", "before")]),
    ("empty_commit_clears", "clearing-what-is-staged", &[("false", "no-patch-to-apply"), ("true", "cleared")]),
    ("stage_merge_default", "staging-without-a-word-on-merging", &[("false", "replaces"), ("true", "adds")]),
    ("shared_variable_redeploys", "sharing-a-variable", &[("false", "does-not"), ("true", "deploys")]),
    ("instance_update_deploys", "updating-a-service", &[("false", "does-not"), ("true", "deploys")]),
    ("update_without_source_clears", "updating-without-a-source", &[("false", "keeps-it"), ("true", "takes-it-away")]),
    ("noop_patch_deploys", "patch-without-a-change", &[("false", "does-not"), ("true", "deploys")]),
    ("connect_needs_every_instance", "connecting-a-service-of-one-environment", &[("false", "it-does"), ("true", "done-and-refused")]),
    ("redeploy_variables", "redeploying-with-variables", &[("current", "of-now"), ("original", "of-then")]),
    ("rollback_copies_patch_id", "rolling-back", &[("false", "soon-without-it"), ("true", "soon-with-the-patch")]),
    ("restart_shows", "restarting", &[("false", "soon-and-hidden"), ("true", "soon-and-shown")]),
    ("no_regions", "no-regions", &[("drained", "they-go"), ("left", "they-stay")]),
    ("scale_moves_manifest", "scaling-in-the-account-of-a-deployment", &[("false", "it-does-not"), ("true", "it-does")]),
    ("active_deployments", "active-while-another-comes", &[("running", "it-is-not"), ("unfinished_too", "it-is")]),
    ("exited_is_stopped", "ended-by-itself", &[("false", "it-does-not"), ("true", "it-does")]),
    ("volume_move_deploys", "moving-a-volume", &[("false", "at-the-next-deployment"), ("true", "at-once-as-another-instance")]),
    ("schedules_below_pro", "scheduling-backups", &[("false", "refused-below-pro"), ("true", "taken-below-pro")]),
];

/// What no request may or can find out, and the entry that says why.
#[rustfmt::skip]
const UNASKED: &[(&str, &str)] = &[
    ("cloudflare_trap", "edge-without-a-query"),
    ("edge_block_minutes", "edge-without-a-query"),
    ("patch_commit_sha", "commits-in-the-configuration"),
    ("pushed_commit_moves_stored", "commits-in-the-configuration"),
    ("redeploy_pulls", "tags-that-move"),
    ("service_create_scope", "services-of-all-environments"),
    ("volume_without_environment", "volumes-of-all-environments"),
    ("waking_request", "waking"),
    ("peak_hours", "peak-hours"),
    ("duplicate_seconds", "time-of-a-copy"),
];

/// What the sandbox always does.
#[rustfmt::skip]
const ALWAYS: &[(&str, &str)] = &[
    ("who-a-bearer-token-is", "person"),
    ("names-that-are-taken", "as-reported"),
    ("change-set-of-another-version", "as-reported"),
    ("project-token-writes-configuration", "it-may"),
    ("project-token-makes-an-environment", "it-may-not"),
    ("a-list-with-an-object-of-nobody", "the-whole-list-fails"),
    ("replicas-of-the-instance", "bare-total"),
    ("patch-while-another-is-applied", "taken"),
    ("what-a-commit-returns", "the-patch"),
    ("sealing", "only-by-a-patch"),
    ("writing-beside-what-is-staged", "apart"),
    ("updating-the-region", "it-does-not"),
    ("copying-in-the-background", "listed-first"),
    ("guard-against-a-variable", "refused"),
    ("redeploying-a-kept-image", "the-kept-one"),
    ("no-replicas", "refused"),
    ("health-of-new-replicas", "not-told"),
    ("account-of-a-deployment", "as-sampled"),
    ("image-by-digest", "both"),
];

/// Backups are always scheduled on Pro; below it, that is what is asked.
fn plan_of(switch: &str) -> Plan {
    match switch {
        "schedules_below_pro" => Plan::Hobby,
        _ => Plan::Pro,
    }
}

#[tokio::test(start_paused = true)]
async fn each_position_of_a_switch_has_the_answer_that_belongs_to_it() {
    for (switch, probe, positions) in POSITIONS {
        for (position, wanted) in *positions {
            let switches = Switches::default().with(switch, position);
            let stage = Stage::on(plan_of(switch), switches, Faults::none()).only(&[probe]);

            let report = stage.ask().await;

            assert_eq!(answer(&report, probe), *wanted, "{switch} = {position}");
            assert!(report.is_whole());
        }
    }
}

#[test]
fn each_position_of_each_switch_is_in_the_table_and_no_probe_has_one_answer_for_all() {
    let mut rows: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in POSITIONS {
        rows.entry(row.0).or_default().push(row);
    }
    for switch in Switches::NAMES {
        let is_unasked = UNASKED.iter().any(|(unasked, _)| *unasked == switch);
        assert_ne!(rows.contains_key(switch), is_unasked, "{switch}");
    }
    for (switch, probe, positions) in POSITIONS {
        let told: BTreeSet<&str> = positions.iter().map(|(position, _)| *position).collect();
        let all: BTreeSet<&str> = Switches::answers(switch).iter().copied().collect();
        assert_eq!(told, all, "{switch}");
        let answers: BTreeSet<&str> = positions.iter().map(|(_, answer)| *answer).collect();
        assert!(
            answers.len() > 1,
            "{probe} cannot tell the positions of {switch}"
        );
    }
}

#[test]
fn each_probe_is_asked_here_and_each_reason_is_in_the_file() {
    let sheet = reconciler::probe::Sheet::read().unwrap();
    let asked: BTreeSet<&str> = POSITIONS
        .iter()
        .map(|(_, probe, _)| *probe)
        .chain(ALWAYS.iter().map(|(probe, _)| *probe))
        .collect();
    let all: BTreeSet<&str> = sheet.probes.iter().map(|probe| probe.id.as_str()).collect();
    assert_eq!(asked, all);
    for (switch, reason) in UNASKED {
        let mut reasons = sheet.not_probed.iter();
        assert!(reasons.any(|not| not.id == *reason), "{switch}: {reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_likeliest_railway_has_the_likeliest_answers() {
    let stage = Stage::new(Switches::default(), Faults::none());

    let report = stage.ask().await;

    for (probe, wanted) in ALWAYS {
        assert_eq!(answer(&report, probe), *wanted, "{probe}");
    }
    let likeliest = serde_json::to_value(Switches::default()).unwrap();
    for (switch, probe, positions) in POSITIONS {
        if plan_of(switch) == Plan::Pro {
            assert_eq!(
                answer(&report, probe),
                belonging(&likeliest, switch, positions)
            );
        }
    }
    assert_eq!(answer(&report, "scheduling-backups"), "as-it-should-on-pro");
    assert_eq!(report.findings.len(), stage.sheet.probes.len());
}

fn belonging(
    switches: &serde_json::Value,
    switch: &str,
    positions: &[(&str, &'static str)],
) -> &'static str {
    let position = match &switches[switch] {
        serde_json::Value::String(word) => word.clone(),
        other => other.to_string(),
    };
    let found = positions.iter().find(|(known, _)| *known == position);
    found.unwrap_or_else(|| panic!("{switch} = {position}")).1
}

#[tokio::test(start_paused = true)]
async fn any_positions_together_have_the_answers_that_belong_to_them() {
    for seed in 0..40 {
        let drawn = Switches::drawn(seed);
        let switches = serde_json::to_value(&drawn).unwrap();
        let is = |switch: &str, position: &str| switches[switch] == position;
        let stage = Stage::new(drawn, Faults::none());

        let report = stage.ask().await;

        for (switch, probe, positions) in POSITIONS {
            // Where one position hides another, another answer is the right one.
            let is_hidden = match *probe {
                "scheduling-backups" => true,
                "rolling-back" => is("meta_patch_id", "absent"),
                "updating-without-a-source" => is("null_scalar", "ignored"),
                "lag-of-a-patch" => is("applied_at", "after_deployments"),
                "domain-while-a-patch-is-applied" => is("applied_at", "after_deployments"),
                "workflow-of-a-commit" => {
                    is("commit_workflow", "unknown") || switches["workflow_lag"] != 0
                }
                _ => false,
            };
            if !is_hidden {
                let wanted = belonging(&switches, switch, positions);
                assert_eq!(answer(&report, probe), wanted, "seed {seed}: {switch}");
            }
        }
        assert!(report.is_whole(), "seed {seed}: {}", report.summary());
    }
}

#[tokio::test(start_paused = true)]
async fn patches_wait_for_each_other_where_one_is_refused_while_another_is_applied() {
    let switches = Switches::default()
        .with("commit_over_staged", "refuses")
        .with("patch_apply_lag", "3");
    let stage = Stage::new(switches, Faults::none()).only(&["patch-while-another-is-applied"]);

    let report = stage.ask().await;

    assert_eq!(
        answer(&report, "patch-while-another-is-applied"),
        "try-again"
    );
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_token_is_known_by_what_it_knows() {
    let probe = "who-a-bearer-token-is";
    let stage = || Stage::new(Switches::default(), Faults::none()).only(&[probe]);

    let workspace = stage().with_bearer("workspace-token").ask().await;
    let project = stage().with_project_token("production-token").ask().await;

    assert_eq!(answer(&workspace, probe), "workspace");
    assert_eq!(answer(&project, probe), "neither");
}

#[tokio::test(start_paused = true)]
async fn a_run_on_a_small_plan_waits_for_its_requests_and_asks_on() {
    let stage = Stage::on(Plan::Hobby, Switches::default(), Faults::none());

    let report = stage.ask().await;

    // What the plan does not allow has no answer; everything that was made is gone.
    assert!(report.left.is_empty());
    assert_eq!(report.findings.len(), stage.sheet.probes.len());
    println!("probes: on Hobby {}", report.summary());
}
