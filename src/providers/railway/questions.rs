//! What a plan asks beyond the first look: each question is one request more, and its answer becomes facts, or unseen.

use super::{Client, answers, documents, exchange, history};
use crate::world::railway::{self, Question, Railway};
use crate::world::{Failure, Seen};
use serde_json::{Value, json};

/// How many lines of a log are shown.
const LOG_LINES: usize = 4;

impl Client {
    /// Answers a question into what was seen before; what cannot be answered becomes unseen.
    pub async fn answer(&self, seen: &mut Railway, question: &Question) {
        match question {
            Question::History => self.answer_history(seen).await,
            Question::Authors => self.answer_authors(seen).await,
            Question::Kept { service } => self.answer_kept(seen, service).await,
            Question::Log { service } => self.answer_log(seen, service).await,
            Question::Snapshot {
                service,
                deployment,
            } => self.answer_snapshot(seen, service, deployment).await,
            Question::Written => self.answer_written(seen).await,
            Question::Push { service } => self.answer_push(seen, service).await,
        }
    }

    async fn answer_history(&self, seen: &mut Railway) {
        let answer = self
            .exchange
            .read(
                documents::HISTORY,
                json!({ "environment": seen.environment.id }),
            )
            .await;
        match answer {
            Ok(answer) => {
                seen.staged = history::staged(&answer.data, &answer.problems);
                seen.history = history::history(&answer.data, &answer.problems);
                self.hide(seen);
            }
            Err(failure) => {
                seen.staged = Seen::Unseen(failure.to_string());
                seen.history = Seen::Unseen(failure.to_string());
            }
        }
    }

    /// Names are told where they are known; nothing depends on them. What people said may hold a value.
    async fn answer_authors(&self, seen: &mut Railway) {
        let environment = json!({ "environment": seen.environment.id });
        let answer = self.exchange.read(documents::AUTHORS, environment).await;
        let mut authors = match answer {
            Ok(answer) => history::authors(&answer.data),
            Err(failure) => {
                tracing::debug!(%failure, "who changed what is not told");
                std::collections::BTreeMap::new()
            }
        };
        let scrubber = self.scrubber(seen);
        let Seen::Facts(history) = &mut seen.history else {
            return;
        };
        let by_hand = |patch: &&mut railway::Patch| !patch.message.starts_with(railway::AUTHOR);
        for patch in history.patches.iter_mut().filter(by_hand) {
            patch.message = scrubber.scrub(&patch.message);
            patch.by = authors.remove(&patch.id);
        }
    }

    /// What Railway says of one service; nothing where the service is not there.
    async fn of_service(
        &self,
        document: &str,
        seen: &Railway,
        name: &str,
    ) -> Option<Result<Value, Failure>> {
        let service = seen.services.get(name)?.facts()?;
        let variables = json!({
            "project": seen.project.id,
            "environment": seen.environment.id,
            "service": service.id,
        });
        let answer = self.exchange.read(document, variables).await;
        Some(answer.and_then(exchange::Answer::whole))
    }

    async fn answer_kept(&self, seen: &mut Railway, name: &str) {
        let answer = self.of_service(documents::KEPT, seen, name).await;
        let (Some(answer), Some(service)) = (answer, service_of(seen, name)) else {
            return;
        };
        service.kept = match answer {
            Ok(data) => Seen::Facts(answers::deployments(&data["deployments"])),
            Err(failure) => Seen::Unseen(failure.to_string()),
        };
    }

    async fn answer_snapshot(&self, seen: &mut Railway, name: &str, deployment: &str) {
        let answer = self
            .exchange
            .read(documents::SNAPSHOT, json!({ "deployment": deployment }))
            .await
            .and_then(exchange::Answer::whole);
        let Some(Seen::Facts(kept)) = service_of(seen, name).map(|service| &mut service.kept)
        else {
            return;
        };
        if let Some(kept) = kept.iter_mut().find(|kept| kept.id == deployment) {
            kept.variables = match answer {
                Ok(data) => answers::snapshot(&data),
                Err(failure) => Seen::Unseen(failure.to_string()),
            };
        }
    }

    async fn answer_written(&self, seen: &mut Railway) {
        let start = json!({ "pageInfo": { "hasNextPage": true, "endCursor": null } });
        let (project, environment) = (seen.project.id.clone(), seen.environment.id.clone());
        let nodes = self
            .rest(
                &start,
                documents::WRITTEN,
                &project,
                &environment,
                "/environment/variables",
            )
            .await;
        seen.written = match nodes {
            Ok(nodes) => Seen::Facts(answers::written(&nodes)),
            Err(failure) => Seen::Unseen(failure.to_string()),
        };
    }

    async fn answer_push(&self, seen: &mut Railway, name: &str) {
        let answer = self.of_service(documents::PUSH, seen, name).await;
        let (Some(answer), Some(service)) = (answer, service_of(seen, name)) else {
            return;
        };
        service.push_to_deploy = match answer {
            Ok(data) => match data["serviceInstanceAutoDeployStatus"]["enabled"].as_bool() {
                Some(enabled) => Seen::Facts(enabled),
                None => Seen::Unseen("Railway does not tell whether a push deploys it".to_owned()),
            },
            Err(failure) => Seen::Unseen(failure.to_string()),
        };
    }

    async fn answer_log(&self, seen: &mut Railway, name: &str) {
        let scrubber = self.scrubber(seen);
        let Some(service) = service_of(seen, name) else {
            return;
        };
        let Some(newest) = &service.newest else {
            return;
        };
        let answer = self
            .exchange
            .read(documents::LOG, json!({ "deployment": newest.id }))
            .await;
        service.log = match answer {
            Ok(answer) => Seen::Facts(answers::last_lines(&answer.data, LOG_LINES, &scrubber)),
            Err(failure) => Seen::Unseen(failure.to_string()),
        };
    }
}

/// One service's answer to a question.
fn service_of<'a>(seen: &'a mut Railway, name: &str) -> Option<&'a mut railway::Service> {
    match seen.services.get_mut(name) {
        Some(Seen::Facts(service)) => Some(service),
        Some(Seen::Unseen(_) | Seen::Unasked) | None => None,
    }
}
