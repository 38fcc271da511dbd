//! What was parsed before, by path and content: of a new commit only what changed is parsed.

use super::parse::{Parsed, parse};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

type Content = [u8; 32];

/// Parsed files that are kept, bounded by the bytes of their texts.
///
/// There are two generations. What is asked for is moved to the young one; when that has its half, it becomes the old one and the old one goes.
#[derive(Debug)]
pub struct Parses {
    most_bytes: usize,
    young: HashMap<Content, (Arc<Parsed>, usize)>,
    young_bytes: usize,
    old: HashMap<Content, (Arc<Parsed>, usize)>,
    count: u64,
}

impl Parses {
    /// Keeps files of so many bytes together; their trees need about twenty times as much memory.
    pub fn keeping(most_bytes: usize) -> Parses {
        Parses {
            most_bytes,
            young: HashMap::new(),
            young_bytes: 0,
            old: HashMap::new(),
            count: 0,
        }
    }

    /// How many texts were parsed so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn parsed(&mut self, path: &Arc<str>, text: &str) -> Arc<Parsed> {
        if self.most_bytes == 0 {
            self.count += 1;
            return Arc::new(parse(path, text));
        }
        let content = content(path, text);
        if let Some((known, _)) = self.young.get(&content) {
            return Arc::clone(known);
        }
        let (parsed, bytes) = self.old.remove(&content).unwrap_or_else(|| {
            self.count += 1;
            (Arc::new(parse(path, text)), text.len() + path.len())
        });
        self.keep(content, Arc::clone(&parsed), bytes);
        parsed
    }

    fn keep(&mut self, content: Content, parsed: Arc<Parsed>, bytes: usize) {
        let half = self.most_bytes / 2;
        if bytes > half {
            return;
        }
        if self.young_bytes + bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(content, (parsed, bytes));
    }
}

/// The path belongs to it: every place in the tree names it.
fn content(path: &str, text: &str) -> Content {
    let mut digest = Sha256::new();
    digest.update((path.len() as u64).to_le_bytes());
    digest.update(path);
    digest.update(text);
    digest.finalize().into()
}
