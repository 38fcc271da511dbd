//! The shape of the code: modules use only what stands above them in `lib.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules in their order.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    lib.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn module_of(path: &Path) -> String {
    let first = path
        .strip_prefix(source())
        .unwrap()
        .components()
        .next()
        .unwrap();
    first
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let order: BTreeMap<String, usize> = modules()
        .into_iter()
        .enumerate()
        .map(|(position, name)| (name, position))
        .collect();
    assert!(order.len() > 8, "the modules of lib.rs were not found");
    let mut paths = Vec::new();
    files(&source(), &mut paths);
    let mut wrong = Vec::new();
    for path in paths {
        let module = module_of(&path);
        let Some(own) = order.get(&module) else {
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        // A sentence may name what stands below.
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for used in code.flat_map(|line| line.split("crate::").skip(1)) {
            let name: String = used
                .chars()
                .take_while(|sign| sign.is_ascii_alphanumeric() || *sign == '_')
                .collect();
            if order.get(&name).is_some_and(|position| position > own) {
                wrong.push(format!("{} uses {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_core_touches_nothing_outside() {
    let core = ["source", "problem", "world", "kinds", "manifest", "plan"];
    let doors = [
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "tokio::",
        "reqwest::",
        "std::thread",
    ];
    let mut paths = Vec::new();
    files(&source(), &mut paths);
    let mut wrong = Vec::new();
    for path in paths
        .iter()
        .filter(|path| core.contains(&module_of(path).as_str()))
    {
        let text = fs::read_to_string(path).unwrap();
        wrong.extend(
            doors
                .iter()
                .filter(|door| text.contains(*door))
                .map(|door| format!("{} names {door}", path.display())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Clippy sees the other doors; what counts on comes from tokio, and tests need it.
#[test]
fn only_the_clock_tells_a_moment() {
    let mut paths = Vec::new();
    files(&source(), &mut paths);
    let names_it = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("Instant::now");
    paths.retain(names_it);
    assert!(paths.is_empty(), "{paths:?}");
}

#[test]
fn every_file_opens_with_a_sentence_that_helps_to_choose_it() {
    let mut paths = Vec::new();
    files(&source(), &mut paths);
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} opens with no sentence",
            path.display()
        );
    }
}
