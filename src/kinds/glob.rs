//! Patterns of keys as Redis understands them: what one fits, and whether two may fit the same.

/// Whether a pattern fits a key. `*`, `?`, `[a-z]`, `[^a]`, and `\` before a sign that is meant as it is.
pub fn fits(pattern: &[u8], key: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the last star stands, and how much of the key it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while place < key.len() {
        let step = match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
                continue;
            }
            Some(_) => one(pattern, at, key[place]),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => {
                at = next;
                place += 1;
            }
            (None, Some((from, taken))) => {
                star = Some((from, taken + 1));
                at = from + 1;
                place = taken + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|sign| *sign == b'*')
}

/// Where the pattern goes on after one sign, if that fits.
fn one(pattern: &[u8], at: usize, sign: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == sign).then_some(at + 2),
        b'[' => {
            let end = at + 1 + pattern[at + 1..].iter().position(|it| *it == b']')?;
            let inside = &pattern[at + 1..end];
            let (inside, is_not) = match inside.strip_prefix(b"^") {
                Some(rest) => (rest, true),
                None => (inside, false),
            };
            (is_among(inside, sign) != is_not).then_some(end + 1)
        }
        plain => (*plain == sign).then_some(at + 1),
    }
}

fn is_among(inside: &[u8], sign: u8) -> bool {
    let mut at = 0;
    while at < inside.len() {
        if at + 2 < inside.len() && inside[at + 1] == b'-' {
            if (inside[at]..=inside[at + 2]).contains(&sign) {
                return true;
            }
            at += 3;
        } else {
            if inside[at] == sign {
                return true;
            }
            at += 1;
        }
    }
    false
}

/// What every key that a pattern fits begins with.
pub fn beginning(pattern: &str) -> &str {
    let end = pattern.find(['*', '?', '[', '\\']);
    &pattern[..end.unwrap_or(pattern.len())]
}

/// Whether two patterns may fit the same key, judged by how they begin: it never says no where they do.
pub fn may_meet(one: &str, other: &str) -> bool {
    let (one, other) = (beginning(one), beginning(other));
    one.starts_with(other) || other.starts_with(one)
}
