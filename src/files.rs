//! Reads the manifest files of a directory, and of its base: regular files only, bounded in number and size.

use crate::manifest::base_directory;
use crate::problem::Problem;
use crate::source::Files;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file beyond this is no manifest, bytes.
const LARGEST: u64 = 1024 * 1024;
/// All files together, bytes.
const TOGETHER: usize = 10 * 1024 * 1024;
/// Files below one environment and its base.
const MOST: usize = 2_000;
/// Folders within folders.
const DEEPEST: usize = 16;

/// Reads every `.yaml` and `.yml` below a directory and below the base that its Environment names.
///
/// # Errors
/// A problem for everything that is not read: nothing is left out in silence.
pub fn read_directory(directory: &Path) -> Result<Files, Vec<Problem>> {
    let shown = shown(directory);
    let mut reading = Reading {
        files: Files {
            directory: shown.clone(),
            ..Files::default()
        },
        bytes: 0,
        problems: Vec::new(),
    };
    reading.top(directory, &shown);
    if reading.problems.is_empty()
        && let Some(base) = base_directory(&reading.files)
    {
        match link_towards(&base, &shown) {
            Some(link) => reading.refuse(
                &link,
                "not-a-directory",
                "is a link, and links are not followed",
                "name the directory itself in `base`",
            ),
            None => reading.top(Path::new(if base.is_empty() { "." } else { &base }), &base),
        }
    }
    if reading.problems.is_empty() {
        Ok(reading.files)
    } else {
        Err(reading.problems)
    }
}

/// Paths are shown as they were given, without `./`, so that an editor finds them.
fn shown(directory: &Path) -> String {
    let cleaned: PathBuf = directory
        .components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect();
    cleaned.to_string_lossy().into_owned()
}

/// The first link on the way to the base, beyond what the person has named: a base is data, and must not lead out of the commit.
fn link_towards(base: &str, named: &str) -> Option<String> {
    let mut path = PathBuf::new();
    let mut given = Path::new(named).components();
    let mut is_given = true;
    for part in Path::new(base).components() {
        path.push(part);
        is_given = is_given && given.next() == Some(part);
        if !is_given && path.is_symlink() {
            return Some(path.to_string_lossy().into_owned());
        }
    }
    None
}

struct Reading {
    files: Files,
    bytes: usize,
    problems: Vec<Problem>,
}

impl Reading {
    fn top(&mut self, directory: &Path, shown: &str) {
        let label = if shown.is_empty() { "." } else { shown };
        match fs::metadata(directory) {
            Ok(kind) if kind.is_dir() => self.folder(directory, shown, 0),
            Ok(_) => self.refuse(
                label,
                "not-a-directory",
                "is not a directory",
                "give the directory of an environment, such as `manifests/production`",
            ),
            Err(failure) => self.refuse(
                label,
                "unreadable",
                &format!("cannot be read: {}", words(&failure)),
                "give the directory of an environment, such as `manifests/production`",
            ),
        }
    }

    fn refuse(&mut self, path: &str, code: &'static str, message: &str, help: &str) {
        self.problems
            .push(Problem::of_file(path, code, message).help(help));
    }

    fn folder(&mut self, directory: &Path, shown: &str, depth: usize) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(failure) => {
                return self.refuse(
                    shown,
                    "unreadable",
                    &format!("cannot be read: {}", words(&failure)),
                    "check its permissions",
                );
            }
        };
        let mut names: Vec<_> = entries.filter_map(Result::ok).collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let path = if shown.is_empty() {
                name.clone()
            } else {
                format!("{shown}/{name}")
            };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEEPEST => {
                    self.folder(&entry.path(), &path, depth + 1);
                }
                Ok(kind) if kind.is_dir() => self.refuse(
                    &path,
                    "too-deep",
                    "lies too deep",
                    "keep manifests within 16 folders",
                ),
                Ok(kind) if kind.is_symlink() && entry.path().is_dir() => self.refuse(
                    &path,
                    "not-a-file",
                    "is a link to a directory, and links are not followed",
                    "put the directory itself there, or name it in `base`",
                ),
                Ok(_) if !is_manifest(&name) => {}
                Ok(kind) if kind.is_file() => self.file(&entry.path(), &path),
                Ok(_) => self.refuse(
                    &path,
                    "not-a-file",
                    "is a link or a device, and manifests are read from regular files only",
                    "put the file itself there",
                ),
                Err(failure) => self.refuse(
                    &path,
                    "unreadable",
                    &format!("cannot be read: {}", words(&failure)),
                    "check its permissions",
                ),
            }
        }
    }

    fn file(&mut self, path: &Path, shown: &str) {
        if self.files.texts.len() >= MOST {
            if self.files.texts.len() == MOST {
                self.refuse(
                    shown,
                    "too-many-files",
                    "is one file too many: at most 2,000 are read",
                    "give the directory of one environment",
                );
            }
            return;
        }
        let mut bytes = Vec::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        if let Err(failure) = read {
            return self.refuse(
                shown,
                "unreadable",
                &format!("cannot be read: {}", words(&failure)),
                "check its permissions",
            );
        }
        self.bytes += bytes.len();
        if bytes.len() as u64 > LARGEST || self.bytes > TOGETHER {
            return self.refuse(
                shown,
                "too-large",
                "is too large: a file may have 1 MiB, all together 10 MiB",
                "split it, or move what is no manifest elsewhere",
            );
        }
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.files.texts.insert(shown.into(), text.into());
            }
            Err(_) => self.refuse(shown, "not-utf-8", "is not UTF-8 text", "save it as UTF-8"),
        }
    }
}

fn is_manifest(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml")
}

fn words(failure: &std::io::Error) -> String {
    match failure.kind() {
        std::io::ErrorKind::NotFound => "there is no such directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => failure.to_string(),
    }
}
