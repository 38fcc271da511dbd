//! Relay connections: one page of a list, with cursors that survive changes of the list.

use serde_json::json;

use crate::node::{Answer, Asked, Node};

#[derive(Clone)]
pub struct Page<'s> {
    /// With the key that makes the cursor.
    items: Vec<(String, Node<'s>)>,
    has_next: bool,
    has_previous: bool,
}

impl<'s> Page<'s> {
    pub fn of(
        items: impl IntoIterator<Item = (String, Node<'s>)>,
        asked: &Asked<'_>,
        default_size: u32,
    ) -> Answer<'s> {
        Answer::One(Node::Page(Page::cut(
            items.into_iter().collect(),
            asked,
            default_size as usize,
        )))
    }

    fn cut(mut items: Vec<(String, Node<'s>)>, asked: &Asked<'_>, default_size: usize) -> Page<'s> {
        let place = |items: &[(String, Node<'_>)], cursor: &str| {
            let key = cursor.strip_prefix(CURSOR).unwrap_or(cursor);
            items.iter().position(|(known, _)| known == key)
        };
        let mut has_next = false;
        let mut has_previous = false;
        if let Some(at) = asked
            .optional("before")
            .and_then(|cursor| place(&items, cursor))
        {
            items.truncate(at);
            has_next = true;
        }
        if let Some(at) = asked
            .optional("after")
            .and_then(|cursor| place(&items, cursor))
        {
            items.drain(..=at);
            has_previous = true;
        }
        let (first, last) = (asked.number("first"), asked.number("last"));
        if let Some(size) = first.or((last.is_none()).then_some(default_size)) {
            has_next |= items.len() > size;
            items.truncate(size);
        }
        if let Some(size) = last {
            has_previous |= items.len() > size;
            items.drain(..items.len().saturating_sub(size));
        }
        Page {
            items,
            has_next,
            has_previous,
        }
    }

    pub fn answer(&self, field: &str) -> Answer<'s> {
        if field == "edges" {
            return Answer::Many(
                self.items
                    .iter()
                    .map(|(key, node)| Node::Edge(cursor(key), Box::new(node.clone())))
                    .collect(),
            );
        }
        let end = |item: Option<&(String, Node<'_>)>| item.map(|(key, _)| cursor(key));
        Answer::plain(json!({
            "hasNextPage": self.has_next,
            "hasPreviousPage": self.has_previous,
            "startCursor": end(self.items.first()),
            "endCursor": end(self.items.last()),
        }))
    }
}

const CURSOR: &str = "cursor:";

fn cursor(key: &str) -> String {
    format!("{CURSOR}{key}")
}
