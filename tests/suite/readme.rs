//! The README: what it lists is there, and what is there is listed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn every_link_leads_somewhere() {
    for part in readme().split("](").skip(1) {
        let path = part.split(')').next().unwrap();
        assert!(root().join(path).exists(), "{path}");
    }
}

#[test]
fn the_map_shows_every_module_in_its_order() {
    let readme = readme();
    let map = readme.split("## The map").nth(1).unwrap();
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let mut after = 0;
    for module in modules {
        let is_folder = root().join("src").join(module).is_dir();
        let name = match is_folder {
            true => format!("\n  {module}/"),
            false => format!("\n  {module}.rs"),
        };
        let place = map.find(&name).unwrap_or_else(|| panic!("no {module}"));
        assert!(place > after, "{module} is out of order");
        after = place;
    }
}

#[test]
fn every_command_is_in_the_table() {
    let help = Command::new(env!("CARGO_BIN_EXE_reconciler"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("Options:").next().unwrap();
    let names = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty() && *word != "help");
    let readme = readme();
    for name in names {
        let is_there = readme
            .lines()
            .any(|line| line.starts_with("| `") && line.contains(&format!("`{name}")));
        assert!(is_there, "{name} is in no row");
    }
}

/// Every key of Railway's configuration that the facts know (facts/railway.md 2.2): managed, or not and why.
const CONFIGURATION: &str = "image repo branch commitSha upstreamUrl rootDirectory checkSuites autoUpdates
    builder buildCommand buildEnvironment dockerfilePath watchPatterns nixpacksConfigPath nixpacksPlan nixpacksVersion railpackVersion
    startCommand preDeployCommand healthcheckPath healthcheckTimeout ipv6EgressEnabled numReplicas region multiRegionConfig
    stackerAssignment cronSchedule restartPolicyType restartPolicyMaxRetries sleepApplication registryCredentials limitOverride cpu
    memoryBytes diskBytes requiredMountPath overlapSeconds drainingSeconds runtime useLegacyStacker
    value defaultValue description isOptional isSealed generator encryptedValue preserveExisting
    serviceDomains customDomains tcpProxies privateNetworkEndpoint mountPath backupSchedules
    configFile parentServiceId groupId clusterRole clusterWiring replicaConfig clusterDisplay isCreated isDeleted
    sharedVariables sizeMB alerts allowOnlineResize forkFromBaseEnvironment privateNetworkDisabled degraded stopServices";

#[test]
fn every_key_of_railways_configuration_is_managed_or_named_with_the_reason() {
    let readme = readme();
    let table = readme
        .split("### What is managed of Railway's configuration")
        .nth(1)
        .unwrap();
    let table = table.split("\n## ").next().unwrap();
    for key in CONFIGURATION.split_whitespace() {
        assert!(table.contains(&format!("`{key}`")), "{key} is not named");
    }
}
