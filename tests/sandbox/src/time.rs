//! Moments as the sandbox counts them: milliseconds since 1970, written as Railway writes them.

use jiff::Timestamp;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Time {
    pub fn parse(text: &str) -> Result<Time, String> {
        let moment: Timestamp = text
            .parse()
            .map_err(|_| format!("`{text}` is not an RFC 3339 time"))?;
        Ok(Time(moment.as_millisecond()))
    }

    /// The real time, for a sandbox that is served to people.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one door to the clock of the machine"
    )]
    pub fn now() -> Time {
        Time(Timestamp::now().as_millisecond())
    }

    pub fn plus_seconds(self, seconds: f64) -> Time {
        Time(self.0 + (seconds * 1000.0).round() as i64)
    }

    pub fn plus_milliseconds(self, milliseconds: i64) -> Time {
        Time(self.0 + milliseconds)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment =
            Timestamp::from_millisecond(self.0).expect("times stay within the years of jiff");
        write!(out, "{moment:.3}")
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Time, D::Error> {
        let text = String::deserialize(input)?;
        Time::parse(&text).map_err(serde::de::Error::custom)
    }
}
