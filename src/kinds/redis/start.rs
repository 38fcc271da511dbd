//! What the next start of a server would bring back: the start command counts more than a file of its own, and most have none.
//!
//! The command is stored without a deployment, and only what runs already is stored: neither a restart nor a crash right after it brings anything new.

use super::{Spec, command, plain, service};
use crate::kinds::shown;
use crate::kinds::step::{Ask, Step};
use crate::kinds::{Declared, Documents};
use crate::world::railway::{self, Named, Service, Source};
use crate::world::redis::Server;
use crate::world::{self, SETTLING, World};
use jiff::Timestamp;

/// A setting that is declared, as the server calls it.
struct Lasting {
    name: &'static str,
    /// The field that says it.
    field: &'static str,
    value: String,
    /// Whether what runs has it, wholly.
    runs: bool,
}

/// Stores a start command that gives what is declared, or says what it has to give. `before` are the steps that bring what runs in step.
pub fn step(
    declared: &Declared<Spec>,
    documents: &Documents,
    server: &Server,
    world: &World,
    before: &[Step],
    now: Timestamp,
) -> Option<Step> {
    let service = service(declared, world)?;
    let name = declared.spec.service.as_deref().unwrap_or("the server");
    let stored = service.settings.start.as_deref().unwrap_or_default();
    let there = command::settings(stored);
    let own = |it: &Lasting| before.iter().find(|step| step.field == it.field);
    let is_held = |it: &Lasting| own(it).is_some_and(|step| matches!(step.ask, Ask::Hold { .. }));
    let mut lacking = lasting(&declared.spec, server);
    lacking.retain(|it| !command::gives(&there, it.name, &it.value) && !is_held(it));
    // A file of its own has all that it was given, but what its command says counts more.
    lacking.retain(|it| !server.has_file || there.contains_key(it.name));
    let comes = lacking.iter().any(|it| !it.runs && own(it).is_some());
    let values = |all: &[Lasting]| -> Vec<(&'static str, String)> {
        all.iter().map(|it| (it.name, it.value.clone())).collect()
    };
    let document = documents.services.get(name);
    let is_said = document.is_some_and(|service| service.spec.start.is_some());
    let is_sure = lacking.iter().all(|it| it.runs || own(it).is_some());
    let changed = changeable(service, &values(&lacking)).filter(|_| !is_said && is_sure);
    if changed.is_none() && !is_said {
        // Whoever does it by hand is not to start it empty.
        lacking.retain(|it| it.runs || it.name != "appendonly");
    }
    if lacking.is_empty() {
        return None;
    }
    let values = values(&lacking);
    let Some((image, start)) = changed else {
        let words = format!(
            "the next start would not bring it back: let the start command of {name} say `{}`",
            command::words(&values)
        );
        return Some(plain(declared, "service", "keep", Ask::Told(words)));
    };
    let given: Vec<(&str, String)> = values
        .iter()
        .filter_map(|(name, _)| Some((*name, there.get(*name)?.clone())))
        .collect();
    let ask = if comes {
        Ask::Wait {
            until: "what runs has it, wholly: a start that brings something new could lose data"
                .to_owned(),
            deadline: now.saturating_add(SETTLING * 15).unwrap_or(Timestamp::MAX),
            then: "store it for the next start".to_owned(),
        }
    } else {
        Ask::Make(world::Action::Railway(railway::Action::StoreStart {
            service: Named {
                id: service.id.clone(),
                name: name.to_owned(),
            },
            image,
            start,
        }))
    };
    Some(Step {
        from: (!given.is_empty()).then(|| shown::command(&command::words(&given))),
        to: Some(command::words(&values)),
        why: "the next start brings back what runs".to_owned(),
        after: if comes {
            vec![declared.name.clone()]
        } else {
            Vec::new()
        },
        ..plain(declared, "start", "store", ask)
    })
}

/// What is declared of what a start command can give.
fn lasting(spec: &Spec, server: &Server) -> Vec<Lasting> {
    let (memory, kept) = (spec.memory.as_ref(), spec.persistence.as_ref());
    let (holds, keeps) = (&server.memory, &server.persistence);
    let max = memory.and_then(|it| it.max).map(|max| Lasting {
        name: "maxmemory",
        field: "memory.max",
        value: max.bytes.to_string(),
        runs: holds.max_bytes == max.bytes,
    });
    let policy = memory.and_then(|it| it.policy).map(|policy| Lasting {
        name: "maxmemory-policy",
        field: "memory.policy",
        value: policy.word().to_owned(),
        runs: holds.policy == policy.word(),
    });
    let save = kept.and_then(|it| it.save.clone()).map(|save| Lasting {
        name: "save",
        field: "persistence.save",
        runs: keeps.save.as_ref() == Some(&save),
        value: save,
    });
    let append_only = kept.and_then(|it| it.append_only).map(|on| Lasting {
        name: "appendonly",
        field: "persistence.appendOnly",
        value: if on { "yes" } else { "no" }.to_owned(),
        // Before its file holds everything, such a start would begin empty.
        runs: keeps.append_only == on && (!on || keeps.append_only_is_whole),
    });
    let sync = kept.and_then(|it| it.sync).map(|sync| Lasting {
        name: "appendfsync",
        field: "persistence.sync",
        value: sync.word().to_owned(),
        runs: keeps.sync.as_deref() == Some(sync.word()),
    });
    [max, policy, save, append_only, sync]
        .into_iter()
        .flatten()
        .collect()
}

/// The stored image, and the start command that is to be stored with it; nothing where that is not plainly one that runs a server.
fn changeable(service: &Service, values: &[(&'static str, String)]) -> Option<(String, String)> {
    let Source::Image(image) = &service.source else {
        return None;
    };
    let start = command::with(service.settings.start.as_deref()?, values)?;
    Some((image.clone(), start))
}

/// A deployment of the server waits for the command that is stored for it: started before, it would run without what is declared.
pub(super) fn first(step: Step, others: &[Step], now: Timestamp) -> Step {
    let is_storing = |other: &Step| {
        other.field == "start" && matches!(other.ask, Ask::Make(_) | Ask::Wait { .. })
    };
    if !step.deploys() || !others.iter().any(is_storing) {
        return step;
    }
    Step {
        ask: Ask::Wait {
            until: "its start command brings back what runs".to_owned(),
            deadline: now.saturating_add(SETTLING * 15).unwrap_or(Timestamp::MAX),
            then: "look again".to_owned(),
        },
        after: vec![step.of.name.clone()],
        ..step
    }
}

/// A command is stored together with the image, so that it waits for everything else that is changed in its service.
pub(super) fn after_others(steps: &mut [Step], now: Timestamp) {
    for position in 0..steps.len() {
        let Some(world::Action::Railway(railway::Action::StoreStart { service, .. })) =
            steps[position].action()
        else {
            continue;
        };
        let name = service.name.clone();
        let touches = |step: &Step| {
            let own = match step.action() {
                Some(world::Action::Railway(action)) => action.service(),
                Some(world::Action::Redis(_)) | None => None,
            };
            own.is_some_and(|service| service.name == name)
                || step.action().is_some() && step.deploys.contains(&name)
        };
        let mut others = steps.iter().enumerate();
        if others.any(|(other, step)| other != position && touches(step)) {
            steps[position].ask = Ask::Wait {
                until: format!("everything else in {name} is changed"),
                deadline: now.saturating_add(SETTLING * 15).unwrap_or(Timestamp::MAX),
                then: "store it for the next start".to_owned(),
            };
            steps[position].after = vec![name];
        }
    }
}
