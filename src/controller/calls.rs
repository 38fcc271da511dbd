//! A call over the store: somebody has left a mark for an environment, and the controller that leads it looks at once.

use crate::store::Store;
use crate::world::Failure;
use serde::{Deserialize, Serialize};

const KEY: &str = "call.json";

/// The newest call. One object for all environments: it is read every few seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The environment.
    pub environment: String,
    /// Tells one call from the next.
    pub word: String,
}

/// Calls. Two calls in one moment may become one; what was left is heeded with the next look in any case.
///
/// # Errors
/// As a [`Failure`].
pub async fn call(store: &Store, environment: &str, word: String) -> Result<(), Failure> {
    let call = Call {
        environment: environment.to_owned(),
        word,
    };
    store.save(KEY, &call).await
}

/// The newest call, if there ever was one.
///
/// # Errors
/// As a [`Failure`].
pub async fn newest(store: &Store) -> Result<Option<Call>, Failure> {
    store.load(KEY).await
}
