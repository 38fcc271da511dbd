//! What must be true in the end: what git says is so, or what stands in the way is known and said.

mod hindrance;
mod service;

use super::law::Law;
use super::model::{SHARED, State, Stored};
use super::oracles::{is_closed, shows, url};
use super::schedule::Schedule;
use super::stage::{Ended, Scene, is_fresh, services};
use super::view;
use super::wish::{Consent, ReplicasWish, Risk, SITE, VariableWish, Wish};
use hindrance::{Hindrance, Hindrances};
use jiff::{SignedDuration, Timestamp};
use reconciler::kinds::step::Ask;
use reconciler::plan::Plan;
use service::{Judged, is_stuck, variable};
use std::collections::BTreeMap;

/// L1: in step, or held for a cause that the schedule explains.
pub fn judge(scene: &mut Scene, plan: &Plan) {
    for words in differences(&scene.ground(), plan) {
        scene.violate("l1_converges", words);
    }
}

/// What an end is judged by: the truth, and what explains that it is not as git says.
pub struct Ground<'a> {
    pub state: &'a State,
    pub schedule: &'a Schedule,
    pub now: Timestamp,
    /// The services that somebody edited by hand, and when; "" for what all share.
    pub edits: &'a [(Timestamp, String)],
    /// The consents that were used.
    pub used: Vec<Consent>,
    /// How many patches of the history a look shows.
    pub visible: usize,
}

impl Scene {
    fn ground(&self) -> Ground<'_> {
        Ground {
            state: &self.model.state,
            schedule: &self.schedule,
            now: self.model.now,
            edits: &self.edits,
            used: self
                .used
                .iter()
                .map(|(consent, _)| consent.clone())
                .collect(),
            visible: if self.schedule.switches.first_look_has_history {
                view::FIRST
            } else {
                view::ANSWERED
            },
        }
    }
}

impl Ground<'_> {
    fn law(&self) -> Law<'_> {
        self.schedule.law(self.schedule.wishes().len() - 1)
    }

    /// Whether what a look shows of the history goes back to a moment.
    fn reaches(&self, moment: Timestamp) -> bool {
        let patches = &self.state.patches;
        match patches.len().checked_sub(self.visible) {
            None | Some(0) => true,
            Some(hidden) => patches[hidden].applied_at < moment,
        }
    }

    /// Whether a consent to a risk holds that was not used, and of which that can be seen.
    fn allows(&self, wish: &Wish, risk: &Risk) -> bool {
        let expire = SignedDuration::from_secs(wish.expire_seconds);
        wish.consents.iter().any(|consent| {
            consent.risk == *risk
                && consent.until > self.now
                && !self.used.contains(consent)
                && self.reaches(consent.until - expire)
        })
    }
}

/// Everything that is neither in step nor held for a cause.
pub fn differences(ground: &Ground<'_>, plan: &Plan) -> Vec<String> {
    let law = ground.law();
    let mut found = Vec::new();
    let mut hindered: BTreeMap<String, Hindrances> = BTreeMap::new();
    for name in law.wish.services.keys() {
        let hindrances = match ground.state.services.get(name) {
            None => Hindrances::from([Hindrance::Gone]),
            Some(stored) => {
                let judged = Judged::new(ground, law, name, stored);
                let differences = judged.differences().into_iter();
                found.extend(differences.map(|words| format!("{name}: {words}")));
                judged.hindrances.clone()
            }
        };
        hindered.insert(format!("Service/{name}"), hindrances);
    }
    deletions(ground, law, &mut found, &mut hindered);
    let shared = shared(ground, law.wish, &mut found);
    hindered.insert("Environment/production".to_owned(), shared);
    let site = site(ground, law, &mut found, &hindered);
    hindered.insert(format!("Maintenance/{SITE}"), site);
    for step in &plan.steps {
        let what = reconciler::plan::text::what(step);
        match &step.ask {
            Ask::Told(_) => {}
            Ask::Hold { by, cause, .. } => {
                let explains = |hindrance: &Hindrance| hindrance.causes().contains(cause);
                let known = hindered.get(&step.of.to_string());
                if !known.is_some_and(|known| known.iter().any(explains)) {
                    found.push(format!("held without a cause: {what}, by {by}"));
                }
            }
            Ask::Make(_) | Ask::Wait { .. } | Ask::Unseen(_) => {
                found.push(format!("not settled: {what} {:?}", step.ask));
            }
        }
    }
    found
}

/// Services that the commit before declared: gone where somebody consented.
fn deletions(
    ground: &Ground<'_>,
    law: Law<'_>,
    found: &mut Vec<String>,
    hindered: &mut BTreeMap<String, Hindrances>,
) {
    for (name, stored) in &ground.state.services {
        if !law.deletes(name) {
            continue;
        }
        let risk = Risk::Deletion {
            service: name.clone(),
            id: stored.id.clone(),
            has_volume: stored.has_volume,
        };
        if ground.allows(law.wish, &risk) {
            found.push(format!("{name}: it is still there"));
        } else {
            let hindrances = Hindrances::from([Hindrance::NoConsent]);
            hindered.insert(format!("Service/{name}"), hindrances);
        }
    }
}

/// The shared variables.
fn shared(ground: &Ground<'_>, wish: &Wish, found: &mut Vec<String>) -> Hindrances {
    let mut hindrances = hindrance::of_patches(ground.state);
    let blocks = !hindrances.is_empty();
    for (name, wanted) in &wish.shared {
        let held = ground.state.shared.get(name);
        match is_stuck(ground, held, wanted) {
            Some(hindrance) => {
                hindrances.insert(hindrance);
            }
            None if !blocks => {
                let differs = variable(ground, SHARED, name, held, wanted);
                found.extend(differs.map(|words| format!("shared {words}")));
            }
            None => {}
        }
    }
    hindrances
}

