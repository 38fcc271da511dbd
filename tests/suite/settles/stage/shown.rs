//! What a look showed to the product, kept as the truth of its moment and what of it was hidden: for those who judge what follows from it.

use super::super::model::{State, Stored};
use super::super::view::{Hidden, Missing};
use jiff::Timestamp;
use reconciler::world::Seen;
use reconciler::world::page::Page;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One look as it was answered.
#[derive(Debug, Clone)]
pub struct Shown {
    pub at: Timestamp,
    /// What there was at the moment that the look showed.
    pub state: Arc<State>,
    pub hidden: Option<Hidden>,
    /// How many changes are staged, as far as that was shown.
    pub staged: Seen<usize>,
    /// What pages answered that were asked for.
    pub pages: BTreeMap<String, Seen<Page>>,
}

impl Shown {
    fn hides(&self, what: Missing, service: &str) -> bool {
        self.hidden
            .as_ref()
            .is_some_and(|hidden| hidden.what == what && hidden.service == service)
    }

    fn hides_everywhere(&self, what: Missing) -> bool {
        self.hidden
            .as_ref()
            .is_some_and(|hidden| hidden.what == what)
    }

    /// A service, where it was seen.
    pub fn service(&self, name: &str) -> Option<&Stored> {
        let stored = self.state.services.get(name)?;
        (!self.hides(Missing::Service, name)).then_some(stored)
    }

    pub fn has_placement(&self, service: &str) -> bool {
        !self.hides(Missing::Placement, service)
    }

    pub fn has_variables(&self, service: &str) -> bool {
        !self.hides(Missing::Variables, service)
    }

    pub fn has_shared(&self) -> bool {
        !self.hides_everywhere(Missing::Shared)
    }

    pub fn has_values(&self) -> bool {
        !self.hides_everywhere(Missing::Values)
    }
}
