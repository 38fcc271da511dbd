//! Who is due next, kept in order: nobody is asked until something of theirs is due.

use super::agenda::Agenda;
use super::pace::Pace;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Environments by when something of one sort is due.
#[derive(Debug, Default)]
pub struct Line {
    order: BTreeSet<(Timestamp, Arc<str>)>,
    at: BTreeMap<Arc<str>, Timestamp>,
}

impl Line {
    /// From now on it is due then, or not at all.
    pub fn set(&mut self, name: &str, due: Option<Timestamp>) {
        if self.at.get(name).copied() == due {
            return;
        }
        if let Some((name, before)) = self.at.remove_entry(name) {
            self.order.remove(&(before, name));
        }
        if let Some(due) = due {
            let name: Arc<str> = name.into();
            self.order.insert((due, name.clone()));
            self.at.insert(name, due);
        }
    }

    /// When the first one is due.
    pub fn first(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Up to so many that are due by a moment, the first one first.
    pub fn by(&self, moment: Timestamp, most: usize) -> Vec<Arc<str>> {
        let due = self.order.iter().take_while(|(due, _)| *due <= moment);
        due.take(most).map(|(_, name)| name.clone()).collect()
    }
}

/// All that is due.
#[derive(Debug, Default)]
pub struct Due {
    /// Looks with a cause.
    pub woken: Line,
    /// Looks without one, which can wait for the budget.
    pub routine: Line,
    /// Beats.
    pub beats: Line,
}

impl Due {
    /// As an agenda says; nothing is due of what goes on, or is gone. Only who was seen and is led is beaten.
    pub fn set(&mut self, name: &str, agenda: Option<&Agenda>, is_beaten: bool, pace: &Pace) {
        self.woken.set(name, agenda.and_then(Agenda::next_woken));
        let routine = agenda.map(|agenda| agenda.next_routine(pace));
        self.routine.set(name, routine);
        let beat = agenda.filter(|_| is_beaten);
        self.beats
            .set(name, beat.and_then(|agenda| agenda.next_beat(pace)));
    }
}
