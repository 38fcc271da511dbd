//! A controller among others on one store: it beats, it looks at the others, it takes leases.

use super::Read;
use super::Store;
use super::lease::{self, Lease, Taken, Written};
use super::life::{Life, Next, Paper, Pulse, Serves, Start, Terms, decide};
use super::marks;
use super::objects::{Only, Put, Version};
use super::share::{Neighbour, owner};
use crate::clock::Moment;
use crate::world::Failure;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// This process on a store. Its leases last as long as its life; when that ends, the next beat begins another.
pub struct Member {
    store: Store,
    terms: Terms,
    name: String,
    serves: Serves,
    own: tokio::sync::Mutex<Own>,
    life: Mutex<Arc<Life>>,
    /// The ids of own lives that are over: whatever they held can be taken at once.
    past: Mutex<BTreeSet<String>>,
    others: Mutex<BTreeMap<String, Sighting>>,
}

struct Own {
    paper: Paper,
    version: Version,
}

/// Another's paper, and since when it is seen to stay as it is.
#[derive(Clone)]
struct Sighting {
    paper: Option<Paper>,
    version: Version,
    since: Moment,
}

/// Where a paper cannot be read, its time is unknown; no life believes in itself for longer.
const UNKNOWN_TTL: Duration = Duration::from_secs(600);
/// More papers than that are not looked at: somebody else's objects, or a crash loop.
const MOST: usize = 200;
const TRIES: usize = 4;

impl Member {
    /// Begins a life on the store.
    ///
    /// # Errors
    /// As a [`Failure`].
    pub async fn join(
        store: &Store,
        terms: Terms,
        name: &str,
        serves: Serves,
    ) -> Result<Member, Failure> {
        let (life, own) = born(store, &terms, name, &serves).await?;
        Ok(Member {
            store: store.clone(),
            terms,
            name: name.to_owned(),
            serves,
            own: tokio::sync::Mutex::new(own),
            life: Mutex::new(life),
            past: Mutex::default(),
            others: Mutex::default(),
        })
    }

    /// Beats and looks around, for ever; runs beside everything else.
    pub async fn keep(&self) {
        let mut pause = self.terms.beat();
        loop {
            self.store
                .clock
                .sleep(self.store.clock.jittered(pause))
                .await;
            pause = match self.beat().await {
                Ok(()) => self.terms.beat(),
                Err(failure) => {
                    tracing::warn!(%failure, "the beat on the store is not confirmed");
                    self.terms.beat() / 4
                }
            };
            if let Err(failure) = self.look().await {
                tracing::debug!(%failure, "cannot look at the other controllers");
            }
        }
    }

    /// The present life.
    pub fn life(&self) -> Arc<Life> {
        guard(&self.life).clone()
    }

