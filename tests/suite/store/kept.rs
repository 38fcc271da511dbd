//! A local folder as a store: conditions hold, files are whole, what a dead process left blocks nobody.

use super::{in_folder, plant, text};
use bytes::Bytes;
use reconciler::store::objects::{Only, Put};
use reconciler::world::Failure;
use std::fs;

#[tokio::test]
async fn a_folder_is_made_and_keeps_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_folder(&folder.path().join("deep/er"));

    store.prove().await.unwrap();

    let left = store.objects().list("probe").await.unwrap();
    assert!(left.objects.is_empty());
}

#[tokio::test]
async fn a_version_is_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let objects = in_folder(folder.path()).objects();
    let put = |text: &'static str, only| objects.put("lease/x.json", Bytes::from(text), only);
    let Put::Done(first) = put("one", Only::Absent).await.unwrap() else {
        panic!("lost");
    };
    let Put::Done(second) = put("two", Only::Unchanged(first.clone())).await.unwrap() else {
        panic!("lost");
    };

    assert_eq!(
        put("three", Only::Unchanged(first)).await.unwrap(),
        Put::Lost
    );
    assert_eq!(put("three", Only::Absent).await.unwrap(), Put::Lost);
    assert_eq!(
        objects.get("lease/x.json").await.unwrap().unwrap().version,
        second
    );
    objects.delete("lease/x.json").await.unwrap();
    objects.delete("lease/x.json").await.unwrap();
    assert_eq!(
        put("three", Only::Unchanged(second)).await.unwrap(),
        Put::Lost
    );
}

#[tokio::test]
async fn what_a_dead_process_left_behind_blocks_nobody_and_is_in_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_folder(folder.path());
    plant(&store, "lease/x.json", "one").await;
    let locks = folder.path().join(".locks/lease");
    fs::create_dir_all(&locks).unwrap();
    fs::write(locks.join("x.json.lock"), "").unwrap();
    fs::write(locks.join("x.json.new"), "half a fi").unwrap();
    let found = store.objects().get("lease/x.json").await.unwrap().unwrap();

    let put = store
        .objects()
        .put(
            "lease/x.json",
            Bytes::from("two"),
            Only::Unchanged(found.version),
        )
        .await;

    assert!(matches!(put, Ok(Put::Done(_))));
    assert_eq!(text(&store, "lease/x.json").await.unwrap(), "two");
    assert_eq!(
        store.objects().list("lease").await.unwrap().objects,
        ["x.json"]
    );
}

#[tokio::test]
async fn a_lock_that_is_held_is_waited_for_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_folder(folder.path());
    plant(&store, "lease/x.json", "one").await;
    fs::create_dir_all(folder.path().join(".locks/lease")).unwrap();
    let lock = fs::File::create(folder.path().join(".locks/lease/x.json.lock")).unwrap();
    lock.lock().unwrap();
    let version = store
        .objects()
        .get("lease/x.json")
        .await
        .unwrap()
        .unwrap()
        .version;

    let only = Only::Unchanged(version.clone());
    let put = store
        .objects()
        .put("lease/x.json", Bytes::from("two"), only)
        .await;
    let Err(Failure::Passing(words)) = put else {
        panic!("{put:?}");
    };
    assert!(words.contains("somebody holds the lock"), "{words}");
    drop(lock);
    let put = store
        .objects()
        .put("lease/x.json", Bytes::from("two"), Only::Unchanged(version))
        .await;
    assert!(matches!(put, Ok(Put::Done(_))));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let address = format!("file://{}/store", file.display());
    let clock = reconciler::clock::Clock::wall();

    let failure =
        reconciler::store::Store::open(&address, &reconciler::config::Config::default(), &clock);

    assert!(failure.unwrap_err().to_string().contains("file/store"));
}

#[tokio::test]
async fn a_file_far_beyond_anything_kept_here_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = in_folder(folder.path());
    let file = fs::File::create(folder.path().join("big.json")).unwrap();
    file.set_len(1 << 40).unwrap();

    let read = store.objects().get("big.json").await;

    assert!(matches!(read, Err(Failure::Refused(_))), "{read:?}");
}
