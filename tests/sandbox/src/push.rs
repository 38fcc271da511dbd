//! Commits that are pushed: the services that track the branch deploy them, wait for their checks, or skip them.

use serde_json::{Value, json};

use crate::by_hand::hand;
use crate::deployment::{Cause, Status};
use crate::launch::Commit;
use crate::seed::Known;
use crate::state::State;

impl State {
    pub fn push(&mut self, repo: &str, branch: &str, sha: &str, known: Known) {
        let files = known.files.clone();
        self.pushed.insert(sha.to_string(), known);
        self.heads
            .insert((repo.to_string(), branch.to_string()), sha.to_string());
        for (environment, service) in self.tracking(repo, branch) {
            if self.switches.pushed_commit_moves_stored {
                let patch = json!({ "services": { &service: { "source": { "commitSha": sha } } } });
                self.change(&environment, &patch, &hand(false));
            }
            let stored = self.environments[&environment].service(&service).cloned();
            let stored = stored.unwrap_or_default();
            let cause = Cause {
                reason: "deploy",
                patch_id: None,
                of: None,
            };
            let Ok(Some(id)) = self.deploy(&environment, &service, Commit::This(sha), cause) else {
                continue;
            };
            if !is_watched(&stored["build"]["watchPatterns"], &files) {
                self.enter(&id, Status::Skipped, None);
            } else if stored["source"]["checkSuites"] == true {
                self.enter(&id, Status::Waiting, Some(self.seed.timings.checks));
            }
        }
    }

    /// The (environment, service) pairs that deploy pushes to this branch by themselves.
    fn tracking(&self, repo: &str, branch: &str) -> Vec<(String, String)> {
        let instances = self.environments.values().flat_map(|environment| {
            environment
                .instances
                .iter()
                .map(move |(id, instance)| (environment, id, instance))
        });
        let tracking = instances.filter(|(environment, id, instance)| {
            let source = environment
                .service(id)
                .and_then(|service| service.get("source"));
            let text = |key: &str| source.and_then(|source| source.get(key)?.as_str());
            instance.auto_deploy
                && text("repo") == Some(repo)
                && text("branch").unwrap_or("main") == branch
        });
        tracking
            .map(|(environment, id, _)| (environment.id.clone(), id.clone()))
            .collect()
    }
}

/// Whether a change of these files is one that the patterns watch; without patterns or files, every change is.
fn is_watched(patterns: &Value, files: &[String]) -> bool {
    let patterns: Vec<&str> = patterns
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    patterns.is_empty()
        || files.is_empty()
        || files.iter().any(|file| {
            let last = patterns.iter().rev().find(|pattern| {
                let pattern = pattern.trim_start_matches('!').trim_start_matches('/');
                matches(pattern.as_bytes(), file.as_bytes())
            });
            last.is_some_and(|pattern| !pattern.starts_with('!'))
        })
}

/// `**` crosses folders, `*` does not, and a folder stands for all that is in it.
fn matches(pattern: &[u8], file: &[u8]) -> bool {
    match (pattern, file) {
        ([], []) | ([], [b'/', ..]) => true,
        ([b'*', b'*', b'/', rest @ ..], _) if matches(rest, file) => true,
        ([b'*', b'*', rest @ ..], _) => (0..=file.len()).any(|skip| matches(rest, &file[skip..])),
        ([b'*', rest @ ..], _) => {
            let reach = file.iter().take_while(|letter| **letter != b'/').count();
            (0..=reach).any(|skip| matches(rest, &file[skip..]))
        }
        ([b'?', rest @ ..], [letter, file @ ..]) if *letter != b'/' => matches(rest, file),
        ([b'/'], []) => true,
        ([first, rest @ ..], [letter, file @ ..]) if first == letter => matches(rest, file),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_watch_files_and_folders() {
        for (patterns, file, watched) in [
            (json!([]), "a.rs", true),
            (json!(["src/**"]), "src/a/b.rs", true),
            (json!(["/src"]), "src/a/b.rs", true),
            (json!(["src/*.rs"]), "src/a/b.rs", false),
            (json!(["**/*.rs"]), "a.rs", true),
            (json!(["**", "!docs/**"]), "docs/a.md", false),
            (json!(["**", "!docs/**"]), "src/a.rs", true),
            (json!(["packages/web"]), "packages/webshop/a.js", false),
        ] {
            assert_eq!(
                is_watched(&patterns, &[file.to_string()]),
                watched,
                "{patterns} {file}"
            );
        }
    }
}
