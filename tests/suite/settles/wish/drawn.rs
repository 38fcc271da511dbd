//! Wishes drawn from a seed: services, and the commits that follow each other over them.

use super::consent::may_lose;
use super::{
    BAD_COMMAND, BAD_COMMITS, BAD_IMAGES, ByWish, CLOSED, COMMITS, Check, Consent, Content,
    DATABASES, IMAGES, MaintenanceWish, PRIVATE_IMAGE, PageWish, RegistryWish, ReplicasWish, Risk,
    Runs, SIGNING_KEY, SMTP_PASSWORD, STRIPE_KEY, ServiceWish, SettingsWish, VariableWish, Wish,
    at, is_bad,
};
use crate::settles::chance::Chance;
use reconciler::world::railway::{RestartPolicy, SettingName};
use std::collections::BTreeMap;

/// What a service is, apart from what git says: it never changes while a schedule lasts.
#[derive(Debug, Clone)]
pub struct Setup {
    pub id: String,
    pub repository: bool,
    pub has_volume: bool,
    pub is_database: bool,
    pub has_schedule: bool,
    pub has_domain: bool,
    /// The setting that a file in its repository decides.
    pub by_file: Option<SettingName>,
}

/// Services and the commits that follow each other over them.
#[derive(Debug, Clone)]
pub struct Family {
    pub setups: BTreeMap<String, Setup>,
    pub wishes: Vec<Wish>,
}

const NAMES: &[&str] = &["web", "worker", "api", "mailer", "search"];
const REGIONS: &[&str] = &["us-west2", "europe-west4", "asia-southeast1"];

impl Family {
    pub fn drawn(seed: u64) -> Family {
        let chance = &mut Chance::new(seed, 1);
        let count = chance.pick(&[1, 1, 1, 2, 2, 2, 3, 3, 4, 5]);
        let setups: BTreeMap<String, Setup> = NAMES[..count]
            .iter()
            .enumerate()
            .map(|(position, name)| ((*name).to_owned(), setup(chance, position)))
            .collect();
        let services: BTreeMap<String, ServiceWish> = setups
            .iter()
            .map(|(name, setup)| (name.clone(), service(chance, setup)))
            .collect();
        let mut first = Wish {
            release: content(chance, 8),
            shared: BTreeMap::new(),
            services,
            maintenance: None,
            consents: Vec::new(),
            expire_seconds: chance.pick(&[3600, 3600, 21_600]),
            removes_entries: !chance.percent(15),
            holds_services: chance.percent(60),
            heal_seconds: None,
            freeze: None,
        };
        if chance.percent(45) {
            (0..4).for_each(|_| shared_variable(chance, &mut first));
        }
        if chance.percent(40) {
            first.maintenance = maintenance(chance, &setups);
        }
        tidy(chance, &mut first, &setups);
        let mut wishes = vec![first];
        for _ in 0..chance.below(4) {
            let next = next(chance, &wishes, &setups);
            wishes.push(next);
        }
        if let Some(last) = wishes.last_mut()
            && chance.percent(85)
        {
            mend(chance, last, &setups);
        }
        Family { setups, wishes }
    }

    /// The same with a time for what did not come from git, and most of them with a window in which nothing is begun.
    pub fn with_policies(mut self, seed: u64) -> Family {
        let chance = &mut Chance::new(seed, 6);
        let heal = chance.pick(&[0, 10, 25, 60, 60]);
        let from = chance.pick(&[-60, 0, 5, 20]);
        let freeze = (at(from), at(from + chance.pick(&[30, 60, 90])));
        let is_frozen = chance.percent(60);
        for wish in &mut self.wishes {
            wish.heal_seconds = Some(heal);
            // A commit may lift it.
            wish.freeze = Some(freeze).filter(|_| is_frozen && !chance.percent(15));
        }
        self
    }
}

fn setup(chance: &mut Chance, position: usize) -> Setup {
    let is_database = chance.percent(14);
    let has_volume = is_database || chance.percent(7);
    let repository = !is_database && chance.percent(35);
    let by_file = (repository && chance.percent(12))
        .then(|| chance.pick(&[SettingName::Start, SettingName::Ready, SettingName::Sleep]));
    Setup {
        id: format!("service-{position}"),
        repository,
        has_volume,
        is_database,
        has_schedule: !has_volume && chance.percent(8),
        has_domain: chance.percent(75),
        by_file,
    }
}

