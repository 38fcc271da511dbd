//! Who is calling, as Railway tells it: the person, the workspace, the project token.

use serde_json::json;

use crate::node::{Answer, Asked, Node, Scene};
use crate::page::Page;
use crate::plan::Plan;
use crate::random::uuid_of;
use crate::state::{Environment, Project};

pub fn person<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Answer<'s> {
    let seed = &scene.state.seed;
    match asked.field {
        "id" => Answer::text(uuid_of(&seed.workspace.person)),
        "email" => Answer::text(&seed.workspace.person),
        "name" | "username" => {
            Answer::text(seed.workspace.person.split('@').next().unwrap_or_default())
        }
        "createdAt" | "lastLogin" => Answer::text(seed.start),
        "agreedFairUse" | "isVerified" | "has2FA" => Answer::leaf(true),
        "hasPasskeys" | "isAdmin" | "isConductor" => Answer::leaf(false),
        "workspaces" => Answer::Many(vec![Node::Workspace]),
        _ => Answer::null(),
    }
}

pub fn workspace<'s>(scene: &'s Scene, asked: &Asked<'_>) -> Answer<'s> {
    let state = &scene.state;
    match asked.field {
        "id" => Answer::text(&state.workspace_id),
        "name" => Answer::text(&state.seed.workspace.name),
        "createdAt" | "updatedAt" => Answer::text(state.seed.start),
        "plan" => Answer::text(match state.seed.plan {
            Plan::Free | Plan::Trial => "FREE",
            Plan::Hobby => "HOBBY",
            Plan::Pro | Plan::Enterprise => "PRO",
        }),
        "projectCount" => Answer::leaf(state.projects.len() as i64),
        "projects" => {
            let seen = state
                .projects
                .values()
                .filter(|project| scene.caller.sees_project(project));
            Page::of(
                seen.map(|project| (project.id.clone(), Node::Project(project))),
                asked,
                state.switches.default_page_size,
            )
        }
        field if field.starts_with("has") || field.starts_with("redacted") => Answer::leaf(false),
        _ => Answer::null(),
    }
}

pub fn project_token<'s>(
    scene: &'s Scene,
    project: &'s Project,
    environment: &'s Environment,
    asked: &Asked<'_>,
) -> Answer<'s> {
    let token = scene.caller.token.as_deref().unwrap_or_default();
    match asked.field {
        "id" => Answer::text(uuid_of(token)),
        "name" => Answer::text(token),
        "displayToken" => {
            Answer::text(format!("{}****", token.chars().take(4).collect::<String>()))
        }
        "createdAt" => Answer::text(scene.state.seed.start),
        "projectId" => Answer::text(&project.id),
        "environmentId" => Answer::text(&environment.id),
        "project" => Answer::One(Node::Project(project)),
        "environment" => Answer::One(Node::Environment(environment)),
        _ => Answer::plain(json!(null)),
    }
}
