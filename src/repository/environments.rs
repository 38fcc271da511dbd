//! The environments of a commit: where they are, and what each asks for or what is wrong with it. What did not change is not read again.

use super::claims::conflicts;
use super::command::Trouble;
use super::id::Id;
use super::objects::Objects;
use super::tree::Tree;
use crate::files::{Gathering, LARGEST};
use crate::manifest::{self, Checked, Parses};
use crate::problem::Problem;
use crate::source::Files;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Texts whose trees are kept, bytes: those of bases, which are read for every environment on them.
const PARSED_BYTES: usize = 256 * 1024;
/// More environments than this are not managed by one controller.
const MOST: usize = 20_000;

/// What a commit says.
#[derive(Debug, Clone)]
pub struct Look {
    /// The commit.
    pub commit: Id,
    /// Each environment by its directory, and every directory that was asked for and is there.
    pub environments: BTreeMap<String, Result<Arc<Checked>, Broken>>,
    /// What is wrong with all of it: then nothing is known of any environment.
    pub problems: Vec<Problem>,
}

/// An environment that cannot be read, or may not be what it says.
#[derive(Debug, Clone)]
pub struct Broken {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Its files, as far as they were read: to show the places.
    pub files: Files,
}

/// What was read of earlier commits, bounded.
#[derive(Debug)]
pub(super) struct Cache {
    pub parses: Parses,
    /// Whether a directory, by its id, declares an environment in a file directly in it.
    declares: HashMap<Id, bool>,
    /// What the files of bases said last, by path: all environments on a base hold one copy.
    shared: BTreeMap<Arc<str>, Arc<str>>,
    loaded: BTreeMap<String, Loaded>,
    pub loads: u64,
}

/// An environment that was in order.
#[derive(Debug, Clone)]
struct Loaded {
    own: Id,
    base: Option<(String, Option<Id>)>,
    /// Time only heals (see `manifest::load_with`): it is in order at any later time.
    at: Timestamp,
    manifests: Arc<Checked>,
}

/// An environment as one commit has it.
pub(super) struct Version {
    pub manifests: Arc<Checked>,
    /// The directory of its base.
    pub base: Option<String>,
}

impl Cache {
    pub(super) fn new() -> Cache {
        Cache {
            parses: Parses::keeping(PARSED_BYTES),
            declares: HashMap::new(),
            shared: BTreeMap::new(),
            loaded: BTreeMap::new(),
            loads: 0,
        }
    }

    /// The same files, those of the base as other environments hold them.
    fn with_shared(&mut self, files: Files, base: &str) -> Files {
        let share = |(path, text): (Arc<str>, Arc<str>)| {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            if parent != base {
                return (path, text);
            }
            match self.shared.get_key_value(&path) {
                Some((known, same)) if *same == text => (Arc::clone(known), Arc::clone(same)),
                _ => {
                    self.shared.insert(Arc::clone(&path), Arc::clone(&text));
                    (path, text)
                }
            }
        };
        Files {
            texts: files.texts.into_iter().map(share).collect(),
            ..files
        }
    }
}

/// One commit while it is read.
pub(super) struct Reading<'a> {
    pub objects: Objects<'a>,
    pub commit: Id,
    pub now: Timestamp,
    /// Directories that were listed, by their path.
    pub trees: Vec<Tree>,
}