/// Which part of a service is drawn anew: above these it is a variable.
const PARTS: u64 = 14;

fn service(chance: &mut Chance, setup: &Setup) -> ServiceWish {
    let mut wish = ServiceWish {
        runs: Runs::Unsaid,
        replicas: None,
        settings: SettingsWish::default(),
        registry: None,
        push_to_deploy: None,
        stopped: None,
        restarted_after: None,
        variables: BTreeMap::new(),
    };
    for part in 0..PARTS + 4 {
        edit(chance, &mut wish, setup, part);
    }
    wish
}

/// Draws one part of a service anew.
fn edit(chance: &mut Chance, wish: &mut ServiceWish, setup: &Setup, part: u64) {
    let settings = &mut wish.settings;
    match part {
        0 => wish.runs = runs(chance, setup),
        1 => wish.replicas = replicas(chance, setup),
        2 => settings.ready = maybe(chance, 40, 20, check),
        3 => {
            let moment = |chance: &mut Chance| at(chance.pick(&[-10_800, -1_200, -60, 20, 45, 90]));
            wish.restarted_after = chance.percent(15).then(|| moment(chance));
        }
        4 => settings.start = maybe(chance, 30, 25, start),
        5 => {
            settings.before_deploy = maybe(chance, 25, 25, |chance| {
                let command = if chance.percent(12) {
                    BAD_COMMAND
                } else {
                    "node migrate.js"
                };
                command.to_owned()
            });
        }
        6 => {
            let policies = [
                RestartPolicy::Always,
                RestartPolicy::Never,
                RestartPolicy::OnFailure(10),
                RestartPolicy::OnFailure(3),
            ];
            settings.restart_policy = chance.percent(20).then(|| chance.pick(&policies));
        }
        7 => {
            let share = if setup.has_schedule { 60 } else { 4 };
            settings.cron = maybe(chance, share, 30, |chance| {
                chance.pick(&["*/15 * * * *", "0 3 * * *"]).to_owned()
            });
        }
        8 => settings.sleep = chance.percent(18).then(|| chance.percent(50)),
        9 => {
            settings.hand_over = chance.percent(18).then(|| {
                chance.pick(&[
                    (Some(10), Some(30)),
                    (Some(5), None),
                    (None, Some(60)),
                    (Some(0), Some(0)),
                ])
            });
        }
        10 => {
            settings.limits = chance.percent(18).then(|| {
                chance.pick(&[
                    (Some(2000), Some(2 << 30)),
                    (Some(500), None),
                    (None, Some(1 << 30)),
                ])
            });
        }
        11 => wish.registry = (!setup.repository).then(|| registry(chance)).flatten(),
        12 => {
            wish.push_to_deploy =
                (setup.repository && chance.percent(35)).then(|| chance.percent(25));
        }
        13 => {
            // What was stopped is as often started again.
            let share = if wish.stopped == Some(true) { 70 } else { 12 };
            let stops = wish.stopped != Some(true) && chance.percent(60);
            wish.stopped = chance.percent(share).then_some(stops);
        }
        _ => variable(chance, wish),
    }
}

/// A declared value, or its absence.
fn maybe<T>(
    chance: &mut Chance,
    share: u64,
    absent: u64,
    draw: impl FnOnce(&mut Chance) -> T,
) -> Option<Option<T>> {
    if !chance.percent(share) {
        None
    } else if chance.percent(absent) {
        Some(None)
    } else {
        Some(Some(draw(chance)))
    }
}

fn check(chance: &mut Chance) -> Check {
    let within = if chance.percent(40) {
        Some(chance.pick(&[60, 120, 300]))
    } else {
        None
    };
    (chance.pick(&["/live", "/ready"]).to_owned(), within)
}

fn start(chance: &mut Chance) -> String {
    chance
        .pick(&["node server.js", "node dist/main.js --quiet"])
        .to_owned()
}

