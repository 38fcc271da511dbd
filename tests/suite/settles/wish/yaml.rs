//! A wish as manifests, as a person would write them.

use super::{
    ByWish, CLOSED_IMAGE, CLOSING, Check, Content, MaintenanceWish, PageWish, REGISTRY_TOKEN,
    RegistryWish, ReplicasWish, Runs, SITE, ServiceWish, SettingsWish, VariableWish, Wish, domain,
};
use reconciler::world::railway::RestartPolicy;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const VERSION: &str = "apiVersion: reconciler/v1alpha1";

impl Wish {
    /// The manifests.
    pub fn yaml(&self) -> String {
        let mut out = format!("{VERSION}\nkind: Environment\nmetadata: {{ name: production }}\n");
        out.push_str("spec:\n  railway: { project: shop, environment: production }\n  secrets: { prefix: SHOP_ }\n");
        let entries = if self.removes_entries {
            "delete"
        } else {
            "keep"
        };
        let services = if self.holds_services { "hold" } else { "keep" };
        let _ = writeln!(
            out,
            "  removed: {{ variables: {entries}, services: {services} }}"
        );
        let _ = writeln!(out, "  approvals: {{ expire: {}s }}", self.expire_seconds);
        if let Some(heal) = self.heal_seconds {
            let _ = writeln!(out, "  drift: {{ heal: {heal}s }}");
        }
        if let Some((from, to)) = self.freeze {
            let _ = writeln!(out, "  freeze: [{{ from: \"{from}\", to: \"{to}\" }}]");
        }
        variable_lines(&mut out, &self.shared);
        head(&mut out, "Release", "app");
        out.push_str("spec:\n");
        content_lines(&mut out, &self.release);
        for (name, service) in &self.services {
            head(&mut out, "Service", name);
            let spec = service.lines();
            out.push_str(if spec.is_empty() {
                "spec: {}\n"
            } else {
                "spec:\n"
            });
            out.push_str(&spec);
        }
        if let Some(maintenance) = &self.maintenance {
            head(&mut out, "Maintenance", SITE);
            out.push_str("spec:\n");
            maintenance.lines(&mut out);
        }
        let approvals: BTreeMap<String, String> = self
            .consents
            .iter()
            .map(|consent| (consent.risk.digest(), consent.document()))
            .collect();
        for document in approvals.values() {
            let _ = write!(out, "---\n{document}");
        }
        out
    }
}

fn head(out: &mut String, kind: &str, name: &str) {
    let _ = writeln!(
        out,
        "---\n{VERSION}\nkind: {kind}\nmetadata: {{ name: {name} }}"
    );
}

fn content_lines(out: &mut String, content: &Content) {
    if let Some(image) = &content.image {
        let _ = writeln!(out, "  image: \"{image}\"");
    }
    if let Some(commit) = &content.commit {
        let _ = writeln!(out, "  commit: \"{commit}\"");
    }
}

fn variable_lines(out: &mut String, variables: &BTreeMap<String, VariableWish>) {
    if !variables.is_empty() {
        out.push_str("  variables:\n");
    }
    for (name, variable) in variables {
        let _ = writeln!(out, "    {name}: {}", variable.yaml());
    }
}

fn command_line(out: &mut String, field: &str, command: Option<&String>) {
    let _ = match command {
        Some(command) => writeln!(out, "  {field}: \"{command}\""),
        None => writeln!(out, "  {field}: {{ absent: true }}"),
    };
}

fn check(check: &Check) -> String {
    match check {
        (path, Some(within)) => format!("{{ path: {path}, within: {within}s }}"),
        (path, None) => format!("{{ path: {path} }}"),
    }
}

impl ServiceWish {
    fn lines(&self) -> String {
        let mut out = String::new();
        match &self.runs {
            Runs::Unsaid => {}
            Runs::Release => out.push_str("  release: app\n"),
            Runs::Own(content) => content_lines(&mut out, content),
        }
        match &self.replicas {
            Some(ReplicasWish::Number(count)) => {
                let _ = writeln!(out, "  replicas: {count}");
            }
            Some(ReplicasWish::Regions(regions)) => {
                let regions: Vec<String> = regions
                    .iter()
                    .map(|(region, count)| format!("{region}: {count}"))
                    .collect();
                let _ = writeln!(out, "  replicas: {{ {} }}", regions.join(", "));
            }
            None => {}
        }
        self.settings.lines(&mut out);
        if let Some(registry) = &self.registry {
            let _ = writeln!(out, "  registry: {}", registry.yaml());
        }
        if let Some(pushes) = self.push_to_deploy {
            let _ = writeln!(out, "  pushToDeploy: {pushes}");
        }
        if let Some(stopped) = self.stopped {
            let _ = writeln!(out, "  stopped: {stopped}");
        }
        if let Some(after) = self.restarted_after {
            let _ = writeln!(out, "  restartedAfter: {after}");
        }
        variable_lines(&mut out, &self.variables);
        out
    }
}