/// The page, and the alarms of the Maintenance.
fn site(
    ground: &Ground<'_>,
    law: Law<'_>,
    found: &mut Vec<String>,
    hindered: &BTreeMap<String, Hindrances>,
) -> Hindrances {
    let mut hindrances = Hindrances::new();
    let was = law.before.and_then(|before| before.maintenance.as_ref());
    let Some(maintenance) = &law.wish.maintenance else {
        if was.is_some_and(|was| was.enabled) {
            hindrances.insert(Hindrance::LeftOn);
        }
        return hindrances;
    };
    if maintenance.enabled && maintenance.until <= ground.now {
        hindrances.insert(Hindrance::Overdue);
    }
    let has_domain = |service: &str| {
        let stored = ground.state.services.get(service);
        stored.is_some_and(|stored| stored.domain.is_some())
    };
    let Some(url) = url(law.wish, has_domain) else {
        return hindrances;
    };
    let page = view::page(ground.state, &url, ground.now);
    if shows(maintenance, &page) {
        return hindrances;
    }
    let is_wrong = maintenance.page.as_ref().is_some_and(|page| page.is_wrong);
    // Somebody may have closed it in a way of their own, or gone back to what was closed.
    let explains = |service: &String| {
        law.stops(service)
            || !has_domain(service)
            || hindered
                .get(&format!("Service/{service}"))
                .is_none_or(|hindrances| !hindrances.is_empty())
            || is_down(ground, service)
            || !maintenance.enabled && is_closed(&ground.state.services[service])
            || ground.edits.iter().any(|(_, edited)| edited == service)
    };
    if is_wrong || maintenance.services.iter().any(explains) {
        hindrances.insert(Hindrance::Page);
    } else {
        found.push(format!("{SITE}: customers see {} at {url}", page.status));
    }
    hindrances
}

/// Whether nothing serves, and git does not say what should.
fn is_down(ground: &Ground<'_>, service: &str) -> bool {
    let stored = &ground.state.services[service];
    super::deployment::serving(&stored.runs, ground.now).is_none()
}

/// What the last commit owns of what is stored, and what runs, in words that two runs can be compared by: no ids and no times.
///
/// What an earlier commit has set and the last one does not name is nobody's: it depends on when the earlier one was interrupted.
/// So does which consents were used before.
pub fn stored(scene: &Scene) -> Vec<String> {
    let wish = scene.schedule.last_wish();
    let state = &scene.model.state;
    let shared = owned_variables(&wish.shared, &state.shared);
    let owned = |name: &String| match state.services.get(name) {
        Some(stored) => owned(wish, name, stored),
        None => "gone".to_owned(),
    };
    let services = wish.services.keys();
    services
        .map(|name| format!("{name}: {}", owned(name)))
        .chain([format!("shared: {shared:?}")])
        .collect()
}

fn owned(wish: &Wish, name: &str, stored: &Stored) -> String {
    let service = &wish.services[name];
    if service.stopped == Some(true) {
        return "stopped".to_owned();
    }
    let variables = owned_variables(&service.variables, &stored.variables);
    // A number says nothing of the region: that is wherever most of them were.
    let replicas = service.replicas.as_ref().map(|wish| match wish {
        ReplicasWish::Number(_) => format!("{}", stored.placement.values().sum::<u32>()),
        ReplicasWish::Regions(regions) => format!(
            "{:?}",
            regions
                .keys()
                .map(|region| stored.placement.get(region))
                .collect::<Vec<_>>()
        ),
    });
    let lacking = wish
        .settings(name, &stored.source)
        .lacking(&stored.settings);
    let is_consented = stored.has_volume && !wish.consents.is_empty();
    let fits = wish.fitting(name, &stored.source).is_some();
    let runs = stored
        .runs
        .last()
        .filter(|_| fits && !is_consented)
        .map(|run| (&run.load.image, &run.load.commit));
    let closed = wish.is_closed(name).map(|_| is_closed(stored));
    format!("{replicas:?} {lacking:?} {runs:?} {closed:?} {variables:?}")
}

/// What is sealed cannot be compared, so which value it has depends on who wrote it last.
fn owned_variables(
    wish: &BTreeMap<String, VariableWish>,
    stored: &super::deployment::Variables,
) -> Vec<String> {
    let value = |name: &String| {
        stored
            .get(name)
            .map(|held| (Some(&held.value).filter(|_| !held.sealed), held.sealed))
    };
    wish.keys()
        .map(|name| format!("{name} {:?}", value(name)))
        .collect()
}

/// S11: so many fresh writes of a service have a reason, and no more.
pub fn judge_effort(scene: &mut Scene) {
    let mut done: BTreeMap<String, usize> = BTreeMap::new();
    for sent in scene.sent.iter().filter(|sent| {
        is_fresh(&sent.write)
            && matches!(sent.end, Ended::Accepted | Ended::Unclear | Ended::Crashed)
    }) {
        for service in services(&sent.write) {
            *done.entry(service).or_default() += 1;
        }
    }
    let wishes = scene.schedule.wishes().len();
    let lost = scene
        .sent
        .iter()
        .filter(|sent| matches!(sent.end, Ended::Unclear | Ended::Crashed))
        .count();
    // Every content may take a patch and a deployment; so may every edit by hand, the clearing up, and a change of secrets.
    let reasons = 2 * (wishes + scene.counts.hands + 2) + lost + scene.counts.duplicates;
    for (service, count) in done {
        if count > reasons {
            scene.violate(
                "s11_bounded_work",
                format!("{count} fresh writes for {service}, and only {reasons} reasons"),
            );
        }
    }
}