fn registry(chance: &mut Chance) -> Option<RegistryWish> {
    let rotated_after = chance
        .percent(30)
        .then(|| at(chance.pick(&[-10_800, -600, 15, 45])));
    chance.percent(14).then(|| RegistryWish {
        secret_name: chance.percent(30),
        rotated_after,
    })
}

fn content(chance: &mut Chance, bad_percent: u64) -> Content {
    let images = if chance.percent(bad_percent) {
        BAD_IMAGES
    } else {
        IMAGES
    };
    let commits = if chance.percent(bad_percent) {
        BAD_COMMITS
    } else {
        COMMITS
    };
    Content {
        image: Some(chance.pick(images).to_owned()),
        commit: Some(chance.pick(commits).to_owned()),
    }
}

fn of_image(image: &str) -> Runs {
    Runs::Own(Content {
        image: Some(image.to_owned()),
        commit: None,
    })
}

fn runs(chance: &mut Chance, setup: &Setup) -> Runs {
    if setup.is_database {
        return if chance.percent(85) {
            of_image(chance.pick(DATABASES))
        } else {
            Runs::Unsaid
        };
    }
    match chance.below(100) {
        0..60 => Runs::Release,
        60..65 if !setup.repository => of_image(PRIVATE_IMAGE),
        60..85 => {
            let drawn = content(chance, 12);
            let fits = !chance.percent(4);
            if setup.repository == fits {
                Runs::Own(Content {
                    image: None,
                    ..drawn
                })
            } else {
                Runs::Own(Content {
                    commit: None,
                    ..drawn
                })
            }
        }
        _ => Runs::Unsaid,
    }
}

fn replicas(chance: &mut Chance, setup: &Setup) -> Option<ReplicasWish> {
    let one_only = (setup.has_volume || setup.has_schedule) && !chance.percent(10);
    match chance.below(100) {
        0..30 => None,
        30..75 => Some(ReplicasWish::Number(if one_only {
            1
        } else {
            u32::try_from(chance.between(1, 4)).expect("small")
        })),
        _ if one_only => Some(ReplicasWish::Number(1)),
        _ => {
            let mut regions = BTreeMap::new();
            for _ in 0..chance.between(1, 2) {
                regions.insert(
                    chance.pick(REGIONS).to_owned(),
                    u32::try_from(chance.between(1, 3)).expect("small"),
                );
            }
            Some(ReplicasWish::Regions(regions))
        }
    }
}

fn variable(chance: &mut Chance, wish: &mut ServiceWish) {
    let name = chance.pick(&[
        "LOG_LEVEL",
        "WORKERS",
        "VERBOSE",
        STRIPE_KEY,
        SIGNING_KEY,
        "OLD_FLAG",
        "CACHE_URL",
        "CACHE_URL",
    ]);
    if chance.percent(30) {
        wish.variables.remove(name);
        return;
    }
    let value = match name {
        "LOG_LEVEL" => VariableWish::Text(chance.pick(&["info", "debug", "warn"]).to_owned()),
        "WORKERS" => VariableWish::Number(chance.pick(&[2, 4, 8])),
        "VERBOSE" => VariableWish::Flag(chance.percent(50)),
        STRIPE_KEY => VariableWish::Secret {
            name: STRIPE_KEY.to_owned(),
            sealed: false,
            rotated_after: None,
        },
        SIGNING_KEY => {
            let rotated_after = chance
                .percent(40)
                .then(|| at(chance.pick(&[-10_800, -600, 10, 30, 60])));
            VariableWish::Secret {
                name: SIGNING_KEY.to_owned(),
                sealed: true,
                rotated_after,
            }
        }
        "OLD_FLAG" => VariableWish::Absent,
        _ => VariableWish::Text(
            chance
                .pick(&[
                    "${{redis.REDIS_URL}}",
                    "${{ redis.REDIS_URL }}",
                    "${{shared.CACHE}}",
                    "${{ shared.CACHE }}:${{shared.SMTP_PASSWORD}}",
                ])
                .to_owned(),
        ),
    };
    wish.variables.insert(name.to_owned(), value);
}

