//! Volumes: made, mounted, grown, deleted and had back; backed up on demand and by schedule, and restored.

use sandbox::{Faults, HandEdit, Plan, Sandbox, Seed, Switches, VolumeView};
use serde_json::{Value, json};

use crate::client::*;

const DATA: &str = "5e27a000-0000-4000-8000-0000000000d1";
const CREATE: &str =
    "mutation($i: VolumeCreateInput!) { volumeCreate(input: $i) { id name project { name } } }";
const BACKUP: &str = "mutation($v: String!, $n: String) { volumeInstanceBackupCreate(volumeInstanceId: $v, name: $n) { workflowId } }";
const RESTORE: &str = "mutation($v: String!, $b: String!) { volumeInstanceBackupRestore(volumeInstanceId: $v, volumeInstanceBackupId: $b) { workflowId } }";
const SCHEDULE: &str = "mutation($v: String!, $k: [VolumeInstanceBackupScheduleKind!]!) { volumeInstanceBackupScheduleUpdate(volumeInstanceId: $v, kinds: $k) }";

fn volume(sandbox: &Sandbox, name: &str) -> VolumeView {
    sandbox.look().environment("production").volumes[name].clone()
}

fn with_plan(plan: Plan, switches: Switches) -> Sandbox {
    let seed = Seed { plan, ..runbook() };
    Sandbox::new(&seed, switches, Faults::none(), 7)
}

async fn workflow(sandbox: &Sandbox, id: &Value) -> Value {
    let query = "query($w: String!) { workflowStatus(workflowId: $w) { status error } }";
    ask(sandbox, query, json!({ "w": id })).await.data()["workflowStatus"]["status"].clone()
}

async fn backups(sandbox: &Sandbox, instance: &str) -> Vec<Value> {
    let query = "query($v: String!) { volumeInstanceBackupList(volumeInstanceId: $v) { id name createdAt expiresAt usedMB referencedMB scheduleId creatorId volumeInstanceSizeMB } }";
    let read = ask(sandbox, query, json!({ "v": instance })).await.data();
    read["volumeInstanceBackupList"].as_array().unwrap().clone()
}

