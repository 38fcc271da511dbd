//! The store: conditional writes, lease, marks, journal; in memory, in a folder, on a server that speaks like S3, and between real processes.

mod fenced;
mod frozen;
mod journal;
mod kept;
mod lease;
mod marks;
mod processes;
mod s3;
mod share;

use reconciler::clock::Clock;
use reconciler::config::Config;
use reconciler::store::Store;
use reconciler::store::lease::{Lease, Taken};
use reconciler::store::life::{Serves, Terms};
use reconciler::store::member::Member;
use std::time::Duration;

/// A lease of sixty seconds for requests of up to thirty.
fn terms() -> Terms {
    Terms::default()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn counted(seed: u64) -> Clock {
    Clock::counted("2026-11-24T09:00:00Z".parse().unwrap(), seed)
}

fn in_folder(folder: &std::path::Path) -> Store {
    let address = format!("file://{}", folder.display());
    Store::open(&address, &Config::default(), &Clock::wall()).unwrap()
}

async fn member(store: &Store, name: &str) -> Member {
    Member::join(store, terms(), name, Serves::All)
        .await
        .unwrap()
}

async fn taken(member: &Member, environment: &str) -> Lease {
    match member.take(environment).await.unwrap() {
        Taken::Lease(lease) => lease,
        Taken::Held { by, .. } => panic!("{by} holds it"),
    }
}

async fn held(member: &Member, environment: &str) -> Duration {
    match member.take(environment).await.unwrap() {
        Taken::Lease(lease) => panic!("taken with epoch {}", lease.epoch()),
        Taken::Held { next, .. } => next,
    }
}

/// Puts an object there as it is.
async fn plant(store: &Store, key: &str, text: &str) {
    let bytes = bytes::Bytes::from(text.to_owned());
    let always = reconciler::store::objects::Only::Always;
    store.objects().put(key, bytes, always).await.unwrap();
}

async fn text(store: &Store, key: &str) -> Option<String> {
    let found = store.objects().get(key).await.unwrap()?;
    Some(String::from_utf8(found.bytes.to_vec()).unwrap())
}
