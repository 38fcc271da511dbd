//! One service in the end: what stands in its way, and what is not as git says although nothing does.

use super::super::deployment::{Held, Load, Made, Outcome, Run, status};
use super::super::law::Law;
use super::super::model::Stored;
use super::super::oracles::is_closed;
use super::super::schedule::seconds;
use super::super::switches::OverStaged;
use super::super::wish::{
    BAD_COMMAND, ByWish, CLOSING, Content, PRIVATE_IMAGE, REGISTRY_TOKEN, ReplicasWish, Risk,
    ServiceWish, SettingsWish, VariableWish, is_bad, may_lose,
};
use super::Ground;
use super::hindrance::{Hindrance, Hindrances, of_patches};
use jiff::Timestamp;
use reconciler::world::Seen;
use reconciler::world::railway::{Field, SettingName, Source, Status};

/// A service with all that it is judged by.
pub struct Judged<'a> {
    ground: &'a Ground<'a>,
    law: Law<'a>,
    name: &'a str,
    stored: &'a Stored,
    wish: &'a ServiceWish,
    content: Content,
    settings: SettingsWish,
    pub hindrances: Hindrances,
}

impl<'a> Judged<'a> {
    pub fn new(ground: &'a Ground<'a>, law: Law<'a>, name: &'a str, stored: &'a Stored) -> Self {
        let wish = &law.wish.services[name];
        let mut judged = Judged {
            ground,
            law,
            name,
            stored,
            wish,
            content: law.wish.content(name),
            settings: law.wish.settings(name, &stored.source),
            hindrances: Hindrances::new(),
        };
        judged.hindrances = judged.found_hindrances();
        judged
    }

    /// What stands in the way of this service.
    fn found_hindrances(&self) -> Hindrances {
        let mut hindrances = of_patches(self.ground.state);
        let mut add = |is: bool, what: Hindrance| {
            if is {
                hindrances.insert(what);
            }
        };
        let image = self.content.image.as_deref();
        let is_image = !matches!(self.stored.source, Source::Repository { .. });
        let is_closed = self.law.wish.closed_by_image(self.name).is_some();
        add(
            is_image && image.is_some_and(|image| image.contains("/forbidden/")),
            Hindrance::Forbidden,
        );
        add(self.clashes(), Hindrance::Clash);
        add(
            self.stored.updates_itself && is_image && image.is_some() && !is_closed,
            Hindrance::Moves,
        );
        let says_something = image.is_some() || self.content.commit.is_some();
        add(self.wanted().is_none() && says_something, Hindrance::Kind);
        add(self.is_bad(), Hindrance::Bad);
        let newest = self.stored.runs.last();
        add(
            newest.is_some_and(|run| run.outcome != Outcome::Good),
            Hindrance::Failed,
        );
        add(self.places_wrongly(), Hindrance::Placement);
        let lacks_token = !self.ground.schedule.has_secret(REGISTRY_TOKEN);
        add(
            self.wish.registry.is_some() && lacks_token,
            Hindrance::NoSecret,
        );
        add(self.lacks_consent(), Hindrance::NoConsent);
        let stuck = self.wish.variables.iter().filter_map(|(name, wanted)| {
            is_stuck(self.ground, self.stored.variables.get(name), wanted)
        });
        hindrances.extend(stuck.collect::<Vec<_>>());
        hindrances
    }

    fn has(&self, any: &[Hindrance]) -> bool {
        any.iter()
            .any(|hindrance| self.hindrances.contains(hindrance))
    }

    /// The content that fits what the service is built from.
    fn wanted(&self) -> Option<&String> {
        match self.stored.source {
            Source::Repository { .. } => self.content.commit.as_ref(),
            Source::Image(_) | Source::Nothing => self.content.image.as_ref(),
        }
    }

    fn is_bad(&self) -> bool {
        let relevant = match self.stored.source {
            Source::Repository { .. } => Content {
                image: None,
                commit: self.content.commit.clone(),
            },
            Source::Image(_) | Source::Nothing => Content {
                image: self.content.image.clone(),
                commit: None,
            },
        };
        let is_private = relevant.image.as_deref() == Some(PRIVATE_IMAGE);
        let breaks = |command: Option<&String>| command.is_some_and(|it| it == BAD_COMMAND);
        is_bad(&relevant)
            || is_private && self.stored.registry.is_none()
            || breaks(self.stored.settings.before_deploy.as_ref())
            || breaks(
                self.settings
                    .before_deploy
                    .as_ref()
                    .and_then(Option::as_ref),
            )
    }

