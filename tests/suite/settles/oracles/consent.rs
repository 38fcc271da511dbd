//! S2: what may lose something is done only with a consent that fits, holds still, and was not used before.

use super::super::model::Applied;
use super::super::stage::{Scene, Shown};
use super::super::wish::{Consent, Risk, Wish, may_lose};
use reconciler::plan::write::{What, Write};
use reconciler::world::railway::{Action, Setting, Source};

/// The risk of a write for which the commit has no consent that holds at the moment of the look.
pub fn lacking(write: &Write, shown: &Shown, wish: &Wish) -> Option<(&'static str, String)> {
    let lacks = |risk: &Risk| {
        !wish
            .consents
            .iter()
            .any(|consent| consent.risk == *risk && consent.until > shown.at)
    };
    let risk = risks(write, shown).into_iter().find(lacks)?;
    Some(("s2_consent", format!("nobody has consented to {risk:?}")))
}

/// What may be lost by a write, given what was shown.
fn risks(write: &Write, shown: &Shown) -> Vec<Risk> {
    match &write.what {
        What::Patch(changes) => changes
            .iter()
            .filter_map(|change| match &change.set {
                Setting::Image(to) => of_image(change.of.word(), to, shown),
                _ => None,
            })
            .collect(),
        What::One(Action::Rollback { service, image, .. }) => {
            of_image(&service.name, image, shown).into_iter().collect()
        }
        What::One(Action::Delete { service }) => vec![Risk::Deletion {
            service: service.name.clone(),
            id: service.id.clone(),
            has_volume: shown
                .service(&service.name)
                .is_some_and(|stored| stored.has_volume),
        }],
        What::One(_) | What::Redis(_) => Vec::new(),
    }
}

fn of_image(service: &str, to: &str, shown: &Shown) -> Option<Risk> {
    let stored = shown.service(service)?;
    let Source::Image(from) = &stored.source else {
        return None;
    };
    (stored.has_volume && may_lose(from, to)).then(|| Risk::Image {
        service: service.to_owned(),
        from: from.clone(),
        to: to.to_owned(),
    })
}

/// Notes the consents that a change has used, and says which of them another request had used before.
pub fn used(scene: &mut Scene, applied: &Applied) -> Option<String> {
    let sent = &scene.sent[applied.request];
    let wish = scene.schedule.law(sent.commit).wish;
    let is_used = |consent: &&Consent| is_taken(&consent.risk, &sent.write, applied);
    let consents: Vec<Consent> = wish.consents.iter().filter(is_used).cloned().collect();
    let mut again = None;
    for consent in consents {
        let before = scene
            .used
            .iter()
            .any(|(known, request)| *known == consent && *request != applied.request);
        if before {
            again = Some(format!("{consent:?} was used before"));
        }
        scene.counts.consents += 1;
        scene.used.push((consent, applied.request));
    }
    again
}

/// Whether a change does what a consent is for.
fn is_taken(risk: &Risk, write: &Write, applied: &Applied) -> bool {
    let services = |service: &String| {
        let was = applied.before.services.get(service)?;
        Some((was, applied.after.services.get(service)))
    };
    match (risk, &write.what) {
        // What a way back left to be stored runs already.
        (Risk::Image { .. }, What::One(Action::Store { .. })) => false,
        (Risk::Image { service, from, to }, what) => {
            let Some((was, Some(is))) = services(service) else {
                return false;
            };
            let stores = |source: &Source, image: &String| *source == Source::Image(image.clone());
            match what {
                What::One(Action::Rollback { image, .. }) => {
                    is.runs.len() > was.runs.len() && image == to && stores(&is.source, from)
                }
                _ => stores(&was.source, from) && stores(&is.source, to),
            }
        }
        (Risk::Deletion { service, .. }, _) => matches!(services(service), Some((_, None))),
    }
}
