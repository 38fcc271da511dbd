//! Asks services how they are, all the time and beside the passes: what is due, what was answered, and what that says of each.
//!
//! A [`Watch`] knows when whom to ask and makes no request; [`run`] makes them. A pass takes [`Watch::health`] and waits for nobody.

use super::pages::{Missed, Pages};
use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::kinds::service::health::{Answer, Question};
use crate::kinds::service::series::Series;
use crate::world::Seen;
use crate::world::health::Healths;
use crate::world::page::Page;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// So many are asked at once, over all environments.
const AT_ONCE: usize = 32;
/// How long nobody looks whether something is due.
const PAUSE: Duration = Duration::from_secs(1);
/// The first questions are spread over this time, so that a thousand services are not asked in one moment.
const SPREAD: Duration = Duration::from_secs(5);

/// A service by its environment and its name.
pub type Whom = (String, String);

/// Whom to ask when, and what their answers say.
#[derive(Debug, Default)]
pub struct Watch {
    watched: BTreeMap<String, BTreeMap<String, Watched>>,
}

#[derive(Debug)]
struct Watched {
    question: Result<Question, String>,
    series: Series,
    /// When it is asked next; nothing while it is being asked.
    due: Option<Timestamp>,
    /// It could not be reached, and it is not known yet whether anything can.
    unreached: Option<(Timestamp, String)>,
}

/// Somebody to be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Who.
    pub whom: Whom,
    /// What.
    pub question: Question,
}

/// What came of asking somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Who was asked.
    pub whom: Whom,
    /// What.
    pub question: Question,
    /// When.
    pub asked_at: Timestamp,
    /// The answer, or why there is none.
    pub page: Result<Page, Missed>,
}

impl Watch {
    /// Whom to ask in an environment from now on. Who was asked before keeps what was answered, also when the question changes.
    pub fn set(
        &mut self,
        environment: &str,
        questions: BTreeMap<String, Result<Question, String>>,
        clock: &Clock,
    ) {
        let mut before = self.watched.remove(environment).unwrap_or_default();
        let now = clock.now();
        let watched = questions.into_iter().map(|(service, question)| {
            let watched = match before.remove(&service) {
                Some(watched) if goes_on(&watched.question, &question) => Watched {
                    question,
                    ..watched
                },
                Some(_) | None => Watched {
                    question,
                    series: Series::default(),
                    due: Some(first(now, clock)),
                    unreached: None,
                },
            };
            (service, watched)
        });
        self.watched
            .insert(environment.to_owned(), watched.collect());
    }

    /// Nobody in this environment is asked any more.
    pub fn forget(&mut self, environment: &str) {
        self.watched.remove(environment);
    }

    /// Who is to be asked now: each once, until [`Watch::heard`] tells what came of it. At most so many.
    pub fn due(&mut self, now: Timestamp, at_most: usize) -> Vec<Due> {
        let mut late: Vec<(Timestamp, Due, &mut Watched)> = Vec::new();
        for (environment, services) in &mut self.watched {
            for (service, watched) in services {
                if let (Ok(question), Some(due)) = (&watched.question, watched.due)
                    && due <= now
                {
                    let whom = (environment.clone(), service.clone());
                    let question = question.clone();
                    late.push((due, Due { whom, question }, watched));
                }
            }
        }
        late.sort_by_key(|(due, ..)| *due);
        let taken = late.into_iter().take(at_most);
        taken
            .map(|(_, due, watched)| {
                watched.due = None;
                due
            })
            .collect()
    }

    /// What somebody answered.
    pub fn heard(&mut self, heard: Heard, clock: &Clock) {
        let now = clock.now();
        let (environment, service) = &heard.whom;
        // That one answers now says nothing of whether one could be reached before; that others do, does.
        let services = self.watched.get_mut(environment);
        let own = services.and_then(|services| services.get_mut(service)?.unreached.take());
        if heard.page.is_ok() {
            self.reached(heard.asked_at, now);
        }
        let services = self.watched.get_mut(environment);
        let Some(watched) = services.and_then(|services| services.get_mut(service)) else {
            return;
        };
        // What was asked otherwise says nothing of what is asked now, and is asked again soon.
        if watched.question.as_ref() != Ok(&heard.question) {
            watched.due = Some(first(now, clock));
            return;
        }
        let every = clock.jittered(heard.question.every);
        watched.due = Some(later(heard.asked_at, every).max(now));
        // Nothing else has been reached since: that was our own network, or nobody knows.
        if let Some((_, words)) = own {
            let words = format!("nothing can be reached from here: {words}");
            let failures = heard.question.failures;
            watched.series.heard(&Answer::Silent(words), failures, now);
        }
        let failures = heard.question.failures;
        let answer = match heard.page {
            Ok(page) => heard.question.judge(&page),
            Err(Missed::NotReached(words)) => {
                watched.unreached = Some((heard.asked_at, words));
                return;
            }
            Err(Missed::NotAsked(words)) => Answer::Silent(format!("not asked: {words}")),
        };
        watched.series.heard(&answer, failures, now);
    }