    fn clashes(&self) -> bool {
        let is_wished = matches!(self.settings.cron, Some(Some(_)));
        let placement = &self.stored.placement;
        let after = match &self.wish.replicas {
            Some(ReplicasWish::Number(count)) => *count,
            Some(ReplicasWish::Regions(regions)) => regions.values().sum(),
            None => placement.values().sum(),
        };
        is_wished && self.stored.settings.cron.is_none() && after > 1
    }

    fn places_wrongly(&self) -> bool {
        let placement = &self.stored.placement;
        let total = match &self.wish.replicas {
            None => return false,
            Some(ReplicasWish::Number(count)) if placement.is_empty() => return *count != 1,
            Some(ReplicasWish::Number(count)) => *count,
            Some(ReplicasWish::Regions(regions)) => regions.values().sum(),
        };
        total > 1 && self.stored.has_one()
    }

    fn lacks_consent(&self) -> bool {
        let (Source::Image(from), Some(to)) = (&self.stored.source, &self.content.image) else {
            return false;
        };
        let risk = || Risk::Image {
            service: self.name.to_owned(),
            from: from.clone(),
            to: to.clone(),
        };
        self.stored.has_volume && may_lose(from, to) && !self.ground.allows(self.law.wish, &risk())
    }

    /// Everything that is not as git says although nothing stands in the way.
    pub fn differences(&self) -> Vec<String> {
        if self.wish.stopped == Some(true) {
            return self.stops().into_iter().collect();
        }
        let mut found = Vec::new();
        found.extend(self.pushes());
        found.extend(self.closing());
        let blocks = self.has(&[
            Hindrance::Staged,
            Hindrance::FailedPatch,
            Hindrance::Forbidden,
            Hindrance::Clash,
        ]);
        if blocks {
            return found;
        }
        found.extend(self.replicas());
        found.extend(self.lacking_settings());
        found.extend(self.registry());
        found.extend(self.variables());
        found.extend(self.image());
        let is_hindered = self.has(&[
            Hindrance::Bad,
            Hindrance::Kind,
            Hindrance::Moves,
            Hindrance::NoConsent,
        ]);
        if !is_hindered {
            found.extend(self.running());
        }
        found
    }

    /// Nothing of a stopped service runs, or will.
    fn stops(&self) -> Option<String> {
        let (runs, now) = (&self.stored.runs, self.ground.now);
        let is_running = |position: &usize| {
            let status = status(runs, *position, now);
            matches!(status, Status::Healthy | Status::Rolling(_))
                && !runs[*position].is_stopped(now)
        };
        let runs_still = (0..runs.len()).find(is_running);
        runs_still.map(|position| format!("it is to be stopped, and {} runs", runs[position].id))
    }

    fn pushes(&self) -> Option<String> {
        let wanted = self.wish.push_to_deploy?;
        let is_repository = matches!(self.stored.source, Source::Repository { .. });
        (is_repository && self.stored.push_to_deploy != wanted)
            .then(|| format!("push to deploy is {}", self.stored.push_to_deploy))
    }

    /// Closing by a variable goes past what somebody staged, and is not held up by what is refused beside it.
    fn closing(&self) -> Option<String> {
        let maintenance = self.law.wish.maintenance_of(self.name)?;
        let by_variable = matches!(maintenance.by, ByWish::Variable(_));
        let is_repository = matches!(self.stored.source, Source::Repository { .. });
        let blocked = match (maintenance.enabled, by_variable) {
            (true, true) => self.has(&[Hindrance::FailedPatch]),
            (true, false) => {
                is_repository
                    || self.has(&[Hindrance::FailedPatch, Hindrance::Staged, Hindrance::Clash])
            }
            // Somebody may have closed it in another way, which is not git's.
            (false, _) => return None,
        };
        if blocked {
            return None;
        }
        if !is_closed(self.stored) {
            return Some("it is to be closed, and is stored open".to_owned());
        }
        let newest = self.stored.runs.last()?;
        let is_up = status(
            &self.stored.runs,
            self.stored.runs.len() - 1,
            self.ground.now,
        ) == Status::Healthy;
        (is_up && !newest.load.is_closed() && !self.is_murky(newest))
            .then(|| format!("it is to be closed, and {} is open", newest.id))
    }

    fn replicas(&self) -> Option<String> {
        if self.has(&[Hindrance::Placement]) {
            return None;
        }
        let placement = &self.stored.placement;
        let fits = match self.wish.replicas.as_ref()? {
            ReplicasWish::Number(1) if placement.is_empty() => true,
            ReplicasWish::Number(count) => {
                placement.len() == 1 && placement.values().sum::<u32>() == *count
            }
            ReplicasWish::Regions(regions) => placement == regions,
        };
        (!fits).then(|| format!("replicas are {placement:?}"))
    }

