//! A repository's own railway.json: for its deployments it overrides build and deploy settings, and is never written back.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::config;
use crate::deployment::Release;
use crate::seed::ConfigFileSeed;
use crate::state::{Environment, State};

/// What one commit's file says for one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFile {
    pub path: String,
    /// `build` and `deploy`.
    pub manifest: Value,
}

/// Files that are found without being named.
const FOUND: [&str; 2] = ["railway.json", "railway.toml"];

impl State {
    /// The file that decides for this release, if the repository has one where the service looks for it.
    pub fn config_file(
        &self,
        environment: &Environment,
        service: &Value,
        release: &Release,
    ) -> Option<Arc<ConfigFile>> {
        let seed = self.known_commit(release.commit.as_ref()?)?.file.as_ref()?;
        let named = service.get("configFile").and_then(Value::as_str);
        let looks = |path: &str| seed.path.trim_start_matches('/') == path.trim_start_matches('/');
        let is_found = match named {
            Some(named) => looks(named),
            None => FOUND.iter().any(|path| looks(path)),
        };
        is_found.then(|| {
            Arc::new(ConfigFile {
                path: seed.path.clone(),
                manifest: manifest_of(seed, environment),
            })
        })
    }
}

impl ConfigFile {
    /// The service's configuration with the file on top.
    pub fn over(&self, service: &Value) -> Value {
        let mut all = service.clone();
        let deploy = &self.manifest["deploy"];
        // The file's placement replaces the stored one, it is not merged into it.
        if self.owns_placement()
            && let Some(stored) = all.get_mut("deploy").and_then(Value::as_object_mut)
        {
            stored.remove("multiRegionConfig");
        }
        config::stack(
            &mut all,
            &json!({ "build": self.manifest["build"], "deploy": deploy }),
        );
        all
    }

    pub fn owns_placement(&self) -> bool {
        let deploy = &self.manifest["deploy"];
        !deploy["multiRegionConfig"].is_null() || !deploy["numReplicas"].is_null()
    }

    /// Which setting comes from where in the file.
    pub fn mapping(&self) -> Value {
        let mut mapping = Map::new();
        for section in ["build", "deploy"] {
            for (key, _) in config::entries(self.manifest.get(section)) {
                mapping.insert(
                    format!("{section}.{key}"),
                    json!(format!("$.{section}.{key}")),
                );
            }
        }
        Value::Object(mapping)
    }
}

fn manifest_of(seed: &ConfigFileSeed, environment: &Environment) -> Value {
    let mut manifest = json!({ "build": seed.build, "deploy": seed.deploy });
    let named = match environment.ephemeral {
        true => seed.environments.get("pr"),
        false => seed.environments.get(&environment.name),
    };
    if let Some(override_) = named {
        config::stack(&mut manifest, &Value::Object(override_.clone()));
    }
    manifest
}