    /// Something outside was reached by a question of this moment: who could not be is at fault himself. Other requests than these may tell it.
    pub fn reached(&mut self, asked_at: Timestamp, now: Timestamp) {
        for watched in self.watched.values_mut().flat_map(BTreeMap::values_mut) {
            let Ok(question) = &watched.question else {
                continue;
            };
            if let Some((_, words)) = watched
                .unreached
                .take_if(|(unreached, _)| *unreached <= asked_at)
            {
                let answer = Answer::Bad(words);
                watched.series.heard(&answer, question.failures, now);
            }
        }
    }

    /// What is known of an environment's services now.
    pub fn health(&self, environment: &str, now: Timestamp) -> Healths {
        let services = self.watched.get(environment).into_iter().flatten();
        services
            .map(|(service, watched)| {
                let seen = match &watched.question {
                    Ok(question) => watched.series.seen(question.every, now),
                    Err(words) => Seen::Unseen(words.clone()),
                };
                (service.clone(), seen)
            })
            .collect()
    }

    /// How many services are asked.
    pub fn len(&self) -> usize {
        self.watched.values().map(BTreeMap::len).sum()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Answers to another address, or for another status, say nothing of this one. What a closed one answers is part of the same question.
fn goes_on(before: &Result<Question, String>, now: &Result<Question, String>) -> bool {
    match (before, now) {
        (Ok(before), Ok(now)) => before.url == now.url && before.status == now.status,
        (Err(_), Err(_)) => true,
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

/// When somebody new is asked: soon, and not all at once.
fn first(now: Timestamp, clock: &Clock) -> Timestamp {
    let most = SPREAD.as_millis() * 6 / 5;
    let least = SPREAD.as_millis() * 4 / 5;
    let jittered = clock.jittered(SPREAD).as_millis();
    let share = jittered.saturating_sub(least) * SPREAD.as_millis() / (most - least);
    later(
        now,
        Duration::from_millis(u64::try_from(share).unwrap_or_default()),
    )
}

fn later(moment: Timestamp, time: Duration) -> Timestamp {
    moment.saturating_add(time).unwrap_or(Timestamp::MAX)
}

/// Asks one service, within its time.
pub async fn ask(pages: &Pages, due: Due, clock: &Clock) -> Heard {
    let asked_at = clock.now();
    let Due { whom, question } = due;
    let page = tokio::select! {
        page = pages.get(&question.url) => page,
        () = clock.sleep(question.within) => {
            let host = question.host();
            Err(Missed::NotReached(format!("{host} did not answer within {:?}", question.within)))
        }
    };
    Heard {
        whom,
        question,
        asked_at,
        page,
    }
}

/// Asks whoever is due, until somebody says stop. A slow one holds up nobody but himself.
pub async fn run(watch: Arc<Mutex<Watch>>, pages: Pages, clock: Clock, interrupt: Interrupt) {
    let mut asking: JoinSet<Heard> = JoinSet::new();
    loop {
        let room = AT_ONCE.saturating_sub(asking.len());
        let due = lock(&watch).due(clock.now(), room);
        for due in due {
            let (pages, clock) = (pages.clone(), clock.clone());
            asking.spawn(async move { ask(&pages, due, &clock).await });
        }
        tokio::select! {
            () = interrupt.set() => return,
            () = clock.sleep(PAUSE) => {}
            Some(Ok(heard)) = asking.join_next() => lock(&watch).heard(heard, &clock),
        }
    }
}

fn lock(watch: &Mutex<Watch>) -> std::sync::MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}