    /// Whether a file in the repository decides a setting: then nobody fights it.
    fn is_of_file(&self, name: SettingName) -> bool {
        let by_file = self.stored.by_file.as_ref();
        by_file.is_some_and(|value| value.name() == name)
    }

    fn lacking_settings(&self) -> Vec<String> {
        let lacking = self.settings.lacking(&self.stored.settings).into_iter();
        lacking
            .filter(|(name, _)| !self.is_of_file(*name))
            .map(|(_, words)| words)
            .collect()
    }

    /// What was pulled with them, or without them, needs no credentials.
    fn registry(&self) -> Option<String> {
        let wish = self.wish.registry.as_ref()?;
        if self.has(&[Hindrance::NoSecret]) {
            return None;
        }
        if let Some(after) = wish
            .rotated_after
            .filter(|after| is_due(*after, self.ground.now))
            && self
                .stored
                .registry
                .as_ref()
                .is_none_or(|(.., at)| *at < after)
            && !was_touched_since(self.ground, &self.stored.id, &Field::Registry, after)
        {
            return Some("the registry's credentials were not rotated".to_owned());
        }
        let newest = self.stored.runs.last()?;
        let came_up = newest.outcome == Outcome::Good;
        (!came_up && self.stored.registry.is_none())
            .then(|| "no credentials for the registry are stored".to_owned())
    }

    fn variables(&self) -> Vec<String> {
        let declared = self.wish.variables.iter().filter_map(|(name, wanted)| {
            let held = self.stored.variables.get(name);
            if is_stuck(self.ground, held, wanted).is_some() {
                return None;
            }
            variable(self.ground, &self.stored.id, name, held, wanted)
        });
        // Nobody can tell who made what, once people had their hands in it.
        let can_tell = self.ground.edits.is_empty() && self.ground.reaches(Timestamp::MIN);
        let left = self
            .stored
            .variables
            .iter()
            .filter(|(name, held)| can_tell && held.is_ours && self.law.takes(self.name, name));
        let left = left.map(|(name, _)| format!("{name} is no longer declared, and still there"));
        let open = self.law.wish.closing_value(self.name);
        let is_left_closed = open.is_some_and(|(value, enabled)| {
            let held = self.stored.variables.get(CLOSING);
            !enabled && held.is_some_and(|held| held.value == value && !held.sealed)
        });
        let closed = is_left_closed.then(|| "it is to be open, and is stored closed".to_owned());
        declared.chain(left).chain(closed).collect()
    }

    fn image(&self) -> Option<String> {
        let wanted = self.content.image.as_ref()?;
        if self.has(&[Hindrance::Moves, Hindrance::NoConsent]) {
            return None;
        }
        match &self.stored.source {
            Source::Image(stored) if stored != wanted => {
                Some(format!("the stored image is {stored}"))
            }
            Source::Image(_) | Source::Repository { .. } | Source::Nothing => None,
        }
    }

    /// Whether what runs is what is stored and wanted.
    fn running(&self) -> Vec<String> {
        let now = self.ground.now;
        let Some(newest) = self.stored.runs.last() else {
            return self
                .wanted()
                .map(|_| "nothing was ever deployed".to_owned())
                .into_iter()
                .collect();
        };
        let status = status(&self.stored.runs, self.stored.runs.len() - 1, now);
        let is_up = status == Status::Healthy && !newest.is_stopped(now);
        let shall_run = self.wanted().is_some() || self.wish.stopped == Some(false);
        if !shall_run && !is_up {
            return Vec::new();
        }
        let mut found = Vec::new();
        let runs = newest.load.image.as_ref().or(newest.load.commit.as_ref());
        if let Some(wanted) = self.wanted().filter(|wanted| runs != Some(*wanted)) {
            found.push(format!("{runs:?} runs, and {wanted} is wanted"));
        }
        if !is_up && newest.outcome == Outcome::Good {
            found.push(format!("the newest deployment {} is {status:?}", newest.id));
        }
        if let Some(after) = self
            .wish
            .restarted_after
            .filter(|after| seconds(*after) > -1800 && newest.created_at < *after)
        {
            found.push(format!("not restarted since {after}"));
        }
        if !self.is_murky(newest) {
            found.extend(self.carried(&newest.id, &newest.load));
        }
        found
    }

    /// After edits by hand nobody outside can tell with which variables something runs: a deployment's `meta` does not say.
    fn is_murky(&self, newest: &Run) -> bool {
        let switches = &self.ground.schedule.switches;
        let mut edits = self.ground.edits.iter();
        let is_edited = edits.any(|(_, edited)| edited == self.name || edited.is_empty());
        let is_from_stored = matches!(newest.made, Made::FromStored | Made::ByStoring);
        let merges = switches.over_staged == OverStaged::Merges;
        is_edited && (!is_from_stored || !switches.direct_edits_in_history)
            || merges && !self.ground.edits.is_empty() && !is_from_stored
    }

