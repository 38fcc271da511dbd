//! Reads the manifest files of a directory, and of its base: regular files only, bounded in number and size.

mod gathering;

pub use gathering::{Entry, Gathering, LARGEST, is_manifest, is_plain_name, joined};

use crate::manifest::base_directory;
use crate::problem::Problem;
use crate::source::Files;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Reads every `.yaml` and `.yml` below a directory and in the base that its Environment names.
///
/// # Errors
/// A problem for everything that is not read: nothing is left out in silence.
pub fn read_directory(directory: &Path) -> Result<Files, Vec<Problem>> {
    let shown = shown(directory);
    let mut reading = Reading {
        gathering: Gathering::of(&shown),
    };
    reading.top(directory, &shown, Within::Folders);
    if reading.gathering.is_fine()
        && let Some(base) = base_directory(reading.gathering.files())
    {
        match link_towards(&base, &shown) {
            Some(link) => reading.gathering.refuse(
                &link,
                "not-a-directory",
                "is a link, and links are not followed",
                "name the directory itself in `base`",
            ),
            None => {
                let directory = Path::new(if base.is_empty() { "." } else { &base });
                reading.top(directory, &base, Within::Itself);
            }
        }
    }
    reading.gathering.whole()
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

/// How far a directory is read: an environment with all folders in it, a base is one level deep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Folders,
    Itself,
}

struct Reading {
    gathering: Gathering,
}

impl Reading {
    fn top(&mut self, directory: &Path, shown: &str, within: Within) {
        let label = if shown.is_empty() { "." } else { shown };
        match fs::metadata(directory) {
            Ok(kind) if kind.is_dir() => self.folder(directory, shown, "", within),
            Ok(_) => self.gathering.refuse(
                label,
                "not-a-directory",
                "is not a directory",
                "give the directory of an environment, such as `manifests/production`",
            ),
            Err(failure) => self.gathering.refuse(
                label,
                "unreadable",
                &format!("cannot be read: {}", words(&failure)),
                "give the directory of an environment, such as `manifests/production`",
            ),
        }
    }

    fn folder(&mut self, directory: &Path, top: &str, below: &str, within: Within) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(failure) => return self.unreadable(&joined(top, below), &failure),
        };
        let mut names: Vec<_> = entries.filter_map(Result::ok).collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            let name = entry.file_name().to_string_lossy().into_owned();
            // The repository that all of it lies in.
            if below.is_empty() && name == ".git" {
                continue;
            }
            let below = joined(below, &name);
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && within == Within::Itself => {}
                Ok(kind) => self.entry(&entry.path(), kind, top, &below),
                Err(failure) => self.unreadable(&joined(top, &below), &failure),
            }
        }
    }

    fn entry(&mut self, path: &Path, kind: fs::FileType, top: &str, below: &str) {
        let what = if kind.is_dir() && path.join(".git").exists() {
            Entry::Module
        } else if kind.is_dir() {
            Entry::Folder
        } else if kind.is_symlink() && path.is_dir() {
            Entry::LinkToFolder
        } else if kind.is_file() {
            Entry::File
        } else {
            Entry::Odd
        };
        if !self.gathering.wants(top, below, what) {
            return;
        }
        if what == Entry::Folder {
            self.folder(path, top, below, Within::Folders);
        } else {
            self.file(path, &joined(top, below));
        }
    }

    fn file(&mut self, path: &Path, shown: &str) {
        let mut bytes = Vec::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => self.gathering.take(shown, bytes),
            Err(failure) => self.unreadable(shown, &failure),
        }
    }

    fn unreadable(&mut self, shown: &str, failure: &std::io::Error) {
        self.gathering.refuse(
            shown,
            "unreadable",
            &format!("cannot be read: {}", words(failure)),
            "check its permissions",
        );
    }
}

fn words(failure: &std::io::Error) -> String {
    match failure.kind() {
        std::io::ErrorKind::NotFound => "there is no such directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => failure.to_string(),
    }
}
