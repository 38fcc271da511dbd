//! Which of several controllers serves an environment: each has its fair share, and nothing moves but what has to.
//!
//! Rendezvous hashing: every pair of controller and environment has a number, and the highest wins. All controllers come to the same answer without
//! talking about it; when one goes, only its environments move, and when one comes, it gets its share and nothing else moves. The name counts and
//! not the word, so a restart moves nothing. Who was started for one environment alone (from inside it) goes before those who serve all.
//!
//! It decides who *wants* a lease, never who *has* it: two who see different neighbours for a moment are kept apart by the lease.

use super::life::Serves;
use sha2::{Digest, Sha256};

/// A controller that lives, as far as can be seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// What sets two of one name apart.
    pub word: String,
    /// Which environments it takes by itself.
    pub serves: Serves,
}

/// Who serves an environment; nobody where nobody can.
pub fn owner<'a>(environment: &str, living: &'a [Neighbour]) -> Option<&'a Neighbour> {
    let number = |neighbour: &Neighbour| {
        let mut digest = Sha256::new();
        digest.update(environment.as_bytes());
        digest.update([0]);
        digest.update(neighbour.name.as_bytes());
        digest.finalize()
    };
    living
        .iter()
        .filter_map(|one| match &one.serves {
            Serves::All => Some((false, one)),
            Serves::One(only) => (only == environment).then_some((true, one)),
            Serves::Asked => None,
        })
        .max_by_key(|(is_inside, one)| (*is_inside, number(one), &one.word))
        .map(|(_, one)| one)
}