    fn carried(&self, id: &str, load: &Load) -> Vec<String> {
        let value = |variables: &super::super::deployment::Variables, name: &str| {
            variables.get(name).map(|held| held.value.clone())
        };
        let closing = self
            .law
            .wish
            .closing_value(self.name)
            .map(|_| CLOSING.to_owned());
        let declared = self.wish.variables.keys().chain(closing.as_ref());
        let mut found: Vec<String> = declared
            .filter(|name| value(&load.variables, name) != value(&self.stored.variables, name))
            .map(|name| format!("{id} runs with another {name} than is stored"))
            .collect();
        let shared = self.law.wish.shared.keys().filter(|name| {
            let now = self.ground.state.shared.get(*name).map(|held| &held.value);
            load.shared.get(*name).is_some_and(|ran| Some(ran) != now)
        });
        found.extend(shared.map(|name| format!("{id} runs with another shared {name}")));
        let settings = SettingName::ALL.into_iter().filter(|name| {
            let (runs, stored) = (
                load.settings.value(*name),
                self.stored.settings.value(*name),
            );
            let means_nothing = *name == SettingName::Ready
                && load.settings.ready.path.is_none()
                && self.stored.settings.ready.path.is_none();
            self.settings.declares(*name)
                && !self.is_of_file(*name)
                && runs != stored
                && !means_nothing
        });
        found.extend(settings.map(|name| format!("{id} runs with another {name} than is stored")));
        found
    }
}

/// A one-shot that lies behind, and was not missed.
fn is_due(after: Timestamp, now: Timestamp) -> bool {
    seconds(after) > -1800 && after <= now
}

/// Sealed where git wants it readable, or its secret is missing.
pub fn is_stuck(
    ground: &Ground<'_>,
    held: Option<&Held>,
    wanted: &VariableWish,
) -> Option<Hindrance> {
    let is_sealed = held.is_some_and(|held| held.sealed);
    let sealed = is_sealed.then_some(Hindrance::Sealed);
    match wanted {
        VariableWish::Text(_) | VariableWish::Number(_) | VariableWish::Flag(_) => sealed,
        VariableWish::Absent => None,
        VariableWish::Secret {
            name,
            sealed: shall,
            ..
        } => {
            // Unsealing is impossible with and without the secret.
            let is_there = ground.schedule.has_secret(name);
            let missing = (!is_there).then_some(Hindrance::NoSecret);
            sealed.filter(|_| !*shall).or(missing)
        }
    }
}

/// A variable that is not as git says.
pub fn variable(
    ground: &Ground<'_>,
    owner: &str,
    name: &str,
    held: Option<&Held>,
    wanted: &VariableWish,
) -> Option<String> {
    let plain = |text: &str| text.replace("${{ ", "${{").replace(" }}", "}}");
    let rotated = wanted.rotated_after().is_none_or(|after| {
        let field = Field::Variable(name.to_owned());
        !is_due(after, ground.now)
            || held.is_some_and(|held| held.written_at >= after)
            || was_touched_since(ground, owner, &field, after)
    });
    let fits = match wanted {
        VariableWish::Absent => held.is_none(),
        VariableWish::Secret { sealed: true, .. } => {
            held.is_some_and(|held| held.sealed && !held.value.is_empty())
        }
        VariableWish::Secret { name: secret, .. } => {
            let secrets = ground.schedule.secrets(ground.now);
            let secret = secrets.get(secret).and_then(Seen::facts);
            held.zip(secret)
                .is_some_and(|(held, secret)| secret.reveal() == held.value)
        }
        VariableWish::Text(_) | VariableWish::Number(_) | VariableWish::Flag(_) => held
            .is_some_and(|held| {
                !held.sealed && plain(&held.value) == plain(&wanted.text().expect("it is text"))
            }),
    };
    (!fits || !rotated).then(|| {
        format!(
            "{name} is {:?}",
            held.map(|held| (&held.value, held.sealed))
        )
    })
}

/// A rotation counts as done when any patch after its time touched the field; with too many patches since, nobody can tell.
fn was_touched_since(ground: &Ground<'_>, owner: &str, field: &Field, after: Timestamp) -> bool {
    let since: Vec<_> = ground
        .state
        .patches
        .iter()
        .filter(|patch| patch.applied_at >= after)
        .collect();
    since.len() >= 10
        || since.iter().any(|patch| {
            let touched = patch.touched.get(owner);
            patch.failed.is_none() && touched.is_some_and(|fields| fields.contains(field))
        })
}
