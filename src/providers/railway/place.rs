//! Which project and environment a token or a person means.

use super::answers;
use crate::world::Failure;
use crate::world::railway::Named;
use serde_json::Value;

/// A project, and one of its environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project.
    pub project: Named,
    /// The environment, where one is meant.
    pub environment: Option<Named>,
}

impl Place {
    /// Of an object that has both.
    pub(super) fn of(both: &Value) -> Place {
        Place {
            project: answers::named(&both["project"]),
            environment: Some(answers::named(&both["environment"])),
        }
    }

    /// The same, if it is the one that is wanted.
    pub(super) fn fitting(
        self,
        project: Option<&str>,
        environment: Option<&str>,
    ) -> Result<Place, Failure> {
        let fits = |named: &Named, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| named.id == wanted || named.name == wanted)
        };
        let here = self.environment.as_ref();
        if fits(&self.project, project) && here.is_none_or(|here| fits(here, environment)) {
            return Ok(self);
        }
        Err(Failure::Denied(format!(
            "the project token is for {} / {}",
            self.project.name,
            here.map_or("?", |here| here.name.as_str())
        )))
    }
}
