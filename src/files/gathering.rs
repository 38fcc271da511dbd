//! What may be read of a directory of manifests, in a work tree and in a commit alike: few files, small ones, with plain names.

use crate::problem::Problem;
use crate::source::Files;
use std::collections::BTreeMap;
use std::path::Path;

/// A file beyond this is no manifest, bytes.
pub const LARGEST: u64 = 1024 * 1024;
/// All files together, bytes.
const TOGETHER: usize = 10 * 1024 * 1024;
/// Files below one environment and its base.
const MOST: usize = 2_000;
/// Folders within folders.
const DEEPEST: usize = 16;
/// Beyond this many problems another one helps nobody.
const MOST_PROBLEMS: usize = 100;

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File,
    /// A directory.
    Folder,
    /// A repository within the repository.
    Module,
    /// A link that leads to a directory.
    LinkToFolder,
    /// Another link, a device, a pipe.
    Odd,
}

/// The files of one environment while they are gathered, with what is wrong about them.
#[derive(Debug)]
pub struct Gathering {
    files: Files,
    bytes: usize,
    /// Every file and folder on the way to a manifest, by its name in lower case.
    folded: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Gathering {
    /// Nothing yet, for the environment in a directory as people are shown it.
    pub fn of(directory: &str) -> Gathering {
        Gathering {
            files: Files {
                directory: directory.to_owned(),
                ..Files::default()
            },
            bytes: 0,
            folded: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Whether what lies at a path below a directory is to be read or entered. Files of other sorts are nobody's business here.
    pub fn wants(&mut self, directory: &str, below: &str, what: Entry) -> bool {
        let path = joined(directory, below);
        let names: Vec<&str> = below.split('/').collect();
        if names.iter().any(|name| is_trap(name)) {
            self.refuse(
                &path,
                "odd-name",
                "has a name that leads elsewhere",
                "take it out of the commit: `.`, `..` and `.git` cannot be names",
            );
            return false;
        }
        if names.iter().any(|name| name.starts_with('.')) {
            return false;
        }
        let is_folder = what == Entry::Folder;
        if names.len() - usize::from(!is_folder) > DEEPEST {
            // Once for the folder, not for each file in it.
            let deep: Vec<&str> = names[..=DEEPEST].to_vec();
            self.refuse(
                &joined(directory, &deep.join("/")),
                "too-deep",
                "lies too deep",
                "keep manifests within 16 folders",
            );
            return false;
        }
        match what {
            Entry::Folder => true,
            Entry::Module => {
                self.refuse(
                    &path,
                    "submodule",
                    "is a repository of its own, and submodules are not followed",
                    "put the directory itself there",
                );
                false
            }
            Entry::LinkToFolder => {
                self.refuse(
                    &path,
                    "not-a-file",
                    "is a link to a directory, and links are not followed",
                    "put the directory itself there, or name it in `base`",
                );
                false
            }
            Entry::File | Entry::Odd if !is_manifest(below) => false,
            Entry::Odd => {
                self.refuse(
                    &path,
                    "not-a-file",
                    "is a link or a device, and manifests are read from regular files only",
                    "put the file itself there",
                );
                false
            }
            Entry::File => self.is_plain(directory, below) && self.has_room(&path),
        }
    }

    /// Adds the content of a file; of one that is too large, as much as shows it.
    pub fn take(&mut self, path: &str, bytes: Vec<u8>) {
        if bytes.len() as u64 > LARGEST || self.bytes + bytes.len() > TOGETHER {
            return self.too_large(path);
        }
        self.bytes += bytes.len();
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.files.texts.insert(path.into(), text.into());
            }
            Err(_) => self.refuse(path, "not-utf-8", "is not UTF-8 text", "save it as UTF-8"),
        }
    }

    /// Says that a file is too large.
    pub fn too_large(&mut self, path: &str) {
        self.refuse(
            path,
            "too-large",
            "is too large: a file may have 1 MiB, all together 10 MiB",
            "split it, or move what is no manifest elsewhere",
        );
    }

    /// Adds a problem of a file or a directory.
    pub fn refuse(&mut self, path: &str, code: &'static str, message: &str, help: &str) {
        let path = visible(path);
        let is_said = |problem: &Problem| problem.file == path && problem.code == code;
        if self.problems.len() < MOST_PROBLEMS && !self.problems.iter().any(is_said) {
            let problem = Problem::of_file(&path, code, message).help(help);
            self.problems.push(problem);
        }
    }

    /// What was gathered so far.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Whether nothing was wrong so far.
    pub fn is_fine(&self) -> bool {
        self.problems.is_empty()
    }

    /// All files, or everything that is wrong.
    ///
    /// # Errors
    /// A problem for everything that is not read: nothing is left out in silence.
    pub fn whole(self) -> Result<Files, Vec<Problem>> {
        if self.problems.is_empty() {
            Ok(self.files)
        } else {
            Err(self.problems)
        }
    }

    /// Names that look alike everywhere, and are two files nowhere.
    fn is_plain(&mut self, directory: &str, below: &str) -> bool {
        if !below.split('/').all(is_plain_name) {
            self.refuse(
                &joined(directory, below),
                "odd-name",
                "has a name with signs that look different elsewhere",
                "use letters, digits, `.`, `_` and `-` for files and folders",
            );
            return false;
        }
        let ends = below.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([below.len()]) {
            let path = joined(directory, &below[..end]);
            let twin = self.folded.entry(path.to_lowercase());
            let twin = twin.or_insert_with(|| path.clone()).clone();
            if twin != path {
                let twin = twin.rsplit('/').next().unwrap_or_default();
                let message = format!("differs from `{twin}` only in capital letters");
                let help = "rename one of them: on some machines the two are one file";
                self.refuse(&path, "name-clash", &message, help);
                return false;
            }
        }
        true
    }

    fn has_room(&mut self, path: &str) -> bool {
        if self.files.texts.len() < MOST {
            return true;
        }
        if !self
            .problems
            .iter()
            .any(|problem| problem.code == "too-many-files")
        {
            self.refuse(
                path,
                "too-many-files",
                "is one file too many: at most 2,000 are read",
                "give the directory of one environment",
            );
        }
        false
    }
}

/// Whether a file is a manifest by its name.
pub fn is_manifest(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|ending| ending == "yaml" || ending == "yml")
}

/// Whether a name of a file or folder is the same on every machine.
pub fn is_plain_name(name: &str) -> bool {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_' | '-');
    !name.is_empty() && !is_trap(name) && name.chars().all(is_plain)
}

/// A path below a directory as people are shown it; "" is the current one.
pub fn joined(directory: &str, below: &str) -> String {
    if directory.is_empty() {
        below.to_owned()
    } else {
        format!("{directory}/{below}")
    }
}

fn is_trap(name: &str) -> bool {
    matches!(name, "" | "." | "..") || name.eq_ignore_ascii_case(".git")
}

/// A path that nobody can be deceived with.
fn visible(path: &str) -> String {
    path.chars()
        .map(|sign| match sign {
            ' '..='~' => sign.to_string(),
            sign if sign.is_alphanumeric() => sign.to_string(),
            sign => sign.escape_default().to_string(),
        })
        .collect()
}
