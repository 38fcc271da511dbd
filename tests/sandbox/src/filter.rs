//! The filter language of logs: `@level:error AND "connection refused"`, with OR, a minus for NOT, and parentheses.

/// What a row of a log has to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Any,
    Text(String),
    Attribute(String, Test),
    Not(Box<Filter>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Is(String),
    Above(f64),
    AtLeast(f64),
    Below(f64),
    AtMost(f64),
    Between(f64, f64),
}

impl Filter {
    /// Reads what somebody typed; what makes no sense is taken for text, as a search box does.
    pub fn parse(text: &str) -> Filter {
        let mut words = Words::of(text);
        let filter = either(&mut words);
        match filter {
            Filter::And(all) if all.is_empty() => Filter::Any,
            filter => filter,
        }
    }

    pub fn matches(&self, text: &str, attribute: &dyn Fn(&str) -> Option<String>) -> bool {
        match self {
            Filter::Any => true,
            Filter::Text(wanted) => text.to_lowercase().contains(&wanted.to_lowercase()),
            Filter::Attribute(name, test) => {
                attribute(name).is_some_and(|value| test.holds(&value))
            }
            Filter::Not(other) => !other.matches(text, attribute),
            Filter::And(all) => all.iter().all(|one| one.matches(text, attribute)),
            Filter::Or(all) => all.iter().any(|one| one.matches(text, attribute)),
        }
    }

    /// The values that an attribute must have, such as the snapshot whose build is asked for.
    pub fn named(&self, attribute: &str) -> Vec<&str> {
        match self {
            Filter::Attribute(name, Test::Is(value)) if name == attribute => vec![value],
            Filter::And(all) | Filter::Or(all) => {
                all.iter().flat_map(|one| one.named(attribute)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Test {
    fn parse(text: &str) -> Test {
        let number = |text: &str| text.parse::<f64>().ok();
        let after = |sign: &str| text.strip_prefix(sign).and_then(number);
        let range = || {
            let (low, high) = text.split_once("..")?;
            Some(Test::Between(number(low)?, number(high)?))
        };
        after(">=")
            .map(Test::AtLeast)
            .or_else(|| after("<=").map(Test::AtMost))
            .or_else(|| after(">").map(Test::Above))
            .or_else(|| after("<").map(Test::Below))
            .or_else(range)
            .unwrap_or_else(|| Test::Is(text.to_string()))
    }

    fn holds(&self, value: &str) -> bool {
        let number = || value.parse::<f64>().unwrap_or(f64::NAN);
        match self {
            Test::Is(wanted) => value.eq_ignore_ascii_case(wanted),
            Test::Above(bound) => number() > *bound,
            Test::AtLeast(bound) => number() >= *bound,
            Test::Below(bound) => number() < *bound,
            Test::AtMost(bound) => number() <= *bound,
            Test::Between(low, high) => (*low..=*high).contains(&number()),
        }
    }
}

fn either(words: &mut Words<'_>) -> Filter {
    let mut all = vec![together(words)];
    while words.take("OR") {
        all.push(together(words));
    }
    if all.len() == 1 {
        all.remove(0)
    } else {
        Filter::Or(all)
    }
}

fn together(words: &mut Words<'_>) -> Filter {
    let mut all = Vec::new();
    while let Some(word) = words.peek() {
        match word {
            "OR" | ")" => break,
            "AND" => {
                words.next();
            }
            _ => all.push(one(words)),
        }
    }
    if all.len() == 1 {
        all.remove(0)
    } else {
        Filter::And(all)
    }
}

fn one(words: &mut Words<'_>) -> Filter {
    if words.take("(") {
        let inner = either(words);
        words.take(")");
        return inner;
    }
    let word = words.next().unwrap_or_default();
    if word == "NOT" || word == "-" {
        return Filter::Not(Box::new(one(words)));
    }
    if let Some(negated) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
        return Filter::Not(Box::new(term(negated)));
    }
    term(word)
}

fn term(word: &str) -> Filter {
    let replica = word.strip_prefix("replica:").map(|id| ("replica", id));
    let attribute = word.strip_prefix('@').and_then(|rest| rest.split_once(':'));
    match attribute.or(replica) {
        Some((name, value)) => {
            Filter::Attribute(name.to_string(), Test::parse(value.trim_matches('"')))
        }
        None => Filter::Text(word.trim_matches('"').to_string()),
    }
}

/// Words, quoted texts and parentheses, one after the other.
struct Words<'t> {
    all: Vec<&'t str>,
    at: usize,
}

impl<'t> Words<'t> {
    fn of(text: &'t str) -> Words<'t> {
        let mut all = Vec::new();
        let mut start = None;
        let mut quoted = false;
        for (at, letter) in text.char_indices() {
            let ends = !quoted && (letter.is_whitespace() || letter == '(' || letter == ')');
            if letter == '"' {
                quoted = !quoted;
            }
            if !ends {
                start.get_or_insert(at);
                continue;
            }
            if let Some(start) = start.take() {
                all.push(&text[start..at]);
            }
            if letter == '(' || letter == ')' {
                all.push(&text[at..=at]);
            }
        }
        if let Some(start) = start {
            all.push(&text[start..]);
        }
        Words { all, at: 0 }
    }

    fn peek(&self) -> Option<&'t str> {
        self.all.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'t str> {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn take(&mut self, wanted: &str) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, text: &str) -> bool {
        let attribute = |name: &str| match name {
            "level" => Some("error".to_string()),
            "httpStatus" => Some("502".to_string()),
            _ => None,
        };
        Filter::parse(filter).matches(text, &attribute)
    }

    #[test]
    fn words_are_joined_negated_and_compared() {
        for (filter, is_match) in [
            ("", true),
            ("refused", true),
            ("\"connection refused\"", true),
            ("\"refused connection\"", false),
            ("connection AND refused", true),
            ("connection accepted", false),
            ("accepted OR refused", true),
            ("@level:error AND refused", true),
            ("@level:info OR @level:error", true),
            ("-@level:error", false),
            ("-accepted", true),
            ("(accepted OR refused) AND @httpStatus:>=500", true),
            ("@httpStatus:400..499", false),
            ("@httpStatus:<500", false),
            ("@replica:x", false),
            (")", true),
        ] {
            assert_eq!(matches(filter, "Connection refused"), is_match, "{filter}");
        }
    }
}
