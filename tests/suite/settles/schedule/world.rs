//! The world that a schedule begins with: what its first wish asks for, with drift, and a service that nobody declares.

use super::super::chance::Chance;
use super::super::deployment::{Held, Load, Made, Outcome, Run, Variables};
use super::super::model::{Committed, State, Stored};
use super::super::wish::{
    ByWish, CLOSED, CLOSED_IMAGE, CLOSING, Content, DATABASES, Family, REGISTRY_TOKEN,
    ReplicasWish, ServiceWish, SettingsWish, Setup, VariableWish, Wish, at, domain,
};
use super::secret;
use jiff::SignedDuration;
use reconciler::world::railway::{
    AUTHOR, Field, Ready, RestartPolicy, SettingName, SettingValue, Settings, Source,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub fn drawn(chance: &mut Chance, family: &Family) -> State {
    let wish = &family.wishes[0];
    let mut patches = Vec::new();
    let mut shared = variables(chance, &wish.shared, 40, &mut |name| {
        ours(&mut patches, "", name);
    });
    // Nobody tells of a shared one that it is sealed.
    shared.values_mut().for_each(|held| held.sealed = false);
    let mut services = BTreeMap::new();
    for (name, setup) in &family.setups {
        let stored = stored(chance, name, setup, wish, &shared, &mut patches);
        services.insert(name.clone(), Arc::new(stored));
    }
    services.insert("postgres".to_owned(), Arc::new(foreign(&shared)));
    let ids: Vec<String> = services.values().map(|stored| stored.id.clone()).collect();
    patches.extend(older(chance, &ids));
    if chance.percent(15) {
        let field = Field::Variable("LOG_LEVEL".to_owned());
        patches.push(patch("old-last", "before", -20, &chance.pick(&ids), field));
    }
    patches.sort_by_key(|patch| patch.created_at);
    State {
        services,
        shared: Arc::new(shared),
        patches: patches.into_iter().map(Arc::new).collect(),
        staged: Vec::new(),
    }
}

fn patch(id: &str, message: &str, seconds: i64, owner: &str, field: Field) -> Committed {
    Committed {
        id: id.to_owned(),
        message: message.to_owned(),
        created_at: at(seconds),
        applied_at: at(seconds),
        touched: BTreeMap::from([(owner.to_owned(), BTreeSet::from([field]))]),
        failed: None,
    }
}

/// What was made by a commit of long ago bears our name.
const MADE: i64 = -6000;

fn ours(patches: &mut Vec<Committed>, owner: &str, name: &str) {
    let message = format!("{AUTHOR}{name} [00000000]");
    let id = format!("old-ours-{}", patches.len());
    let field = Field::Variable(name.to_owned());
    patches.push(patch(&id, &message, MADE, owner, field));
}

fn older(chance: &mut Chance, ids: &[String]) -> Vec<Committed> {
    (0..chance.below(11))
        .map(|position| {
            // None at the moment when we made something: nobody could tell whose it is.
            let seconds = -7140 + i64::try_from(position).expect("small") * 240;
            let field = chance.pick(&[
                Field::Image,
                Field::Variable("LOG_LEVEL".to_owned()),
                Field::Variable("SIGNING_KEY".to_owned()),
                Field::Replicas,
                Field::Setting(SettingName::Start),
                Field::Other("networking".to_owned()),
            ]);
            let id = format!("old-{position}");
            patch(&id, "before", seconds, &chance.pick(ids), field)
        })
        .collect()
}

fn stored(
    chance: &mut Chance,
    name: &str,
    setup: &Setup,
    whole: &Wish,
    shared: &BTreeMap<String, Held>,
    patches: &mut Vec<Committed>,
) -> Stored {
    let wish = &whole.services[name];
    let drifts = chance.percent(60);
    let settings = settings(chance, setup, &wish.settings, drifts);
    let share = if drifts { 40 } else { 0 };
    let own = variables(chance, &wish.variables, share, &mut |name| {
        ours(patches, &setup.id, name);
    });
    let mut stored = Stored {
        source: source(chance, setup, &own_content(whole, name), drifts),
        updates_itself: !setup.repository && chance.percent(2),
        registry: wish
            .registry
            .as_ref()
            .filter(|_| chance.percent(50))
            .map(|_| ("deploy".to_owned(), secret(REGISTRY_TOKEN, 1), at(-4000))),
        push_to_deploy: setup.repository && chance.percent(50),
        placement: placement(chance, setup, wish, &settings, drifts),
        settings: Arc::new(settings),
        variables: Arc::new(own),
        has_volume: setup.has_volume,
        domain: setup.has_domain.then(|| domain(name)),
        by_file: setup.by_file.map(from_file),
        ..Stored::new(&setup.id)
    };
    if setup.repository {
        let commit = whole.content(name).commit.filter(|_| !drifts);
        stored.head = Some(commit.unwrap_or_else(|| "1".repeat(40)));
    }
    close(chance, whole, name, &mut stored);
    stored.runs = runs(chance, &stored, shared);
    let differs = |run: &Arc<Run>| run.load.settings.start != stored.settings.start;
    if stored.by_file.is_none() && stored.runs.iter().any(differs) {
        let field = Field::Setting(SettingName::Start);
        let id = format!("old-start-{}", setup.id);
        patches.push(patch(&id, "before", -5000, &setup.id, field));
    }
    stored
}

/// What a service runs when nothing closes it.
fn own_content(wish: &Wish, name: &str) -> Content {
    let open = Wish {
        maintenance: None,
        ..wish.clone()
    };
    open.content(name)
}

fn source(chance: &mut Chance, setup: &Setup, content: &Content, drifts: bool) -> Source {
    if setup.repository {
        return Source::Repository {
            name: "acme/app".to_owned(),
        };
    }
    let wanted = content
        .image
        .clone()
        .filter(|_| !drifts || chance.percent(50));
    let other = if setup.is_database {
        chance.pick(DATABASES)
    } else {
        "ghcr.io/acme/app:1.4.1"
    };
    Source::Image(wanted.unwrap_or_else(|| other.to_owned()))
}

/// Closed already, or closed although nobody asks for it any more.
fn close(chance: &mut Chance, wish: &Wish, name: &str, stored: &mut Stored) {
    let Some(maintenance) = wish.maintenance_of(name) else {
        return;
    };
    let share = if maintenance.enabled { 35 } else { 20 };
    if !chance.percent(share) {
        return;
    }
    match (&maintenance.by, &stored.source) {
        (ByWish::Variable(value), _) => {
            let held = Held {
                value: value.clone(),
                ..held(CLOSED[0], false)
            };
            Arc::make_mut(&mut stored.variables).insert(CLOSING.to_owned(), held);
        }
        (ByWish::Image { .. }, Source::Image(_)) => {
            stored.source = Source::Image(CLOSED_IMAGE.to_owned());
        }
        (ByWish::Image { .. }, Source::Repository { .. } | Source::Nothing) => {}
    }
}

fn from_file(name: SettingName) -> SettingValue {
    match name {
        SettingName::Start => SettingValue::Start(Some("node from-file.js".to_owned())),
        SettingName::Ready => SettingValue::Ready(Ready {
            path: Some("/from-file".to_owned()),
            within_seconds: 300,
        }),
        _ => SettingValue::Sleep(true),
    }
}

fn settings(chance: &mut Chance, setup: &Setup, wish: &SettingsWish, drifts: bool) -> Settings {
    let mut settings = Settings {
        start: chance.percent(20).then(|| "node old.js".to_owned()),
        cron: setup.has_schedule.then(|| "0 3 * * *".to_owned()),
        ..Settings::default()
    };
    let foreign = settings.clone();
    wish.over(&mut settings);
    for name in SettingName::ALL {
        if drifts && wish.declares(name) && chance.percent(40) {
            settings.set(foreign.value(name));
        }
    }
    if drifts && chance.percent(10) {
        settings.restart_policy = RestartPolicy::OnFailure(7);
    }
    settings
}

fn placement(
    chance: &mut Chance,
    setup: &Setup,
    wish: &ServiceWish,
    settings: &Settings,
    drifts: bool,
) -> BTreeMap<String, u32> {
    if setup.has_volume || settings.cron.is_some() {
        return BTreeMap::from([("us-west2".to_owned(), 1)]);
    }
    if drifts && chance.percent(40) {
        return chance
            .pick(&[
                vec![],
                vec![("us-west2", 2)],
                vec![("europe-west4", 1), ("us-west2", 3)],
            ])
            .into_iter()
            .map(|(region, count)| (region.to_owned(), count))
            .collect();
    }
    match &wish.replicas {
        Some(ReplicasWish::Number(count)) => BTreeMap::from([("us-west2".to_owned(), *count)]),
        Some(ReplicasWish::Regions(regions)) => regions.clone(),
        None => BTreeMap::from([("us-west2".to_owned(), 1)]),
    }
}

fn held(value: &str, sealed: bool) -> Held {
    Held {
        value: value.to_owned(),
        sealed,
        created_at: at(-60_000),
        written_at: at(-60_000),
        is_ours: false,
    }
}

/// Variables as wished, a share of them otherwise; `ours` is told of those that a commit of ours has made.
fn variables(
    chance: &mut Chance,
    wish: &BTreeMap<String, VariableWish>,
    other_percent: u64,
    ours: &mut dyn FnMut(&str),
) -> BTreeMap<String, Held> {
    let foreign = held("foreign-5ecret", false);
    let mut variables = BTreeMap::from([("FOREIGN".to_owned(), foreign)]);
    for (name, wanted) in wish {
        let is_other = chance.percent(other_percent);
        let value = match wanted {
            _ if is_other && chance.percent(30) => None,
            _ if is_other => Some(held("other-5ecret", chance.percent(10))),
            VariableWish::Absent => None,
            VariableWish::Secret { name, sealed, .. } => Some(held(&secret(name, 1), *sealed)),
            VariableWish::Text(_) | VariableWish::Number(_) | VariableWish::Flag(_) => {
                Some(held(&wanted.text().expect("it is text"), false))
            }
        };
        let Some(mut value) = value else {
            continue;
        };
        if chance.percent(30) {
            value.is_ours = true;
            (value.created_at, value.written_at) = (at(MADE), at(MADE));
            ours(name);
        } else if chance.percent(50) {
            value.written_at = at(-4000);
        }
        variables.insert(name.clone(), value);
    }
    variables
}

/// One to three deployments, the newest of what is stored.
fn runs(chance: &mut Chance, stored: &Stored, shared: &BTreeMap<String, Held>) -> Vec<Arc<Run>> {
    if chance.percent(4) {
        return Vec::new();
    }
    let shared: Variables = Arc::new(shared.clone());
    let count = i64::try_from(chance.between(1, 3)).expect("small");
    let newest_at = chance.pick(&[-3600, -3600, -3600, -600, -8]);
    let mut runs: Vec<Arc<Run>> = (0..count)
        .map(|age| {
            let mut load = stored.load(None, &shared);
            if age > 0 {
                age_by(chance, age, &mut load);
            }
            let outcome = if age == 0 {
                Outcome::of(&load)
            } else {
                Outcome::Good
            };
            let created_at = at(newest_at - age * 9000);
            Arc::new(Run {
                id: format!("old-{}-{age}", stored.id),
                created_at,
                up_at: created_at + SignedDuration::from_secs(5),
                outcome,
                load,
                made: Made::FromStored,
                patch: None,
                stopped_at: None,
                removed_at: None,
                by: None,
            })
        })
        .collect();
    runs.reverse();
    runs
}

/// What an older deployment ran otherwise.
fn age_by(chance: &mut Chance, age: i64, load: &mut Load) {
    match load.image.as_deref() {
        Some(image) if DATABASES.contains(&image) => {
            load.image = Some(chance.pick(DATABASES).to_owned());
        }
        Some(_) => load.image = Some(format!("ghcr.io/acme/app:1.4.{}", 3 - age)),
        None => {}
    }
    if chance.percent(25) {
        let settings = Arc::make_mut(&mut load.settings);
        settings.start = Some("node older.js".to_owned());
    }
    // What was written since ran with another value then.
    let since = at(-9000);
    let late: Vec<String> = load
        .variables
        .iter()
        .filter(|(_, held)| held.written_at > since)
        .map(|(name, _)| name.clone())
        .collect();
    for name in late {
        let variables = Arc::make_mut(&mut load.variables);
        if let Some(held) = variables.get_mut(&name) {
            held.value = "older-5ecret".to_owned();
        }
    }
}

/// A service that no manifest names: nobody of ours may touch it.
fn foreign(shared: &BTreeMap<String, Held>) -> Stored {
    let mut stored = Stored {
        source: Source::Image("postgres:17".to_owned()),
        variables: Arc::new(BTreeMap::from([(
            "PGPASSWORD".to_owned(),
            held("postgres-5ecret", false),
        )])),
        has_volume: true,
        ..Stored::new("service-foreign")
    };
    let load = stored.load(None, &Arc::new(shared.clone()));
    stored.runs = vec![Arc::new(Run {
        id: "old-foreign".to_owned(),
        created_at: at(-90_000),
        up_at: at(-89_000),
        outcome: Outcome::Good,
        load,
        made: Made::FromStored,
        patch: None,
        stopped_at: None,
        removed_at: None,
        by: None,
    })];
    stored
}
