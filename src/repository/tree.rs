//! The directories of a commit as git lists them, and which of their files are read for one environment.

use super::command::Trouble;
use super::id::Id;
use super::objects::{Objects, Sort};
use crate::files::{Entry, Gathering, joined};
use std::collections::{BTreeMap, BTreeSet};

/// Files and folders in one directory, with those in its folders or without.
#[derive(Debug)]
pub(super) struct Tree {
    /// The directory, as people are shown it.
    pub top: String,
    is_whole: bool,
    id: Id,
    entries: BTreeMap<String, Found>,
    /// Paths that are there twice: git itself writes no such thing.
    twice: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Found {
    pub id: Id,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    File,
    Folder,
    Link,
    Module,
    Other,
}

/// More than this below one directory is no directory of manifests.
const MOST: usize = 200_000;

impl Tree {
    /// A directory of a commit; nothing where there is no such directory.
    pub(super) async fn read(
        objects: &mut Objects<'_>,
        commit: Id,
        top: &str,
        is_whole: bool,
    ) -> Result<Option<Tree>, Trouble> {
        let Some((id, Sort::Folder)) = objects.at(commit, top).await? else {
            return Ok(None);
        };
        let listed = objects.list(id, is_whole).await?;
        if listed.len() > MOST {
            return Err(Trouble::Refused(format!(
                "more than {MOST} files and folders are no directory of manifests: name one that holds manifests only"
            )));
        }
        let mut tree = Tree {
            top: top.to_owned(),
            is_whole,
            id,
            entries: BTreeMap::new(),
            twice: BTreeSet::new(),
        };
        for one in listed {
            let mode = match one.mode.as_str() {
                "100644" | "100755" => Mode::File,
                "040000" => Mode::Folder,
                "120000" => Mode::Link,
                "160000" => Mode::Module,
                _ => Mode::Other,
            };
            let path = joined(top, &one.path);
            let found = Found { id: one.id, mode };
            if tree.entries.insert(path.clone(), found).is_some() {
                tree.twice.insert(path);
            }
        }
        Ok(Some(tree))
    }

    /// Whether it tells everything about a directory and what is directly in it.
    pub(super) fn covers(&self, directory: &str) -> bool {
        directory == self.top || self.is_whole && is_below(directory, &self.top)
    }

    /// The id of a directory.
    pub(super) fn id_of(&self, directory: &str) -> Option<Id> {
        if directory == self.top {
            return Some(self.id);
        }
        let found = self.entries.get(directory)?;
        (found.mode == Mode::Folder).then_some(found.id)
    }

    /// Directories that directly hold regular files with the names of manifests, each with those; not what is hidden.
    pub(super) fn with_manifests(&self) -> BTreeMap<&str, Vec<(&str, Id)>> {
        let mut folders: BTreeMap<&str, Vec<(&str, Id)>> = BTreeMap::new();
        for (path, found) in &self.entries {
            let below = relative(path, &self.top);
            let is_hidden = below.split('/').any(|name| name.starts_with('.'));
            if found.mode == Mode::File && !is_hidden && crate::files::is_manifest(path) {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                folders.entry(folder).or_default().push((path, found.id));
            }
        }
        folders
    }

    /// What lies below a directory: all of it, or only what is directly in it.
    fn below<'a>(
        &'a self,
        directory: &'a str,
        with_folders: bool,
    ) -> impl Iterator<Item = (&'a String, &'a Found)> {
        let start = if directory.is_empty() {
            String::new()
        } else {
            format!("{directory}/")
        };
        let begins = start.clone();
        self.entries
            .range(start..)
            .take_while(move |(path, _)| path.starts_with(&begins))
            .filter(move |(path, _)| with_folders || !relative(path, directory).contains('/'))
    }

    /// Adds the files of a directory that are manifests.
    pub(super) async fn gather(
        &self,
        objects: &mut Objects<'_>,
        commit: Id,
        directory: &str,
        with_folders: bool,
        gathering: &mut Gathering,
    ) -> Result<(), Trouble> {
        let mut wanted = Vec::new();
        for (path, found) in self.below(directory, with_folders) {
            if found.mode == Mode::Folder {
                continue;
            }
            if self.is_twice(path, directory) {
                gathering.refuse(
                    path,
                    "name-clash",
                    "is there twice",
                    "write the commit anew with git itself: a directory names each file once",
                );
                continue;
            }
            let what = match found.mode {
                Mode::File => Entry::File,
                Mode::Module => Entry::Module,
                Mode::Link if leads_to_folder(objects, commit, path, found.id).await? => {
                    Entry::LinkToFolder
                }
                Mode::Link | Mode::Other | Mode::Folder => Entry::Odd,
            };
            if gathering.wants(directory, relative(path, directory), what) {
                // What was counted is read one after the other: nothing beyond the limits is held.
                wanted.push((path, found.id));
                if wanted.len() == READ_AT_ONCE {
                    take(objects, &mut wanted, gathering).await?;
                }
            }
        }
        take(objects, &mut wanted, gathering).await
    }

    /// Whether it, or a folder on the way to it, is there twice.
    fn is_twice(&self, path: &str, directory: &str) -> bool {
        if self.twice.is_empty() {
            return false;
        }
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.chain([path.len()])
            .map(|end| &path[..end])
            .any(|part| part.len() > directory.len() && self.twice.contains(part))
    }
}

const READ_AT_ONCE: usize = 16;

async fn take(
    objects: &mut Objects<'_>,
    wanted: &mut Vec<(&String, Id)>,
    gathering: &mut Gathering,
) -> Result<(), Trouble> {
    let ids: Vec<Id> = wanted.iter().map(|(_, id)| *id).collect();
    let contents = objects.contents(&ids).await?;
    for ((path, _), content) in wanted.drain(..).zip(contents) {
        match content {
            Some(content) => gathering.take(path, content),
            None => gathering.too_large(path),
        }
    }
    Ok(())
}

/// Whether a link leads to a directory of the same commit. Nothing is read through it.
async fn leads_to_folder(
    objects: &mut Objects<'_>,
    commit: Id,
    path: &str,
    link: Id,
) -> Result<bool, Trouble> {
    let target = objects
        .contents(&[link])
        .await?
        .into_iter()
        .next()
        .flatten();
    let Some(target) = target.and_then(|target| String::from_utf8(target).ok()) else {
        return Ok(false);
    };
    let mut steps: Vec<&str> = path.split('/').collect();
    steps.pop();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." if steps.pop().is_none() => return Ok(false),
            ".." => {}
            step => steps.push(step),
        }
    }
    if target.starts_with('/') || target.len() > 4096 {
        return Ok(false);
    }
    let at = objects.at(commit, &steps.join("/")).await?;
    Ok(matches!(at, Some((_, Sort::Folder))))
}

/// A path within a directory that it is below.
fn relative<'a>(path: &'a str, directory: &str) -> &'a str {
    if directory.is_empty() {
        return path;
    }
    path.get(directory.len() + 1..).unwrap_or_default()
}

fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}
