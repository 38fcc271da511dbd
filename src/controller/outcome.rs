//! What comes of a pass: what is remembered, shown and told.

use super::pass::{Miss, Passed};
use super::{Controller, Happened, MOMENT, lock};
use crate::providers::notify::Beat;
use crate::repository::Id;
use crate::status::Status;
use crate::status::event::Event;
use crate::status::view::ServiceHealth;
use crate::store::marks::{self, Marks};
use crate::world::Seen;
use jiff::Timestamp;
use tokio::sync::oneshot;

impl Controller {
    pub(super) fn passed(&mut self, passed: Passed) {
        self.passes -= 1;
        let now = self.now();
        let name = passed.work.name.clone();
        // Another may be in force by now, of which nothing is done yet.
        let commit = passed.work.in_force.commit;
        let begun = passed.begun;
        let took = now.duration_since(begun).unsigned_abs();
        let kind = counted(&passed);
        let by = self.tools.settings.name.clone();
        if let Err(Miss::Failed(failure)) = &passed.result {
            tracing::warn!(environment = name, %failure, "the pass failed");
        }
        let Some(led) = self.environments.get_mut(&name) else {
            // It went out of git meanwhile.
            if let Some(lease) = passed.work.lease {
                self.give_back(lease);
            }
            return;
        };
        let (events, sight) = led.passed(passed, &by, &self.tools.clock);
        if let Some(kind) = kind {
            self.tools.metrics.passed(&name, kind, took);
        }
        if let Some(allowance) = self.tools.prober.allowance() {
            self.tools.metrics.left("railway", allowance.remaining);
        }
        for event in events {
            self.publish(&name, event);
        }
        let mut seen = None;
        if let Some(sight) = sight {
            self.lives(&name);
            let mut watch = lock(&self.tools.watch);
            watch.set(&name, sight.health, &self.tools.clock);
            // Railway answered: the way out of here is open.
            watch.reached(begun, now);
            drop(watch);
            if sight.is_done {
                self.done(&name, commit);
            }
            seen = Some(sight.status);
        }
        self.tell(&name, seen);
        self.line_up(&name);
        let led = self.environments.get(&name);
        if led.is_some_and(|led| led.lease.is_some()) {
            self.tools.board.lead(&name, true);
        } else {
            // The lease may have been lost on the way: what is known of it here is old, and somebody else shows it.
            self.tools.board.forget(&name);
        }
    }

    /// Tells what somebody changed, and says so when the journal holds it.
    pub(super) fn drifts(&mut self, name: &str, status: Status, told: oneshot::Sender<()>) {
        self.tell(name, Some(status));
        let (journal, clock) = (self.tools.journal.clone(), self.tools.clock.clone());
        tokio::spawn(async move {
            journal.flush(&clock, MOMENT).await;
            let _ = told.send(());
        });
    }

    /// A look has succeeded: whoever watches the controller is told so.
    pub(super) fn lives(&self, name: &str) {
        let (Some(beats), Some(led)) = (&self.tools.beats, self.environments.get(name)) else {
            return;
        };
        let Some(heartbeat) = &led.manifests().environment().spec.heartbeat else {
            return beats.forget(name);
        };
        if let Some(Seen::Facts(address)) = led.secrets().get(&heartbeat.secret) {
            let patience = self.pace.beat * 3;
            let beat = Beat::new(address.clone(), heartbeat.every.0, patience, self.now());
            beats.passed(name, beat);
        }
    }

    /// Everything of a commit is done: what it does not declare is gone, and is not taken away again.
    fn done(&self, name: &str, commit: Id) {
        let now = self.now();
        let Some(led) = self.environments.get(name) else {
            return;
        };
        let commit = commit.to_string();
        let Some(lease) = &led.lease else { return };
        if led.done == Some(Some(commit.clone())) {
            return;
        }
        let mark = marks::Done {
            commit,
            epoch: lease.epoch(),
            at: now,
        };
        let marks = Marks::of(&self.tools.store, name);
        let (name, sender) = (name.to_owned(), self.sender.clone());
        tokio::spawn(async move {
            match marks.set_done(&mark).await {
                Ok(_) => drop(sender.send(Happened::Marked(name, mark))),
                // The next look tries again.
                Err(failure) => {
                    tracing::warn!(%failure, "that the commit is done could not be written to the store");
                }
            }
        });
    }

    pub(super) fn marked(&mut self, name: &str, mark: marks::Done) {
        if let Some(led) = self.environments.get_mut(name)
            && let Some(lease) = &led.lease
            && lease.epoch() == mark.epoch
        {
            led.done = Some(Some(mark.commit));
        }
    }

    /// Tells what has changed since people were told last, and shows it: what a look has seen, or what is shown already.
    pub(super) fn tell(&mut self, name: &str, seen: Option<Status>) {
        let now = self.now();
        let pace = self.pace;
        let by = self.tools.settings.name.clone();
        let health = ServiceHealth::all(&lock(&self.tools.watch).health(name, now));
        let Some(led) = self.environments.get_mut(name) else {
            return;
        };
        let shown = || self.tools.board.view(name)?.status;
        let status = seen.or_else(shown);
        let events = led.told(status.as_ref(), &health, &by, now);
        let has_news = !events.is_empty();
        if led.leads() {
            let next = led
                .agenda
                .next_beat(&pace)
                .unwrap_or_else(|| led.agenda.next_look(&pace));
            let next = (next > Timestamp::MIN).then_some(next);
            self.tools.board.set(&led.view(
                &self.tools.settings.controller(),
                status,
                health,
                next,
            ));
        }
        for event in events {
            self.publish(name, event);
        }
        if has_news && let Some(led) = self.environments.get(name) {
            let tools = &self.tools;
            while self.keeping.try_join_next().is_some() {}
            self.keeping
                .spawn(led.keep_picture(&tools.store, &tools.journal, &tools.clock));
        }
    }

    fn publish(&self, name: &str, event: Event) {
        let Some(led) = self.environments.get(name) else {
            return;
        };
        let words = crate::status::telling::words(&event);
        tracing::info!(
            environment = name,
            event = event.what.word(),
            "{}",
            words.headline
        );
        if let Some(notifier) = &self.tools.notifier {
            notifier.tell(&led.receivers, &event);
        }
        self.tools.board.tell(event.clone());
        let epoch = led.lease.as_ref().map_or(0, |lease| lease.epoch());
        self.tools.journal.append(name, epoch, event.at, event);
    }
}

fn counted(passed: &Passed) -> Option<crate::serve::Passed> {
    use crate::plan::Standing;
    use crate::serve::Passed as Counted;
    let sight = match &passed.result {
        Ok(sight) => sight,
        Err(Miss::Failed(_)) => return Some(Counted::Failed),
        Err(Miss::Led(_) | Miss::Stopped) => return None,
    };
    Some(if !sight.outcomes.is_empty() {
        Counted::Made
    } else {
        match sight.plan.standing() {
            Standing::InStep => Counted::InStep,
            Standing::Waiting | Standing::ToMake => Counted::Waits,
            Standing::Held | Standing::Unhealthy => Counted::Held,
            Standing::Unseen => Counted::Unseen,
        }
    })
}
