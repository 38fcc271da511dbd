//! What a commit permits: the fields that it declares or demands, and what it takes away because the commit before it declared it.

use super::model::{State, Stored};
use super::view::long_region;
use super::wish::{ByWish, CLOSED_IMAGE, CLOSING, ReplicasWish, Runs, VariableWish, Wish};
use reconciler::world::railway::{
    Action, Change, Setting, SettingName, SettingValue, VariableValue,
};
use std::collections::BTreeMap;

/// A commit, with the one before it where it is known what that declared.
#[derive(Clone, Copy)]
pub struct Law<'a> {
    pub wish: &'a Wish,
    pub before: Option<&'a Wish>,
}

impl Law<'_> {
    /// Why a change is not permitted, given what there is.
    pub fn forbids(&self, change: &Change, state: &State) -> Option<String> {
        let Some(service) = change.of.service() else {
            return self.forbids_shared(&change.set);
        };
        let name = service.name.as_str();
        let (Some(wish), Some(stored)) = (self.wish.services.get(name), state.services.get(name))
        else {
            return Some(format!("{name} is not declared"));
        };
        let is_declared = match &change.set {
            Setting::Image(_) | Setting::Commit(_) => self.moves(name),
            Setting::Plain(value) => self.sets(name, value.name(), stored),
            Setting::Registry { .. } => wish.registry.is_some(),
            Setting::Replicas(regions) => {
                wish.replicas.is_some()
                    && regions.iter().all(|(region, count)| {
                        count.is_some() || self.leaves(name, long_region(region))
                    })
            }
            Setting::Variable { name: own, value } => self.writes(name, own, value),
        };
        (!is_declared).then(|| format!("{name}: {} is not declared", change.set.field()))
    }

    fn forbids_shared(&self, set: &Setting) -> Option<String> {
        let Setting::Variable { name, value } = set else {
            return Some(format!("{} cannot be shared", set.field()));
        };
        let is_declared = self.wish.shared.contains_key(name)
            || *value == VariableValue::Absent && self.takes_shared(name);
        (!is_declared).then(|| format!("shared {name} is not declared"))
    }

    /// Why an action is not permitted.
    pub fn forbids_action(&self, action: &Action, state: &State) -> Option<String> {
        let Some(service) = action.service() else {
            return Some("it is about no service".to_owned());
        };
        let name = service.name.as_str();
        if let Action::Delete { .. } = action {
            return (!self.deletes(name)).then(|| format!("{name}: nobody took it away"));
        }
        let (Some(wish), Some(stored)) = (self.wish.services.get(name), state.services.get(name))
        else {
            return Some(format!("{name} is not declared"));
        };
        let fits = match action {
            Action::Change(change) => return self.forbids(change, state),
            Action::Store { settings, .. } => {
                let declared = |value: &SettingValue| self.sets(name, value.name(), stored);
                self.moves(name) && settings.iter().all(declared)
            }
            // Only a Redis asks for it.
            Action::StoreStart { .. } => false,
            Action::SetVariable {
                name: variable,
                value,
                ..
            } => self.closes_by(name, variable, value),
            Action::Rollback { .. } => self.moves(name),
            Action::Stop { .. } => wish.stopped == Some(true),
            Action::PushToDeploy { enabled, .. } => wish.push_to_deploy == Some(*enabled),
            Action::Deploy { .. } | Action::Redeploy { .. } | Action::Delete { .. } => true,
        };
        (!fits).then(|| format!("{name}: {} is not asked for", action.word()))
    }

    /// Whether it says what a service runs.
    pub fn moves(&self, service: &str) -> bool {
        self.wish.services[service].runs != Runs::Unsaid
            || self.wish.closed_by_image(service).is_some()
    }

    /// Whether it says what a setting is.
    pub fn sets(&self, service: &str, name: SettingName, stored: &Stored) -> bool {
        self.wish.settings(service, &stored.source).declares(name)
    }

    /// Whether a region may be left: what is declared is the whole of a placement.
    pub fn leaves(&self, service: &str, region: &str) -> bool {
        match &self.wish.services[service].replicas {
            Some(ReplicasWish::Number(_)) => true,
            Some(ReplicasWish::Regions(regions)) => !regions.contains_key(region),
            None => false,
        }
    }

    fn writes(&self, service: &str, name: &str, value: &VariableValue) -> bool {
        let wish = &self.wish.services[service];
        if wish.variables.contains_key(name) {
            return true;
        }
        match value {
            VariableValue::Text(text) => self.closes_by(service, name, text),
            VariableValue::Secret { .. } => false,
            VariableValue::Absent => self.opens_by(service, name) || self.takes(service, name),
        }
    }

    /// Whether it closes a service by a variable with this value.
    pub fn closes_by(&self, service: &str, name: &str, value: &str) -> bool {
        name == CLOSING && self.wish.closing_value(service) == Some((value, true))
    }

    /// Whether it opens a service by taking a variable away.
    pub fn opens_by(&self, service: &str, name: &str) -> bool {
        let closing = self.wish.closing_value(service);
        name == CLOSING && closing.is_some_and(|(_, enabled)| !enabled)
    }

    /// Whether a change closes a service, so that it never waits for what cannot be seen.
    pub fn closes(&self, change: &Change) -> bool {
        let Some(service) = change.of.service() else {
            return false;
        };
        let name = service.name.as_str();
        let by_image = self.wish.closed_by_image(name);
        match (&change.set, by_image) {
            (
                Setting::Variable {
                    name: variable,
                    value: VariableValue::Text(text),
                },
                _,
            ) => self.closes_by(name, variable, text),
            (Setting::Image(image), Some(_)) => image == CLOSED_IMAGE,
            (Setting::Plain(value), Some(ByWish::Image { .. })) => matches!(
                value,
                SettingValue::Start(_) | SettingValue::BeforeDeploy(_) | SettingValue::Ready(_)
            ),
            _ => false,
        }
    }

    /// Whether a variable was declared before and is not now.
    pub fn takes(&self, service: &str, name: &str) -> bool {
        let was = self.before.and_then(|before| before.services.get(service));
        let is = self.wish.services.get(service);
        match (was, is) {
            (Some(was), Some(is)) => {
                self.wish.removes_entries && is_gone(name, &was.variables, &is.variables)
            }
            _ => false,
        }
    }

    /// The same of one that all services share.
    pub fn takes_shared(&self, name: &str) -> bool {
        self.before.is_some_and(|before| {
            self.wish.removes_entries && is_gone(name, &before.shared, &self.wish.shared)
        })
    }

    /// Whether a service was declared before, is not now, and may go when somebody consents.
    pub fn deletes(&self, service: &str) -> bool {
        let was = self
            .before
            .is_some_and(|before| before.services.contains_key(service));
        was && !self.wish.services.contains_key(service) && self.wish.holds_services
    }

    /// Whether a service is to be stopped.
    pub fn stops(&self, service: &str) -> bool {
        let wish = self.wish.services.get(service);
        wish.is_some_and(|wish| wish.stopped == Some(true))
    }
}

fn is_gone(
    name: &str,
    was: &BTreeMap<String, VariableWish>,
    is: &BTreeMap<String, VariableWish>,
) -> bool {
    let was_there = was
        .get(name)
        .is_some_and(|was| *was != VariableWish::Absent);
    was_there && !is.contains_key(name)
}