async fn back_up(sandbox: &Sandbox, name: &str) -> Value {
    let instance = volume(sandbox, "redis-data").instance_id;
    let begun = ask(sandbox, BACKUP, json!({ "v": instance, "n": name })).await;
    begun.data()["volumeInstanceBackupCreate"]["workflowId"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_made_renamed_moved_to_another_path_and_detached() {
    let sandbox = sandbox();
    let update = async |input: Value| {
        let query = "mutation($v: String!, $e: String, $i: VolumeInstanceUpdateInput!) { volumeInstanceUpdate(volumeId: $v, environmentId: $e, input: $i) }";
        let id = volume(&sandbox, "files").id;
        ask(
            &sandbox,
            query,
            json!({ "v": id, "e": PRODUCTION, "i": input }),
        )
        .await
    };
    let mounts = async || config(&sandbox, true).await["services"][WORKER]["volumeMounts"].clone();

    let made = ask(&sandbox, CREATE, json!({ "i": { "projectId": PROJECT, "environmentId": PRODUCTION, "serviceId": WORKER, "mountPath": "/files" } })).await.data()["volumeCreate"].clone();
    let id = made["id"].as_str().unwrap();
    data(&sandbox, &format!("mutation {{ volumeUpdate(volumeId: \"{id}\", input: {{ name: \"files\" }}) {{ name }} }}")).await;
    assert_eq!(mounts().await, json!({ id: { "mountPath": "/files" } }));
    let stored = config(&sandbox, true).await["volumes"][id].clone();
    assert_eq!(stored["sizeMB"], 50_000);
    assert_eq!(
        sandbox.look().service("production", "worker").deployments,
        3
    );

    update(json!({ "serviceId": WORKER, "mountPath": "/elsewhere" }))
        .await
        .data();
    assert_eq!(mounts().await, json!({ id: { "mountPath": "/elsewhere" } }));
    assert!(
        update(json!({ "serviceId": REDIS, "mountPath": "/x" }))
            .await
            .error()
            .contains("single volume")
    );
    update(json!({ "serviceId": null })).await.data();
    assert_eq!(mounts().await, json!({}));
    assert_eq!(volume(&sandbox, "files").service, None);
    update(json!({ "serviceId": WORKER })).await.data();
    assert_eq!(
        mounts().await,
        json!({ id: { "mountPath": "/elsewhere" } }),
        "the path is remembered"
    );
    assert_eq!(volume(&sandbox, "files").service.as_deref(), Some("worker"));
}

#[tokio::test(start_paused = true)]
async fn an_absent_service_detaches_like_a_null_one() {
    let sandbox = sandbox();
    data(&sandbox, &format!("mutation {{ volumeInstanceUpdate(volumeId: \"{DATA}\", environmentId: \"{PRODUCTION}\", input: {{ mountPath: \"/d\" }}) }}")).await;
    assert_eq!(volume(&sandbox, "redis-data").service, None);
}

#[tokio::test(start_paused = true)]
async fn a_volume_only_grows_and_only_to_what_the_plan_allows() {
    let sandbox = sandbox();
    let size = async |size_mb: u32| {
        commit(
            &sandbox,
            json!({ "volumes": { DATA: { "sizeMB": size_mb } } }),
        )
        .await
    };
    let deployments = || sandbox.look().service("production", "redis").deployments;
    let before = deployments();

    size(20_000).await.data();

    assert_eq!(
        (volume(&sandbox, "redis-data").size_mb, deployments()),
        (20_000, before)
    );
    assert!(size(10_000).await.error().contains("only be increased"));
    assert!(size(2_000_000).await.error().contains("at most"));
    let hobby = with_plan(Plan::Hobby, Switches::default());
    let refused = commit(&hobby, json!({ "volumes": { DATA: { "sizeMB": 6_000 } } })).await;
    assert!(refused.error().contains("at most 5000"));
    let mount = async |path: &str| {
        let mount =
            json!({ "services": { WORKER: { "volumeMounts": { DATA: { "mountPath": path } } } } });
        commit(&sandbox, mount).await.error()
    };
    assert_eq!(mount("data").await, "mountPath must be an absolute path");
    assert!(mount("/data").await.contains("another service"));
}

#[tokio::test(start_paused = true)]
async fn volumes_are_counted_and_not_made_in_a_hurry() {
    let free = with_plan(Plan::Free, Switches::default());
    let make = async |sandbox: &Sandbox| {
        ask(sandbox, CREATE, json!({ "i": { "projectId": PROJECT, "environmentId": PRODUCTION, "mountPath": "/x" } })).await
    };
    assert!(make(&free).await.error().contains("at most 1 volumes"));

    let sandbox = sandbox();
    make(&sandbox).await.data();
    let hasty = make(&sandbox).await;
    after(31).await;
    make(&sandbox).await.data();

    assert!(
        hasty.error().contains("creating volumes too quickly"),
        "{}",
        hasty.text
    );
    let calm = switch("creation_pace", "0");
    make(&calm).await.data();
    make(&calm).await.data();
}

#[tokio::test(start_paused = true)]
async fn a_deleted_volume_can_be_had_back_for_two_days() {
    for restores in [true, false] {
        let sandbox = sandbox();
        let told = async || {
            let query = format!(
                "{{ environment(id: \"{PRODUCTION}\") {{ volumeInstances {{ edges {{ node {{ volumeId isPendingDeletion deletedAt state serviceId }} }} }} config }} project(id: \"{PROJECT}\") {{ volumes {{ edges {{ node {{ id }} }} }} }} }}"
            );
            data(&sandbox, &query).await
        };

        data(
            &sandbox,
            &format!("mutation {{ volumeDelete(volumeId: \"{DATA}\") }}"),
        )
        .await;
        let pending = told().await;
        after(47 * 3600).await;
        if restores {
            sandbox.by_hand(HandEdit::RestoreVolume {
                environment: "production".into(),
                volume: "redis-data".into(),
            });
        }
        after(2 * 3600).await;
        let later = told().await;

        let node = &pending["environment"]["volumeInstances"]["edges"][0]["node"];
        assert_eq!(
            node,
            &json!({ "volumeId": DATA, "isPendingDeletion": true, "deletedAt": "2026-11-25T02:00:00.000Z", "state": "DELETING", "serviceId": null })
        );
        assert_eq!(
            pending["environment"]["config"]["services"][REDIS]["volumeMounts"],
            json!({})
        );
        assert!(sandbox.effects()[0].destructive);
        let left = later["environment"]["volumeInstances"]["edges"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(left, usize::from(restores));
        let project = later["project"]["volumes"]["edges"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(project, if restores { 2 } else { 1 });
        assert_eq!(
            later["environment"]["config"]["volumes"]
                .get(DATA)
                .is_some(),
            restores
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_takes_its_time_and_its_size_is_counted_later() {
    let sandbox = switch("workflow_lag", "2");

    let begun = back_up(&sandbox, "before").await;
    let first = workflow(&sandbox, &begun).await;
    let instance = volume(&sandbox, "redis-data").instance_id;
    let none = backups(&sandbox, &instance).await;
    after(3).await;
    let running = workflow(&sandbox, &begun).await;
    after(3).await;
    let done = workflow(&sandbox, &begun).await;
    let fresh = backups(&sandbox, &instance).await;
    after(2 * 3600).await;
    let counted = backups(&sandbox, &instance).await;

    assert_eq!(
        (first, running, done),
        (json!("NotFound"), json!("Running"), json!("Complete"))
    );
    assert_eq!((none.len(), fresh.len()), (0, 1));
    assert_eq!(
        (&fresh[0]["name"], &fresh[0]["expiresAt"]),
        (&json!("before"), &Value::Null)
    );
    assert_eq!(
        (&fresh[0]["usedMB"], &counted[0]["referencedMB"]),
        (&Value::Null, &json!(125))
    );
    let wrong = ask(&sandbox, BACKUP, json!({ "v": DATA })).await;
    assert_eq!(
        wrong.error(),
        "Not Authorized",
        "a volume's id is not its instance's"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backup_of_more_than_half_the_volume_is_refused() {
    let sandbox = sandbox();
    sandbox.by_hand(HandEdit::FillVolume {
        environment: "production".into(),
        volume: "redis-data".into(),
        used_mb: 3_000,
    });

    let instance = volume(&sandbox, "redis-data").instance_id;
    let refused = ask(&sandbox, BACKUP, json!({ "v": instance })).await;

    assert!(refused.error().contains("50%"), "{}", refused.text);
    assert!(sandbox.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn schedules_are_in_the_configuration_and_keep_their_backups_for_their_time() {
    let sandbox = sandbox();
    let instance = volume(&sandbox, "redis-data").instance_id;
    let deployments = sandbox.look().service("production", "redis").deployments;

    ask(
        &sandbox,
        SCHEDULE,
        json!({ "v": instance, "k": ["WEEKLY", "DAILY"] }),
    )
    .await
    .data();
    let stored = config(&sandbox, true).await["services"][REDIS]["volumeMounts"][DATA].clone();
    let list = "query($v: String!) { volumeInstanceBackupScheduleList(volumeInstanceId: $v) { id kind cron retentionSeconds name createdAt } }";
    let told = ask(&sandbox, list, json!({ "v": instance })).await.data()["volumeInstanceBackupScheduleList"].clone();
    after(10 * 86_400 + 60).await;
    let kept = backups(&sandbox, &instance).await;
    let daily = kept
        .iter()
        .filter(|backup| backup["scheduleId"] == told[0]["id"])
        .count();
    let locked = &kept.last().unwrap()["id"];
    data(&sandbox, &format!("mutation {{ volumeInstanceBackupLock(volumeInstanceId: \"{instance}\", volumeInstanceBackupId: {locked}) }}")).await;
    ask(&sandbox, SCHEDULE, json!({ "v": instance, "k": [] }))
        .await
        .data();
    after(40 * 86_400).await;

    assert_eq!(
        stored,
        json!({ "mountPath": "/data", "backupSchedules": ["DAILY", "WEEKLY"] })
    );
    assert_eq!(
        (&told[0]["kind"], &told[0]["retentionSeconds"]),
        (&json!("DAILY"), &json!(6 * 86_400))
    );
    assert_eq!(
        (daily, kept.len()),
        (6, 7),
        "six days of daily ones, and a weekly one"
    );
    assert!(kept[0]["expiresAt"].is_string() && kept[0]["creatorId"].is_null());
    let left = backups(&sandbox, &instance).await;
    assert_eq!(
        (left.len(), &left[0]["id"], &left[0]["expiresAt"]),
        (1, locked, &Value::Null)
    );
    assert_eq!(
        sandbox.look().service("production", "redis").deployments,
        deployments
    );
    for (answer, allowed) in [("false", false), ("true", true)] {
        let hobby = with_plan(
            Plan::Hobby,
            Switches::default().with("schedules_below_pro", answer),
        );
        let instance = volume(&hobby, "redis-data").instance_id;
        let answer = ask(&hobby, SCHEDULE, json!({ "v": instance, "k": ["DAILY"] })).await;
        assert_eq!(answer.text.contains("Pro plan"), !allowed);
    }
}

#[tokio::test(start_paused = true)]
async fn whether_a_schedule_moves_the_etag_is_a_switch() {
    for (answer, moves) in [("true", true), ("false", false)] {
        let sandbox = switch("etag_moves_on_schedule", answer);
        let before = sandbox.look().environment("production").etag.clone();
        let instance = volume(&sandbox, "redis-data").instance_id;
        ask(&sandbox, SCHEDULE, json!({ "v": instance, "k": ["DAILY"] }))
            .await
            .data();
        assert_eq!(
            sandbox.look().environment("production").etag != before,
            moves
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_only_stages_the_swap_and_forgets_newer_backups() {
    let sandbox = sandbox();
    back_up(&sandbox, "old").await;
    after(3600).await;
    back_up(&sandbox, "new").await;
    after(3600).await;
    let old = volume(&sandbox, "redis-data");
    let restore = json!({ "v": old.instance_id, "b": old.backups[0] });

    let begun =
        ask(&sandbox, RESTORE, restore).await.data()["volumeInstanceBackupRestore"]["workflowId"]
            .clone();
    let during = workflow(&sandbox, &begun).await;
    after(11).await;
    let (done, staged) = (workflow(&sandbox, &begun).await, sandbox.look());
    let fresh = config(&sandbox, true).await["volumes"]
        .as_object()
        .unwrap()
        .len();
    ask(
        &sandbox,
        "mutation($e: String!) { environmentPatchCommitStaged(environmentId: $e) }",
        json!({ "e": PRODUCTION }),
    )
    .await
    .data();
    after(30).await;

    assert_eq!((during, done), (json!("Running"), json!("Complete")));
    let production = staged.environment("production");
    assert_eq!(
        production.volumes["redis-data"].service.as_deref(),
        Some("redis"),
        "not swapped yet"
    );
    assert_eq!(
        production.volumes["redis-data"].backups,
        [old.backups[0].clone()]
    );
    assert_eq!(fresh, 1);
    let mounts = &production.staged.as_ref().unwrap()["services"][REDIS]["volumeMounts"];
    assert_eq!(
        (mounts.as_object().unwrap().len(), &mounts[DATA]),
        (2, &Value::Null)
    );
    let swapped = sandbox.look().environment("production").volumes.clone();
    assert_eq!((swapped.len(), &swapped["redis-data"].service), (2, &None));
    let restored = swapped
        .values()
        .find(|volume| volume.service.is_some())
        .unwrap();
    assert_eq!(
        (restored.service.as_deref(), restored.restored_from.as_ref()),
        (Some("redis"), Some(&old.backups[0]))
    );
    let redis = sandbox
        .look()
        .service("production", "redis")
        .active
        .clone()
        .unwrap();
    assert_eq!(redis.status, sandbox::Status::Success);
}

#[tokio::test(start_paused = true)]
async fn a_backup_can_be_deleted_and_a_busy_volume_has_to_be_waited_for() {
    let sandbox = sandbox();
    back_up(&sandbox, "one").await;
    after(10).await;
    let known = volume(&sandbox, "redis-data");
    let ids = json!({ "v": known.instance_id, "b": known.backups[0] });
    ask(&sandbox, RESTORE, ids.clone()).await.data();

    let busy = ask(&sandbox, BACKUP, json!({ "v": known.instance_id })).await;
    after(20).await;
    let delete = "mutation($v: String!, $b: String!) { volumeInstanceBackupDelete(volumeInstanceId: $v, volumeInstanceBackupId: $b) { workflowId } }";
    ask(&sandbox, delete, ids.clone()).await.data();
    let gone = ask(&sandbox, RESTORE, ids).await;

    assert!(busy.error().contains("please try again"));
    assert_eq!(gone.error(), "Not Authorized");
    assert_eq!(backups(&sandbox, &known.instance_id).await.len(), 0);
    assert!(sandbox.effects().last().unwrap().destructive);
}