impl SettingsWish {
    fn lines(&self, out: &mut String) {
        if let Some(start) = &self.start {
            command_line(out, "start", start.as_ref());
        }
        if let Some(command) = &self.before_deploy {
            command_line(out, "beforeDeploy", command.as_ref());
        }
        let _ = match &self.ready {
            Some(Some(ready)) => writeln!(out, "  ready: {}", check(ready)),
            Some(None) => writeln!(out, "  ready: {{ absent: true }}"),
            None => Ok(()),
        };
        let _ = match &self.restart_policy {
            Some(RestartPolicy::Always) => writeln!(out, "  restartPolicy: always"),
            Some(RestartPolicy::Never) => writeln!(out, "  restartPolicy: never"),
            Some(RestartPolicy::OnFailure(10)) => writeln!(out, "  restartPolicy: onFailure"),
            Some(RestartPolicy::OnFailure(times)) => {
                writeln!(out, "  restartPolicy: {{ onFailure: {times} }}")
            }
            None => Ok(()),
        };
        if let Some(cron) = &self.cron {
            command_line(out, "cron", cron.as_ref());
        }
        if let Some(sleep) = self.sleep {
            let _ = writeln!(out, "  sleep: {sleep}");
        }
        if let Some((overlap, drain)) = self.hand_over {
            let part = |name: &str, seconds: Option<u64>| {
                seconds.map(|seconds| format!("{name}: {seconds}s"))
            };
            let _ = writeln!(
                out,
                "  handOver: {{ {} }}",
                both(part("overlap", overlap), part("drain", drain))
            );
        }
        if let Some((milli, bytes)) = self.limits {
            let cpu = milli.map(|milli| format!("cpu: {}.{}", milli / 1000, milli % 1000 / 100));
            let memory = bytes.map(|bytes| format!("memory: {}MiB", bytes >> 20));
            let _ = writeln!(out, "  limits: {{ {} }}", both(cpu, memory));
        }
    }
}

fn both(one: Option<String>, other: Option<String>) -> String {
    let parts: Vec<String> = one.into_iter().chain(other).collect();
    parts.join(", ")
}

impl RegistryWish {
    fn yaml(&self) -> String {
        let secret = format!("{{ from: {{ secret: {REGISTRY_TOKEN} }} }}");
        let username = if self.secret_name { &secret } else { "deploy" };
        let rotated = self
            .rotated_after
            .map(|after| format!(", rotatedAfter: {after}"))
            .unwrap_or_default();
        format!("{{ username: {username}, password: {secret}{rotated} }}")
    }
}

impl MaintenanceWish {
    fn lines(&self, out: &mut String) {
        let _ = writeln!(out, "  enabled: {}", self.enabled);
        let _ = writeln!(out, "  services: [{}]", self.services.join(", "));
        let _ = match &self.by {
            ByWish::Variable(value) if value == "true" => {
                writeln!(out, "  by: {{ variable: {CLOSING} }}")
            }
            ByWish::Variable(value) => {
                writeln!(out, "  by: {{ variable: {CLOSING}, value: \"{value}\" }}")
            }
            ByWish::Image {
                start,
                before_deploy,
                ready,
            } => {
                let command = |field: &str, command: &Option<String>| {
                    command
                        .as_ref()
                        .map(|command| format!(", {field}: \"{command}\""))
                        .unwrap_or_default()
                };
                let ready = ready
                    .as_ref()
                    .map(|ready| format!(", ready: {}", check(ready)))
                    .unwrap_or_default();
                writeln!(
                    out,
                    "  by: {{ image: \"{CLOSED_IMAGE}\"{}{}{ready} }}",
                    command("start", start),
                    command("beforeDeploy", before_deploy),
                )
            }
        };
        if let Some(page) = &self.page {
            let _ = writeln!(out, "  page: {}", page.yaml(&self.services));
        }
        let _ = writeln!(
            out,
            "  reason: orders are being repaired\n  until: {}",
            self.until
        );
    }
}

impl PageWish {
    fn yaml(&self, services: &[String]) -> String {
        let url = match services.first() {
            Some(service) if self.has_url => format!("url: \"https://{}/\", ", domain(service)),
            Some(_) | None => String::new(),
        };
        let open = if self.is_wrong { 204 } else { 200 };
        let within = self
            .within_seconds
            .map(|within| format!(", within: {within}s"))
            .unwrap_or_default();
        format!(
            "{{ {url}closed: {{ status: 503, contains: maintenance }}, open: {{ status: {open} }}{within} }}"
        )
    }
}

impl VariableWish {
    fn yaml(&self) -> String {
        match self {
            VariableWish::Text(text) => format!("\"{text}\""),
            VariableWish::Number(number) => number.to_string(),
            VariableWish::Flag(flag) => flag.to_string(),
            VariableWish::Absent => "{ absent: true }".to_owned(),
            VariableWish::Secret {
                name,
                sealed,
                rotated_after,
            } => {
                let mut out = format!("{{ from: {{ secret: {name} }}");
                if *sealed {
                    out.push_str(", sealed: true");
                }
                if let Some(after) = rotated_after {
                    let _ = write!(out, ", rotatedAfter: {after}");
                }
                out + " }"
            }
        }
    }
}