    /// How long a life lasts, and the rest of it.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// One beat: renews the life and all leases that rest on it, or begins a new life where the old one is over.
    ///
    /// # Errors
    /// As a [`Failure`]: nothing was renewed, as far as is known.
    pub async fn beat(&self) -> Result<(), Failure> {
        let mut own = self.own.lock().await;
        for _ in 0..TRIES {
            let life = self.life();
            if !life.lasts(Duration::ZERO) {
                return self.begin_again(&mut own).await;
            }
            let start = Start::now(&self.store.clock);
            own.paper.beat += 1;
            own.paper.written = self.store.clock.now();
            let only = Only::Unchanged(own.version.clone());
            let put = self.store.write(&key(life.id()), &own.paper, only).await;
            match put {
                Ok(Put::Done(version)) => {
                    own.version = version;
                    life.confirm(start);
                    return Ok(());
                }
                Ok(Put::Lost) | Err(Failure::Unclear(_)) => {
                    if self.found_again(&mut own, &life).await? {
                        life.confirm(start);
                        return Ok(());
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Passing(
            "the beat met another each time".to_owned(),
        ))
    }

    /// Reads the own paper after an unclear beat: whether this beat is there. An older one is, when its own answer was lost.
    async fn found_again(&self, own: &mut Own, life: &Life) -> Result<bool, Failure> {
        match self.store.read::<Paper>(&key(life.id())).await? {
            Read::Known(paper, version) if paper.over.is_none() && paper.word == own.paper.word => {
                own.version = version;
                let is_there = paper.beat == own.paper.beat;
                own.paper.beat = own.paper.beat.max(paper.beat);
                Ok(is_there)
            }
            Read::Known(paper, _) => {
                life.end(
                    &paper
                        .over
                        .unwrap_or_else(|| "somebody has its name".to_owned()),
                );
                Ok(false)
            }
            Read::Absent => {
                life.end("its paper on the store is gone");
                Ok(false)
            }
            Read::Unreadable(why, _) => {
                life.end(&format!("its paper on the store is {why}"));
                Ok(false)
            }
        }
    }

    async fn begin_again(&self, own: &mut Own) -> Result<(), Failure> {
        let (life, new) = born(&self.store, &self.terms, &self.name, &self.serves).await?;
        let old = std::mem::replace(&mut *guard(&self.life), life);
        tracing::info!(why = old.why(), "a new life on the store");
        guard(&self.past).insert(old.id().to_owned());
        *own = new;
        Ok(())
    }

    /// Ends the life, and with it every lease at once: others need not wait.
    ///
    /// # Errors
    /// As a [`Failure`]; here it is over all the same, and the others wait for the end of its time.
    pub async fn leave(&self) -> Result<(), Failure> {
        let mut own = self.own.lock().await;
        let life = self.life();
        life.end("it left");
        own.paper.over = Some("left".to_owned());
        own.paper.written = self.store.clock.now();
        let only = Only::Unchanged(own.version.clone());
        self.store.write(&key(life.id()), &own.paper, only).await?;
        Ok(())
    }

    /// Looks at the other controllers: who beats, who is silent. What is left of those who are long gone is cleared away.
    ///
    /// # Errors
    /// As a [`Failure`]: then what was seen before stands.
    pub async fn look(&self) -> Result<(), Failure> {
        let listing = self.store.list("controllers").await?;
        let me = key(self.life().id());
        let keys: BTreeSet<String> = listing
            .objects
            .iter()
            .map(|name| format!("controllers/{name}"))
            .filter(|key| *key != me)
            .take(MOST)
            .collect();
        guard(&self.others).retain(|key, _| keys.contains(key));
        for key in &keys {
            self.sight(key).await?;
            self.clear(key).await?;
        }
        Ok(())
    }

    async fn sight(&self, key: &str) -> Result<Pulse, Failure> {
        let read = self.store.read::<Paper>(key).await?;
        let (paper, version) = match read {
            Read::Absent => {
                guard(&self.others).remove(key);
                return Ok(Pulse::Over);
            }
            Read::Known(paper, version) => (Some(paper), version),
            Read::Unreadable(_, version) => (None, version),
        };
        let mut others = guard(&self.others);
        let seen = others.get(key).filter(|seen| seen.version == version);
        // It was written before it was read, so what is counted from here ends after what its holder counts.
        let since = seen.map_or_else(|| self.store.clock.moment(), |seen| seen.since);
        let sighting = Sighting {
            paper,
            version,
            since,
        };
        let pulse = sighting.pulse();
        others.insert(key.to_owned(), sighting);
        Ok(pulse)
    }

    /// Whoever is over can never beat again, so its paper says no more than none. Whoever was silent for very long is ended first.
    async fn clear(&self, key: &str) -> Result<(), Failure> {
        let Some(seen) = guard(&self.others).get(key).cloned() else {
            return Ok(());
        };
        if self.store.clock.moment().duration_since(seen.since) < 2 * UNKNOWN_TTL {
            return Ok(());
        }
        match seen.pulse() {
            Pulse::Over => self.store.delete(key).await,
            Pulse::Still { .. } => self.end(key).await,
        }
    }

    /// Ends another's life on the condition that it did not beat since.
    async fn end(&self, key: &str) -> Result<(), Failure> {
        let Some(seen) = guard(&self.others).get(key).cloned() else {
            return Ok(());
        };
        let mut paper = seen.paper.unwrap_or_else(|| Paper {
            name: key.to_owned(),
            word: String::new(),
            serves: Serves::Asked,
            beat: 0,
            ttl_millis: 0,
            written: self.now(),
            over: None,
        });
        paper.over = Some(format!(
            "ended by {}: it was silent for too long",
            self.life().id()
        ));
        paper.written = self.now();
        self.store
            .write(key, &paper, Only::Unchanged(seen.version))
            .await?;
        Ok(())
    }

    /// The controllers that live, as far as can be seen, this one among them.
    pub fn living(&self) -> Vec<Neighbour> {
        let now = self.store.clock.moment();
        let mut living: Vec<Neighbour> = guard(&self.others)
            .values()
            .filter(|seen| match seen.pulse() {
                Pulse::Over => false,
                Pulse::Still { since, ttl } => now < since + ttl + self.terms.margin(),
            })
            .filter_map(|seen| seen.paper.as_ref())
            // Another paper of this name and an older word may be this process's own former life.
            .filter(|paper| !guard(&self.past).contains(&paper.id()))
            .map(neighbour)
            .collect();
        let life = self.life();
        if life.lasts(Duration::ZERO) {
            living.push(self.me(&life));
        }
        living.sort();
        living
    }

    /// Whether this process is the one that should serve an environment. Asked between passes: a lease whose environment another should serve is given
    /// back, one that is ours is taken when it is free.
    pub fn should_serve(&self, environment: &str) -> bool {
        owner(environment, &self.living()) == Some(&self.me(&self.life()))
    }

    fn me(&self, life: &Life) -> Neighbour {
        let word = life.id().strip_prefix(&format!("{}-", self.name));
        Neighbour {
            name: self.name.clone(),
            word: word.unwrap_or_default().to_owned(),
            serves: self.serves.clone(),
        }
    }

    /// Takes the lease of an environment, if it is free or its holder was silent for long enough.
    ///
    /// # Errors
    /// As a [`Failure`]; `Refused` when what is written there cannot be understood.
    pub async fn take(&self, environment: &str) -> Result<Taken, Failure> {
        let life = self.life();
        let key = lease::key(environment);
        for _ in 0..TRIES {
            if !life.lasts(Duration::ZERO) {
                return Err(Failure::Passing(
                    "no lease without a beat that is confirmed".to_owned(),
                ));
            }
            let (found, only) = match self.store.read::<Written>(&key).await? {
                Read::Known(found, version) => (found, Only::Unchanged(version)),
                Read::Absent => (self.unwritten(environment).await?, Only::Absent),
                Read::Unreadable(why, _) => {
                    return Err(Failure::Refused(format!(
                        "{key} on the store is {why}: nobody can tell who may write to {environment}. When no controller runs, delete it"
                    )));
                }
            };
            let holder = match &found.holder {
                Some(holder) => Some((holder.as_str(), self.pulse(holder).await?)),
                None => None,
            };
            let now = self.store.clock.moment();
            match decide(holder, life.id(), now, self.terms.margin()) {
                Next::Take => {}
                Next::End => {
                    let holder = holder.map_or(life.id(), |(holder, _)| holder);
                    self.end(&self::key(holder)).await?;
                    continue;
                }
                Next::Wait { until } => {
                    return Ok(Taken::Held {
                        by: found.holder.unwrap_or_default(),
                        next: until.duration_since(now),
                    });
                }
            }
            let written = Written {
                holder: Some(life.id().to_owned()),
                epoch: found.epoch + 1,
                written: self.now(),
            };
            match self.store.write(&key, &written, only).await {
                Ok(Put::Done(version)) => {
                    return Ok(Taken::Lease(Lease {
                        environment: environment.to_owned(),
                        epoch: written.epoch,
                        life,
                        version,
                        is_released: AtomicBool::new(false),
                    }));
                }
                // If it was written all the same, it is ours to write again.
                Ok(Put::Lost) | Err(Failure::Unclear(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Passing(format!(
            "others try to take the lease of {environment} as well"
        )))
    }

    /// A lease that nobody took yet, or that somebody deleted: its epoch still lies above that of every mark.
    async fn unwritten(&self, environment: &str) -> Result<Written, Failure> {
        Ok(Written {
            holder: None,
            epoch: marks::newest_epoch(&self.store, environment).await?,
            written: self.now(),
        })
    }

    async fn pulse(&self, holder: &str) -> Result<Pulse, Failure> {
        if self.life().id() == holder || guard(&self.past).contains(holder) {
            return Ok(Pulse::Over);
        }
        self.sight(&key(holder)).await
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn now(&self) -> Timestamp {
        self.store.clock.now()
    }
}

impl Sighting {
    fn pulse(&self) -> Pulse {
        match &self.paper {
            Some(paper) if paper.over.is_some() => Pulse::Over,
            paper => Pulse::Still {
                since: self.since,
                ttl: paper.as_ref().map_or(UNKNOWN_TTL, Paper::ttl),
            },
        }
    }
}

async fn born(
    store: &Store,
    terms: &Terms,
    name: &str,
    serves: &Serves,
) -> Result<(Arc<Life>, Own), Failure> {
    let paper = Paper {
        name: name.to_owned(),
        word: store.clock.word(12),
        serves: serves.clone(),
        beat: 0,
        ttl_millis: u64::try_from(terms.ttl().as_millis()).unwrap_or(u64::MAX),
        written: store.clock.now(),
        over: None,
    };
    let start = Start::now(&store.clock);
    let key = key(&paper.id());
    let version = match store.write(&key, &paper, Only::Absent).await {
        Ok(Put::Done(version)) => version,
        Ok(Put::Lost) => {
            return Err(Failure::Passing(
                "another process has the same word by chance".to_owned(),
            ));
        }
        Err(Failure::Unclear(words)) => match store.read::<Paper>(&key).await? {
            Read::Known(found, version) if found == paper => version,
            Read::Known(..) | Read::Absent | Read::Unreadable(..) => {
                return Err(Failure::Passing(words));
            }
        },
        Err(failure) => return Err(failure),
    };
    let life = Life::new(paper.id(), terms.ttl(), start, &store.clock);
    Ok((Arc::new(life), Own { paper, version }))
}

fn neighbour(paper: &Paper) -> Neighbour {
    Neighbour {
        name: paper.name.clone(),
        word: paper.word.clone(),
        serves: paper.serves.clone(),
    }
}

fn key(id: &str) -> String {
    format!("controllers/{}.json", super::segment(id))
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