fn shared_variable(chance: &mut Chance, wish: &mut Wish) {
    let name = chance.pick(&["CACHE", "CACHE", SMTP_PASSWORD, "COMPANY", "OLD_SHARED"]);
    if chance.percent(25) {
        wish.shared.remove(name);
        return;
    }
    let value = match name {
        "CACHE" => VariableWish::Text(chance.pick(&["redis://one", "redis://two"]).to_owned()),
        SMTP_PASSWORD => VariableWish::Secret {
            name: SMTP_PASSWORD.to_owned(),
            sealed: false,
            rotated_after: chance
                .percent(25)
                .then(|| at(chance.pick(&[-10_800, -600, 20, 50]))),
        },
        "COMPANY" => VariableWish::Text("Acme".to_owned()),
        _ => VariableWish::Absent,
    };
    wish.shared.insert(name.to_owned(), value);
}

fn maintenance(chance: &mut Chance, setups: &BTreeMap<String, Setup>) -> Option<MaintenanceWish> {
    // Who closes to customers is no database.
    let names: Vec<String> = setups
        .iter()
        .filter(|(_, setup)| !setup.is_database)
        .map(|(name, _)| name.clone())
        .collect();
    if names.is_empty() {
        return None;
    }
    let mut services = vec![chance.pick(&names)];
    let other = chance.pick(&names);
    if chance.percent(40) && !services.contains(&other) {
        services.push(other);
    }
    let by = if chance.percent(65) {
        ByWish::Variable(
            chance
                .pick(&[CLOSED[0], CLOSED[0], CLOSED[1], CLOSED[2]])
                .to_owned(),
        )
    } else {
        ByWish::Image {
            start: chance.percent(30).then(|| "nginx".to_owned()),
            before_deploy: chance.percent(10).then(|| "true".to_owned()),
            ready: chance.percent(30).then(|| ("/closed".to_owned(), None)),
        }
    };
    let page = chance.percent(80).then(|| PageWish {
        has_url: chance.percent(30),
        is_wrong: chance.percent(5),
        within_seconds: chance.percent(30).then(|| chance.pick(&[30, 60])),
    });
    Some(MaintenanceWish {
        enabled: chance.percent(45),
        services,
        by,
        page,
        until: at(chance.pick(&[40, 7_200, 7_200, 7_200, 7_200])),
    })
}

fn next(chance: &mut Chance, before: &[Wish], setups: &BTreeMap<String, Setup>) -> Wish {
    if chance.percent(25) {
        return chance.pick(before);
    }
    let mut wish = before.last().expect("there is a first").clone();
    // Many commits change one line, and the way back from them is a short one.
    if chance.percent(22) {
        wish.release = content(chance, 12);
        return wish;
    }
    if chance.percent(40) {
        wish.release = content(chance, 12);
    }
    for _ in 0..chance.between(1, 3) {
        let names: Vec<String> = wish.services.keys().cloned().collect();
        let name = chance.pick(&names);
        // A database has few parts that change, and one that matters.
        let part = if setups[&name].is_database && chance.percent(50) {
            0
        } else {
            chance.below(PARTS + 8)
        };
        let service = wish
            .services
            .get_mut(&name)
            .expect("it was picked from there");
        edit(chance, service, &setups[&name], part);
    }
    if chance.percent(25) {
        shared_variable(chance, &mut wish);
    }
    match &mut wish.maintenance {
        Some(maintenance) if chance.percent(60) => maintenance.enabled = !maintenance.enabled,
        Some(_) if chance.percent(8) => wish.maintenance = None,
        None if chance.percent(12) => wish.maintenance = self::maintenance(chance, setups),
        Some(_) | None => {}
    }
    if wish.services.len() > 1 && chance.percent(7) {
        let names: Vec<String> = wish.services.keys().cloned().collect();
        let gone = chance.pick(&names);
        wish.services.remove(&gone);
        if chance.percent(55) {
            wish.consents.push(Consent {
                risk: Risk::Deletion {
                    id: setups[&gone].id.clone(),
                    has_volume: setups[&gone].has_volume,
                    service: gone,
                },
                until: until(chance),
            });
        }
    }
    tidy(chance, &mut wish, setups);
    wish
}

