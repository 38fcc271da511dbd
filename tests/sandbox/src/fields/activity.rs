//! The events of a project, filtered and newest first.

use serde_json::{Value, json};

use crate::events::Event;
use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::refusal::Refusal;

pub fn page<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Answer<'s> {
    let filter = asked.json("filter");
    let passes = |key: &str, value: Option<&str>| {
        let listed = |list: &str| {
            let list = filter
                .get(key)
                .and_then(|filter| filter.get(list)?.as_array());
            list.map(|all| all.iter().any(|one| one.as_str() == value))
        };
        listed("in").unwrap_or(true) && !listed("notIn").unwrap_or(false)
    };
    let state = &scene.state;
    let sees = |event: &Event| {
        let environment = event.environment_id.as_ref();
        environment.is_none_or(|id| {
            let known = state.environments.get(id);
            known.is_none_or(|environment| scene.caller.sees_environment(environment))
        })
    };
    let wanted = state.events.iter().rev().filter(|event| {
        let environment = event.environment_id.as_deref();
        event.project_id == asked.text("projectId")
            && asked
                .optional("environmentId")
                .is_none_or(|id| environment == Some(id))
            && sees(event)
            && passes("object", Some(event.object))
            && passes("action", Some(&event.action))
            && passes("serviceId", event.service_id.as_deref())
    });
    Page::of(
        wanted.map(|event| (event.id.clone(), Node::Event(event))),
        asked,
        state.switches.default_page_size,
    )
}

pub fn event<'s>(
    scene: &'s Scene,
    event: &'s Event,
    asked: &Asked<'_>,
) -> Result<Answer<'s>, Refusal> {
    let state = &scene.state;
    Ok(match asked.field {
        "id" => Answer::text(&event.id),
        "createdAt" => Answer::text(event.at),
        "object" => Answer::text(event.object),
        "action" => Answer::text(&event.action),
        "severity" => Answer::text(event.severity),
        "payload" => Answer::json(&event.payload),
        "activityPayload" => Answer::json(&activity(event)),
        "projectId" => Answer::text(&event.project_id),
        "project" => Answer::One(Node::Project(state.project(&event.project_id)?)),
        "environmentId" => event
            .environment_id
            .as_ref()
            .map_or_else(Answer::null, Answer::text),
        "environment" => Answer::one(
            event
                .environment_id
                .as_ref()
                .and_then(|id| state.environments.get(id))
                .map(|environment| Node::Environment(environment)),
        ),
        _ => Answer::null(),
    })
}

fn activity(event: &Event) -> Value {
    let service = event.service_id.as_ref();
    json!({ "type": format!("{}.{}", event.object, event.action), "serviceId": service })
}
