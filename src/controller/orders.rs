//! What people order: to look now, to suspend, to resume.

use super::{Controller, Happened, line_up};
use crate::plan::stance::Suspension;
use crate::serve::{Command, Order};
use crate::store::marks::{self, Marks};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Controller {
    /// Whether somebody left an order in the store, by `reconciler suspend` or `resume`.
    pub(super) fn read_orders(&self) {
        let (store, sender) = (self.tools.store.clone(), self.sender.clone());
        tokio::spawn(async move {
            match marks::orders(&store).await {
                Ok(orders) => drop(sender.send(Happened::Orders(orders))),
                Err(failure) => tracing::debug!(%failure, "orders cannot be read"),
            }
        });
    }

    pub(super) fn ordered(&mut self, orders: BTreeMap<String, Timestamp>) {
        let now = self.now();
        if let Some(before) = &self.orders {
            for (name, at) in &orders {
                if before.get(name) != Some(at)
                    && let Some(led) = self.environments.get_mut(name)
                {
                    led.agenda.wake(now);
                    line_up(&mut self.due, name, Some(led), &self.pace);
                }
            }
        }
        self.orders = Some(orders);
    }

    pub(super) async fn order(&mut self, order: Order) {
        let answer = self.carried_out(order.command).await;
        // Who asked may have gone away.
        let _ = order.reply.send(answer);
    }

    async fn carried_out(&mut self, command: Command) -> Result<String, String> {
        let now = self.now();
        let (environment, by) = match &command {
            Command::Reconcile { environment, by }
            | Command::Suspend {
                environment, by, ..
            }
            | Command::Resume { environment, by } => (environment.clone(), by.clone()),
        };
        let Some(led) = self.environments.get_mut(&environment) else {
            return Err(format!(
                "this controller knows no environment `{environment}`"
            ));
        };
        let stands = Marks::of(&self.tools.store, &environment);
        let said = match command {
            Command::Reconcile { .. } => {
                self.fetch_now(now);
                Ok(format!("{environment} is looked at now"))
            }
            Command::Suspend { reason, until, .. } => {
                let mark = Suspension {
                    by,
                    reason,
                    since: now,
                    until,
                };
                led.stop();
                stands.set_suspended(Some(&mark)).await.map(|()| {
                    format!("{environment} is suspended: it is looked at, and nothing is changed")
                })
            }
            Command::Resume { .. } => {
                let resumed = stands.resume(&marks::Resumed { by, at: now }).await;
                resumed.map(|()| format!("{environment} goes on"))
            }
        };
        if let Some(led) = self.environments.get_mut(&environment) {
            led.agenda.wake(now);
        }
        self.line_up(&environment);
        said.map_err(|failure| failure.to_string())
    }
}
