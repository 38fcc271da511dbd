//! What one kind needs of another's field: the owner of the field plans with it and names the demander (design rule 7).

use super::step::Address;
use crate::source::Origin;
use crate::world::railway::Ready;

/// Something that a document needs of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The document that demands it.
    pub of: Address,
    /// Why, in words: `Maintenance/site is on: orders are being repaired`.
    pub why: String,
    /// Where that is written.
    pub origin: Origin,
    /// What is needed.
    pub what: Needed,
}

/// What is needed of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needed {
    /// A variable has this value.
    Variable {
        /// Its name.
        name: String,
        /// A value that is no secret.
        value: String,
    },
    /// A variable has not this value.
    Otherwise {
        /// Its name.
        name: String,
        /// The value that it must not have.
        value: String,
    },
    /// It runs this, whatever its own document says.
    Image(Instead),
}

/// What a service runs instead of its own release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// The image reference.
    pub image: String,
    /// Its start command; none means the image's own.
    pub start: Option<String>,
    /// Its command before traffic.
    pub before_deploy: Option<String>,
    /// Its health check while deploying.
    pub ready: Ready,
}

impl Demand {
    /// Whether it closes something: then it never waits for what cannot be seen (design rule 3).
    pub fn closes(&self) -> bool {
        match self.what {
            Needed::Variable { .. } | Needed::Image(_) => true,
            Needed::Otherwise { .. } => false,
        }
    }
}
