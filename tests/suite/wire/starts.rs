//! The start command of a Redis is stored without a deployment, and the image stays.

use super::railway::*;
use reconciler::plan::write::{What, Write};
use reconciler::providers::Secrets;
use reconciler::world::railway::{Action, Named};
use sandbox::{Faults, Switches};

const START: &str = "docker-entrypoint.sh redis-server --requirepass $REDIS_PASSWORD --save 3600 1";

#[tokio::test(start_paused = true)]
async fn a_start_command_is_stored_and_nothing_is_deployed() {
    for clears in Switches::answers("update_without_source_clears") {
        let switches = Switches::default().with("update_without_source_clears", clears);
        let stage = Stage::new(SHOP, switches, Faults::none()).desired("");
        let looked = stage.diff().await.unwrap();
        let railway = looked.world.railway.facts().unwrap();
        let before = stage.service("redis");

        let write = Write {
            steps: Vec::new(),
            what: What::One(Action::StoreStart {
                service: Named {
                    id: railway.services["redis"].facts().unwrap().id.clone(),
                    name: "redis".to_owned(),
                },
                image: "redis:7.4.5".to_owned(),
                start: START.to_owned(),
            }),
            approvals: Vec::new(),
            commit: None,
            marks: Vec::new(),
        };
        let client = stage.client();
        client
            .perform(railway, &write, &Secrets::new())
            .await
            .unwrap();
        stage.wait(120).await;

        let after = stage.service("redis");
        assert_eq!(after.config["deploy"]["startCommand"], START, "{clears}");
        assert_eq!(after.config["source"]["image"], "redis:7.4.5", "{clears}");
        assert_eq!(after.deployments, before.deployments, "{clears}");
        let seen = stage.diff().await.unwrap().world;
        let seen = seen.railway.facts().unwrap();
        let seen = seen.services["redis"].facts().unwrap();
        assert_eq!(seen.settings.start.as_deref(), Some(START), "{clears}");
    }
}