fn until(chance: &mut Chance) -> jiff::Timestamp {
    at(chance.pick(&[-5, 35, 90, 1_800, 1_800, 1_800]))
}

/// Takes back what `validate` would refuse, and draws the consents that the databases need.
fn tidy(chance: &mut Chance, wish: &mut Wish, setups: &BTreeMap<String, Setup>) {
    let declared: Vec<String> = wish.services.keys().cloned().collect();
    if let Some(maintenance) = &mut wish.maintenance {
        maintenance.services.retain(|name| declared.contains(name));
        if maintenance.services.is_empty() {
            wish.maintenance = None;
        }
    }
    let by_image: Vec<String> = match &wish.maintenance {
        Some(MaintenanceWish {
            by: ByWish::Image { .. },
            services,
            ..
        }) => services.clone(),
        Some(_) | None => Vec::new(),
    };
    for (name, service) in &mut wish.services {
        if by_image.contains(name) {
            let has_image = matches!(
                &service.runs,
                Runs::Release | Runs::Own(Content { image: Some(_), .. })
            );
            if !has_image {
                service.runs = Runs::Release;
            }
            let settings = &mut service.settings;
            settings.start.get_or_insert(None);
            settings.before_deploy.get_or_insert(None);
            settings.ready.get_or_insert(None);
        }
        if matches!(service.settings.cron, Some(Some(_))) {
            let several = match &service.replicas {
                Some(ReplicasWish::Number(count)) => *count > 1,
                Some(ReplicasWish::Regions(regions)) => regions.values().sum::<u32>() > 1,
                None => false,
            };
            if several {
                service.replicas = Some(ReplicasWish::Number(1));
            }
            service.settings.sleep = service.settings.sleep.map(|_| false);
        }
        let has_commit = matches!(
            &service.runs,
            Runs::Own(Content {
                commit: Some(_),
                ..
            })
        );
        if has_commit && service.push_to_deploy == Some(true) {
            service.push_to_deploy = Some(false);
        }
    }
    consents(chance, wish, setups);
}

fn consents(chance: &mut Chance, wish: &mut Wish, setups: &BTreeMap<String, Setup>) {
    for (name, service) in &wish.services {
        let Runs::Own(Content {
            image: Some(to), ..
        }) = &service.runs
        else {
            continue;
        };
        let risky = DATABASES
            .iter()
            .filter(|from| setups[name].is_database && may_lose(from, to));
        for from in risky {
            let risk = Risk::Image {
                service: name.clone(),
                from: (*from).to_owned(),
                to: to.clone(),
            };
            let known = wish
                .consents
                .iter_mut()
                .find(|consent| consent.risk == risk);
            match known {
                // The same document with a later end is another consent.
                Some(consent) if chance.percent(12) => consent.until = at(1_900),
                Some(_) => {}
                None if chance.percent(60) => wish.consents.push(Consent {
                    risk,
                    until: until(chance),
                }),
                None => {}
            }
        }
    }
}

/// Puts what is good in the place of what is bad: what people do in the end.
fn mend(chance: &mut Chance, wish: &mut Wish, setups: &BTreeMap<String, Setup>) {
    if is_bad(&wish.release) {
        wish.release = content(chance, 0);
    }
    for service in wish.services.values_mut() {
        let is_private = matches!(
            &service.runs,
            Runs::Own(Content { image: Some(image), .. }) if image == PRIVATE_IMAGE
        );
        if is_private && service.registry.is_none() {
            service.runs = Runs::Release;
        }
        if let Runs::Own(own) = &mut service.runs
            && is_bad(own)
        {
            let good = content(chance, 0);
            *own = Content {
                image: own.image.as_ref().and(good.image),
                commit: own.commit.as_ref().and(good.commit),
            };
        }
        if let Some(Some(command)) = &mut service.settings.before_deploy
            && command == BAD_COMMAND
        {
            *command = "node migrate.js".to_owned();
        }
    }
    if let Some(PageWish { is_wrong, .. }) = wish
        .maintenance
        .as_mut()
        .and_then(|maintenance| maintenance.page.as_mut())
    {
        *is_wrong = false;
    }
    tidy(chance, wish, setups);
}
