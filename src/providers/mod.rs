//! Look outside and act there: one file or folder per provider, over one transport.

pub mod address;
pub mod fenced;
pub mod health;
pub mod http;
pub mod notify;
pub mod pages;
pub mod railway;
pub mod redis;

use crate::plan::write::{What, Write};
use crate::world::redis::Change;
use crate::world::secret::Secret;
use crate::world::{Failure, Question, Seen, World};
use async_trait::async_trait;
use pages::Pages;
use std::collections::{BTreeMap, BTreeSet};

/// Which Railway environment, by name or id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
}

/// Secrets by the name in the manifests.
pub type Secrets = BTreeMap<String, Seen<Secret>>;

/// Somebody who looks at the outside of an environment and acts there. It makes no choices.
#[async_trait]
pub trait Provider: Send + Sync {
    /// One look at everything that a plan needs.
    ///
    /// # Errors
    /// As a [`Failure`]: what could not be seen at all. What could not be seen in part is unseen inside the answer.
    async fn observe(&self, scope: &Scope) -> Result<World, Failure>;

    /// Answers a plan's questions into what was seen before; what cannot be answered becomes unseen.
    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>);

    /// Sends one write, once.
    ///
    /// # Errors
    /// As a [`Failure`], by what the caller can do about it.
    async fn perform(&self, world: &World, write: &Write, secrets: &Secrets)
    -> Result<(), Failure>;
}

/// The real outside: each part of the world has its provider.
#[derive(Clone)]
pub struct Outside {
    /// Railway.
    pub railway: railway::Client,
    /// The web as customers see it.
    pub pages: Pages,
    /// The Redis servers.
    pub redis: redis::Client,
}

#[async_trait]
impl Provider for Outside {
    async fn observe(&self, scope: &Scope) -> Result<World, Failure> {
        Ok(World {
            railway: Seen::Facts(self.railway.observe(scope).await?),
            pages: BTreeMap::new(),
            redis: BTreeMap::new(),
            secrets: BTreeMap::new(),
            health: BTreeMap::new(),
        })
    }

    async fn answer(&self, world: &mut World, questions: &BTreeSet<Question>) {
        for question in questions {
            match question {
                Question::Railway(question) => {
                    if let Seen::Facts(seen) = &mut world.railway {
                        self.railway.answer(seen, question).await;
                    }
                }
                Question::Page(question) => {
                    let page = self.pages.look(&question.url).await;
                    world.pages.insert(question.url.clone(), page);
                }
                Question::Redis(question) => {
                    let server = self.redis.look(question, world).await;
                    world.redis.insert(question.of.name.clone(), server);
                }
            }
        }
    }

    async fn perform(
        &self,
        world: &World,
        write: &Write,
        secrets: &Secrets,
    ) -> Result<(), Failure> {
        if let What::Redis(action) = &write.what {
            if let Change::Warm { urls, .. } = &action.change {
                for url in urls {
                    if let Seen::Unseen(reason) = self.pages.look(url).await {
                        return Err(Failure::Passing(reason));
                    }
                }
            }
            return self.redis.perform(world, action).await;
        }
        match &world.railway {
            Seen::Facts(seen) => self.railway.perform(seen, write, secrets).await,
            Seen::Unseen(reason) => Err(Failure::Passing(reason.clone())),
            Seen::Unasked => Err(Failure::Passing("Railway was not looked at".to_owned())),
        }
    }
}
