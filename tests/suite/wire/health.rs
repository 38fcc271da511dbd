//! A release that answers 500, over the wire: asked at its domain, put back by itself, and refused for as long as git asks for it.

use super::railway::{SHOP, START, Stage, service, shown};
use reconciler::interrupt::interrupt;
use reconciler::kinds::service::health::questions;
use reconciler::plan::Plan;
use reconciler::plan::gate::Memory;
use reconciler::providers::address::Allowed;
use reconciler::providers::health::{Watch, ask};
use reconciler::providers::pages::Pages;
use reconciler::world::Seen;
use sandbox::{Faults, Seed, Switches};

const ENVIRONMENT: &str = "kind: Environment\nmetadata: { name: production }\nspec: { railway: { project: shop, environment: production }, rollback: { unhealthyFor: 1m, within: 10m } }\n---\n";

/// The shop, whose web has a domain, and two images that start well and answer 500.
fn seed() -> Seed {
    let text = SHOP
        .replace(
            "            healthcheck: /health\n",
            "            custom_domains: [web.shop.example]\n",
        )
        .replace(
            "images:\n",
            "images:\n  ghcr.io/shop/web:bad: { pages: { /health: { status: 500 } } }\n",
        );
    Seed::parse(&text).unwrap()
}

fn desired(tag: &str) -> String {
    let spec = format!(
        "{{ image: \"ghcr.io/shop/web:{tag}\", health: {{ path: /health, every: 10s, failures: 2 }} }}"
    );
    ENVIRONMENT.to_owned() + &service("web", &spec)
}

/// A controller, as far as health needs one: it asks and makes passes, for so many minutes.
struct Controller {
    watch: Watch,
    memory: Memory,
}

impl Controller {
    fn new(stage: &Stage) -> Controller {
        Controller {
            watch: Watch::default(),
            memory: Memory::writing_since(stage.clock.now()),
        }
    }

    async fn minutes(&mut self, stage: &Stage, minutes: u64) -> Plan {
        let mut last = None;
        for _ in 0..minutes * 12 {
            last = Some(self.turn(stage).await);
            stage.wait(5).await;
        }
        last.unwrap()
    }

    async fn turn(&mut self, stage: &Stage) -> Plan {
        let outside = stage.outside();
        let pages: Pages = outside.pages.clone();
        for due in self.watch.due(stage.clock.now(), 10) {
            let heard = ask(&pages, due, &stage.clock).await;
            self.watch.heard(heard, &stage.clock);
        }
        let health = self.watch.health("production", stage.clock.now());
        let pass = stage.pass_with(&outside, &health);
        let looked = pass.look(&self.memory).await.unwrap();
        if let Seen::Facts(railway) = &looked.world.railway {
            let questions = questions(pass.desired.documents(), railway);
            self.watch.set("production", questions, &stage.clock);
            self.memory.saw(railway);
        }
        let (_stop, interrupt) = interrupt();
        pass.act(&looked, &mut self.memory, &interrupt).await;
        looked.plan
    }
}

fn image(stage: &Stage) -> String {
    stage.service("web").config["source"]["image"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_release_that_answers_500_is_put_back_and_stays_refused() {
    let mut stage = Stage::of(&seed(), Switches::default(), Faults::none()).desired(&desired("1"));
    let mut controller = Controller::new(&stage);
    controller.minutes(&stage, 4).await;
    assert_eq!(image(&stage), "ghcr.io/shop/web:1", "since {START}");

    stage.desire(&desired("bad"));
    controller.minutes(&stage, 6).await;
    assert_eq!(image(&stage), "ghcr.io/shop/web:1");
    let patches = stage.effects().len();

    // Nothing is remembered: the hold is read in Railway's history, and nothing is made any more.
    let mut controller = Controller::new(&stage);
    let plan = controller.minutes(&stage, 6).await;
    assert_eq!(stage.effects().len(), patches);
    let words = shown(&plan);
    assert!(
        words.contains("ghcr.io/shop/web:bad was refused"),
        "{words}"
    );
    assert!(words.contains("it runs 1 again"), "{words}");

    stage.desire(&desired("2"));
    let plan = controller.minutes(&stage, 4).await;
    assert_eq!(image(&stage), "ghcr.io/shop/web:2");
    assert!(plan.steps.is_empty(), "{}", shown(&plan));
}

/// Closed by a variable, with a health check that is strict.
fn closing(enabled: bool) -> String {
    let spec = "{ health: { path: /, every: 10s, failures: 1 } }";
    format!(
        "{}---\nkind: Maintenance\nmetadata: {{ name: site }}\nspec: {{ enabled: {enabled}, services: [web], by: {{ variable: MAINTENANCE_MODE }}, until: 2026-11-23T05:00:00Z, page: {{ closed: {{ status: 503, contains: maintenance }}, open: {{ status: 200 }} }} }}\n",
        service("web", spec)
    )
}

#[tokio::test(start_paused = true)]
async fn closing_and_opening_again_is_no_illness() {
    let mut stage =
        Stage::of(&seed(), Switches::default(), Faults::none()).desired(&closing(false));
    let mut controller = Controller::new(&stage);
    controller.minutes(&stage, 2).await;
    for enabled in [true, false] {
        stage.desire(&closing(enabled));
        let mut answers = Vec::new();
        for _ in 0..60 {
            controller.turn(&stage).await;
            let health = controller.watch.health("production", stage.clock.now());
            let Seen::Facts(web) = &health["web"] else {
                panic!("not asked: {:?}", health["web"]);
            };
            answers.push(web.answered.clone());
            assert!(web.is_healthy, "enabled: {enabled}, {answers:?}");
            stage.wait(5).await;
        }
        let is_closed = |answer: &String| answer.contains("closed (expected)");
        assert!(answers.iter().any(is_closed), "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn private_addresses_are_not_asked() {
    let stage = Stage::of(&seed(), Switches::default(), Faults::none());
    let pages = Pages::new(
        std::sync::Arc::new(super::railway::Line {
            sandbox: stage.sandbox.clone(),
            lens: None,
        }),
        Allowed::default(),
        None,
    );
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://[::1]/",
    ] {
        let missed = pages.get(url).await.unwrap_err();
        assert!(
            matches!(missed, reconciler::providers::pages::Missed::NotAsked(_)),
            "{url}: {missed:?}"
        );
    }
}