impl Reading<'_> {
    /// All environments below a path, and those that were there before.
    pub(super) async fn look(
        &mut self,
        path: &str,
        known: &BTreeSet<String>,
        cache: &mut Cache,
    ) -> Result<Look, Trouble> {
        let mut look = Look {
            commit: self.commit,
            environments: BTreeMap::new(),
            problems: Vec::new(),
        };
        let Some(tree) = Tree::read(&mut self.objects, self.commit, path, true).await? else {
            let problem = Problem::of_file(path, "not-a-directory", "is not in the commit");
            look.problems.push(problem.help("bring it back, or start the controller with the path that holds the environments now"));
            return Ok(look);
        };
        let mut directories = self.declaring(&tree, cache).await?;
        directories.extend(
            known
                .iter()
                .filter(|known| tree.id_of(known).is_some())
                .cloned(),
        );
        if directories.len() > MOST {
            return Err(Trouble::Refused(format!(
                "the path holds more than {MOST} environments: let several controllers have a path each"
            )));
        }
        self.trees = vec![tree];
        let before = std::mem::take(&mut cache.loaded);
        for directory in directories {
            let known = before.get(&directory);
            let loaded = self.environment(&directory, known, cache).await?;
            let result = loaded.map(|loaded| {
                let manifests = Arc::clone(&loaded.manifests);
                cache.loaded.insert(directory.clone(), loaded);
                manifests
            });
            look.environments.insert(directory, result);
            // Checking takes time: others want to get on, too.
            tokio::task::yield_now().await;
        }
        refuse_conflicts(&mut look);
        Ok(look)
    }

    /// One environment of the commit, for what was declared before; nothing where it cannot be read.
    pub(super) async fn one(
        &mut self,
        directory: &str,
        cache: &mut Cache,
    ) -> Result<Option<Version>, Trouble> {
        let Some(tree) = Tree::read(&mut self.objects, self.commit, directory, true).await? else {
            return Ok(None);
        };
        self.trees = vec![tree];
        let known = cache.loaded.get(directory).cloned();
        let loaded = self.environment(directory, known.as_ref(), cache).await?;
        Ok(loaded.ok().map(|loaded| Version {
            manifests: loaded.manifests,
            base: loaded.base.map(|(base, _)| base),
        }))
    }

    /// The directories with an Environment directly in them.
    async fn declaring(
        &mut self,
        tree: &Tree,
        cache: &mut Cache,
    ) -> Result<BTreeSet<String>, Trouble> {
        let known = std::mem::take(&mut cache.declares);
        let mut directories = BTreeSet::new();
        for (directory, files) in tree.with_manifests() {
            let Some(id) = tree.id_of(directory) else {
                continue;
            };
            let declares = match known.get(&id) {
                Some(declares) => *declares,
                None => self.declares(&files, &mut cache.parses).await?,
            };
            cache.declares.insert(id, declares);
            if declares {
                directories.insert(directory.to_owned());
            }
        }
        Ok(directories)
    }

    async fn declares(
        &mut self,
        files: &[(&str, Id)],
        parses: &mut Parses,
    ) -> Result<bool, Trouble> {
        for (path, id) in files {
            let content = self
                .objects
                .contents(&[*id])
                .await?
                .into_iter()
                .next()
                .flatten();
            let text = content.and_then(|content| String::from_utf8(content).ok());
            let path = Arc::from(*path);
            let is_one = text.is_some_and(|text| {
                text.len() as u64 <= LARGEST && manifest::declares_environment(&path, &text, parses)
            });
            if is_one {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What was loaded before where nothing of it changed, else what the files say.
    async fn environment(
        &mut self,
        directory: &str,
        known: Option<&Loaded>,
        cache: &mut Cache,
    ) -> Result<Result<Loaded, Broken>, Trouble> {
        let own = self
            .tree(directory, true)
            .await?
            .and_then(|tree| self.trees[tree].id_of(directory));
        let own =
            own.ok_or_else(|| Trouble::Damaged(format!("{directory} is not in the commit")))?;
        if let Some(known) = known.filter(|known| known.own == own && known.at <= self.now) {
            let base = match &known.base {
                Some((base, _)) => Some((base.clone(), self.id_of(base).await?)),
                None => None,
            };
            if base == known.base {
                return Ok(Ok(known.clone()));
            }
        }
        self.load(directory, own, cache).await
    }

    async fn load(
        &mut self,
        directory: &str,
        own: Id,
        cache: &mut Cache,
    ) -> Result<Result<Loaded, Broken>, Trouble> {
        cache.loads += 1;
        let mut gathering = Gathering::of(directory);
        self.gather(directory, true, &mut gathering).await?;
        let base = if gathering.is_fine() {
            manifest::base_directory_with(gathering.files(), &mut cache.parses)
        } else {
            None
        };
        let mut base_id = None;
        if let Some(base) = &base {
            base_id = self.id_of(base).await?;
            self.gather(base, false, &mut gathering).await?;
            if base_id.is_none() && self.objects.at(self.commit, base).await?.is_some() {
                gathering.refuse(
                    base,
                    "not-a-directory",
                    "is not a directory, and links are not followed",
                    "name the directory itself in `base`",
                );
            }
        }
        let files = gathering.files().clone();
        let checked = gathering
            .whole()
            .map(|files| match &base {
                Some(base) => cache.with_shared(files, base),
                None => files,
            })
            .and_then(|files| Checked::of(files, self.now, &mut cache.parses));
        Ok(match checked {
            Ok(manifests) => Ok(Loaded {
                own,
                base: base.map(|base| (base, base_id)),
                at: self.now,
                manifests: Arc::new(manifests),
            }),
            Err(problems) => Err(Broken { problems, files }),
        })
    }

    async fn gather(
        &mut self,
        directory: &str,
        with_folders: bool,
        gathering: &mut Gathering,
    ) -> Result<(), Trouble> {
        let Some(tree) = self.tree(directory, with_folders).await? else {
            return Ok(());
        };
        self.trees[tree]
            .gather(
                &mut self.objects,
                self.commit,
                directory,
                with_folders,
                gathering,
            )
            .await
    }

    async fn id_of(&mut self, directory: &str) -> Result<Option<Id>, Trouble> {
        let tree = self.tree(directory, false).await?;
        Ok(tree.and_then(|tree| self.trees[tree].id_of(directory)))
    }

    /// The list that tells of a directory, read where it is not there yet.
    async fn tree(&mut self, directory: &str, is_whole: bool) -> Result<Option<usize>, Trouble> {
        // A base that leads out of the repository leads nowhere.
        if directory.split('/').any(|name| name == "..") || directory.starts_with('/') {
            return Ok(None);
        }
        if let Some(tree) = self.trees.iter().position(|tree| tree.covers(directory)) {
            return Ok(Some(tree));
        }
        let read = Tree::read(&mut self.objects, self.commit, directory, is_whole).await?;
        Ok(read.map(|tree| {
            self.trees.push(tree);
            self.trees.len() - 1
        }))
    }
}

/// Environments that take what another one takes are problems, all of them.
fn refuse_conflicts(look: &mut Look) {
    let fine = look.environments.iter().filter_map(|(directory, result)| {
        let manifests = result.as_ref().ok()?;
        Some((directory.as_str(), manifests.as_ref()))
    });
    for (directory, problems) in conflicts(fine) {
        let files = Files::default();
        look.environments
            .insert(directory, Err(Broken { problems, files }));
    }
}
