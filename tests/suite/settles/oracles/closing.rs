//! The maintenance bracket: closed and opened exactly as the commit says, never late for want of sight, never taken for open unseen.

use super::super::deployment::{Made, Run};
use super::super::law::Law;
use super::super::model::{Applied, State, Stored};
use super::super::stage::Scene;
use super::super::wish::{CLOSED, CLOSED_IMAGE, CLOSING, MaintenanceWish, SITE, Wish, domain};
use reconciler::kinds::step::Ask;
use reconciler::plan::Plan;
use reconciler::world::Seen;
use reconciler::world::page::Page;
use reconciler::world::railway::Source;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a change closed or opened although its commit says otherwise: what is stored, and what runs.
pub fn bracket(scene: &Scene, applied: &Applied, law: Law<'_>) -> Option<String> {
    let looked_at = scene.sent[applied.request].looked_at;
    law.wish.services.keys().find_map(|name| {
        let wanted = law.wish.is_closed(name)?;
        let (was, is) = (
            applied.before.services.get(name)?,
            applied.after.services.get(name)?,
        );
        if Arc::ptr_eq(was, is) {
            return None;
        }
        let (before, after) = (is_closed(was), is_closed(is));
        let words = |closed: bool| if closed { "closed" } else { "open" };
        if before == wanted && after != wanted {
            return Some(format!(
                "{name} is to be {}, was stored so, and is not any more",
                words(wanted)
            ));
        }
        let run = is.runs.last().filter(|_| is.runs.len() > was.runs.len())?;
        // A restart starts again what runs; what somebody rolled back by hand looks like any other.
        let is_restart = |run: &Run| {
            let before = was.runs.last();
            run.made == Made::Redeployed && before.is_some_and(|before| before.load == run.load)
        };
        let is_otherwise = after == wanted && run.load.is_closed() != wanted && !is_restart(run);
        // What people did after the look is seen by the next one.
        (is_otherwise && !scene.is_edited_since(name, looked_at)).then(|| {
            format!(
                "{name} is to be {} and stored so, and {} runs otherwise",
                words(wanted),
                run.id
            )
        })
    })
}

/// Whether what is stored closes a service.
pub fn is_closed(stored: &Stored) -> bool {
    let by_variable = stored
        .variables
        .get(CLOSING)
        .is_some_and(|held| CLOSED.contains(&held.value.as_str()));
    by_variable || stored.source == Source::Image(CLOSED_IMAGE.to_owned())
}

/// Closing is never put off because something could not be seen, as long as its service was.
pub fn judge_plan(scene: &mut Scene, commit: usize, plan: &Plan) {
    let law = scene.schedule.law(commit);
    let (Some(maintenance), Some(shown)) = (&law.wish.maintenance, &scene.shown) else {
        return;
    };
    let is_asked_for = |name: &str| {
        let by_image = law.wish.closed_by_image(name).is_some();
        plan.steps.iter().any(|step| {
            let closes = step.field == CLOSING || by_image && step.field == "image";
            let is_of = step.of.kind == "Service" && step.of.name == name;
            is_of && closes && !matches!(step.ask, Ask::Unseen(_))
        })
    };
    // What closes runs already, or is about to: then only its state may be unseen.
    let is_closing = |stored: &Stored| {
        let newest = stored.runs.last();
        newest.is_some_and(|newest| newest.load.is_closed())
    };
    let is_open = |name: &String| {
        let cannot = |stored: &Stored| {
            let by_image = law.wish.closed_by_image(name).is_some();
            by_image && matches!(stored.source, Source::Repository { .. })
        };
        let stored = shown.service(name);
        let is_open =
            |stored: &Stored| !is_closed(stored) && !is_closing(stored) && !cannot(stored);
        stored.is_some_and(is_open) && !law.stops(name)
    };
    let late = maintenance
        .services
        .iter()
        .find(|name| maintenance.enabled && is_open(name) && !is_asked_for(name));
    if let Some(name) = late {
        let words = format!("{name} was seen open, and closing it is not asked for");
        scene.violate("s4_closing_never_waits", words);
    }
}

/// Whoever ends in step has seen the page as git wants it; closed, it may be that the page could not be seen.
pub fn judge_end(scene: &mut Scene, commit: usize) {
    let Some(shown) = &scene.shown else {
        return;
    };
    let wish = scene.schedule.law(commit).wish;
    if let Some(words) = unseen_page(wish, &shown.state, &shown.pages) {
        scene.violate("s4_page_is_seen", words);
    }
}

/// The page with which nobody may end in step, given what pages answered.
pub fn unseen_page(
    wish: &Wish,
    state: &State,
    pages: &BTreeMap<String, Seen<Page>>,
) -> Option<String> {
    let maintenance = wish.maintenance.as_ref()?;
    let has_domain = |service: &str| {
        let stored = state.services.get(service);
        stored.is_some_and(|stored| stored.domain.is_some())
    };
    let url = url(wish, has_domain)?;
    let is_stopped = |name: &String| wish.services[name].stopped == Some(true);
    // Where nothing serves there is nothing to see.
    if maintenance.services.iter().any(is_stopped) {
        return None;
    }
    let fits = match pages.get(&url) {
        Some(Seen::Facts(page)) => shows(maintenance, page),
        Some(Seen::Unseen(_)) => maintenance.enabled,
        Some(Seen::Unasked) | None => false,
    };
    let answered = pages.get(&url);
    (!fits).then(|| format!("{SITE} ends in step, and {url} answered {answered:?}"))
}

/// The address that customers see, where the commit has it checked.
pub fn url(wish: &Wish, has_domain: impl Fn(&str) -> bool) -> Option<String> {
    let maintenance = wish.maintenance.as_ref()?;
    let page = maintenance.page.as_ref()?;
    let service = if page.has_url {
        maintenance.services.first()
    } else {
        maintenance.services.iter().find(|name| has_domain(name))
    };
    service.map(|service| format!("https://{}/", domain(service)))
}

/// Whether a page is as the commit expects it.
pub fn shows(maintenance: &MaintenanceWish, page: &Page) -> bool {
    let is_wrong = maintenance.page.as_ref().is_some_and(|it| it.is_wrong);
    if maintenance.enabled {
        page.status == 503 && page.body.contains("maintenance")
    } else {
        page.status == if is_wrong { 204 } else { 200 }
    }
}
