//! What goes from people and GitHub to the controller: "look now", and orders that are answered.

use super::metrics::Metrics;
use crate::clock::Clock;
use jiff::Timestamp;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// A request to look now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Which environment; all of them where none is named.
    pub environment: Option<String>,
    /// Why, for the log: `push`.
    pub why: String,
}

/// What somebody asks of a running controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Look and act now, whatever the timer says.
    Reconcile {
        /// The environment.
        environment: String,
        /// Who asks.
        by: String,
    },
    /// Only look, until it is resumed.
    Suspend {
        /// The environment.
        environment: String,
        /// Who asks.
        by: String,
        /// Why.
        reason: String,
        /// When it ends by itself.
        until: Option<Timestamp>,
    },
    /// Act again.
    Resume {
        /// The environment.
        environment: String,
        /// Who asks.
        by: String,
    },
}

/// A command, and where its answer goes: a sentence of what was done, or why it was not.
#[derive(Debug)]
pub struct Order {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<String, String>>,
}

/// How an order can fail before the controller has answered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Too many wait already.
    Busy,
    /// The controller has ended.
    Gone,
    /// It takes too long; it may still be done.
    Late,
}

/// The end that people and GitHub talk into.
#[derive(Debug, Clone)]
pub struct Hooks {
    looks: mpsc::Sender<Look>,
    orders: mpsc::Sender<Order>,
}

/// The end that the controller listens at.
#[derive(Debug)]
pub struct Asked {
    /// Requests to look now.
    pub looks: mpsc::Receiver<Look>,
    /// Orders.
    pub orders: mpsc::Receiver<Order>,
}

/// How many may wait in a channel.
const WAITING: usize = 16;
/// How long an order waits for its answer.
const ANSWER: Duration = Duration::from_secs(10);

impl Hooks {
    /// Both ends.
    pub fn pair() -> (Hooks, Asked) {
        let (looks, asked_looks) = mpsc::channel(WAITING);
        let (orders, asked_orders) = mpsc::channel(WAITING);
        let asked = Asked {
            looks: asked_looks,
            orders: asked_orders,
        };
        (Hooks { looks, orders }, asked)
    }

    /// Gives an order and waits for its answer.
    pub(super) async fn order(
        &self,
        command: Command,
    ) -> Result<Result<String, String>, Unanswered> {
        let (reply, answer) = oneshot::channel();
        match self.orders.try_send(Order { command, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Unanswered::Busy),
            Err(TrySendError::Closed(_)) => return Err(Unanswered::Gone),
        }
        match tokio::time::timeout(ANSWER, answer).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(_)) => Err(Unanswered::Gone),
            Err(_) => Err(Unanswered::Late),
        }
    }
}

/// Asks for looks, at most one an interval: the first at once, and of all that come until the interval is over one at its end.
#[derive(Debug, Clone)]
pub(super) struct Bell {
    hooks: Hooks,
    clock: Clock,
    interval: Duration,
    metrics: Metrics,
    state: Arc<Mutex<Rung>>,
}

#[derive(Debug, Default)]
struct Rung {
    last: Option<Timestamp>,
    again: bool,
}

impl Bell {
    pub(super) fn new(hooks: Hooks, clock: Clock, interval: Duration, metrics: Metrics) -> Bell {
        Bell {
            hooks,
            clock,
            interval,
            metrics,
            state: Arc::default(),
        }
    }

    /// Somebody says that there is something new.
    pub(super) fn ring(&self) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = state
            .last
            .map(|last| now.duration_since(last).unsigned_abs())
            .map_or(Duration::ZERO, |since| self.interval.saturating_sub(since));
        if state.again {
            return;
        }
        if rest.is_zero() {
            state.last = Some(now);
            self.send();
            return;
        }
        state.again = true;
        drop(state);
        let bell = self.clone();
        tokio::spawn(async move {
            bell.clock.sleep(rest).await;
            let mut state = bell.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.again = false;
            state.last = Some(bell.clock.now());
            bell.send();
        });
    }

    /// A full channel already holds a look that was not begun, and the controller looks at everything then.
    fn send(&self) {
        let look = Look {
            environment: None,
            why: "push".to_owned(),
        };
        let _ = self.hooks.looks.try_send(look);
        self.metrics.looked_by_webhook();
    }
}
