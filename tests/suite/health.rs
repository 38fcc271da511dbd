//! What answers say of a service's health, by tables; and whom a watch asks when.

use jiff::Timestamp;
use reconciler::clock::Clock;
use reconciler::kinds::service::health::{Answer, Closed, Question};
use reconciler::kinds::service::series::Series;
use reconciler::providers::health::{Heard, Watch};
use reconciler::providers::pages::Missed;
use reconciler::world::Seen;
use reconciler::world::health::Health;
use reconciler::world::page::Page;
use std::collections::BTreeMap;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// What is said after each answer: `+` good, `-` bad, `?` could not be asked; one every 30 seconds.
/// `H` and `U` with the seconds since when, `.` for not known.
fn said(answers: &str, failures: u32) -> String {
    let mut series = Series::default();
    let mut words = Vec::new();
    for (turn, sign) in answers.chars().enumerate() {
        let now = at(30 * i64::try_from(turn).unwrap());
        let answer = match sign {
            '+' => Answer::Good("HTTP 200".to_owned()),
            '-' => Answer::Bad("HTTP 500".to_owned()),
            _ => Answer::Silent("nothing can be reached".to_owned()),
        };
        series.heard(&answer, failures, now);
        words.push(word(&series.seen(EVERY, now)));
    }
    words.join(" ")
}

fn word(seen: &Seen<Health>) -> String {
    match seen {
        Seen::Facts(health) => {
            let sign = if health.is_healthy { "H" } else { "U" };
            format!("{sign}{}", (health.since - at(0)).get_seconds())
        }
        Seen::Unseen(_) | Seen::Unasked => ".".to_owned(),
    }
}

#[test]
fn a_series_of_answers_is_healthy_unhealthy_or_unknown() {
    let table = [
        // The first good answer is enough, the first bad ones are not.
        ("+", 3, "H0"),
        ("--", 3, ". ."),
        ("---", 3, ". . U0"),
        ("-", 1, "U0"),
        // It takes so many in a row; one good one in between begins anew.
        ("+--", 3, "H0 H0 H0"),
        ("+---", 3, "H0 H0 H0 U30"),
        ("+--+---", 3, "H0 H0 H0 H0 H0 H0 U120"),
        ("+--+--+--", 3, "H0 H0 H0 H0 H0 H0 H0 H0 H0"),
        // Two good ones end it.
        ("---+", 3, ". . U0 U0"),
        ("---++", 3, ". . U0 U0 H90"),
        ("---+-+-+", 3, ". . U0 U0 U0 U0 U0 U0"),
        // Silence says nothing, and what was known before is not known any more.
        ("?", 3, "."),
        ("+?", 3, "H0 ."),
        ("---?", 3, ". . U0 ."),
        ("---?-", 3, ". . U0 . ."),
        ("---?---", 3, ". . U0 . . . U120"),
        ("--?-", 3, ". . . ."),
        ("+?+", 3, "H0 . H60"),
    ];
    for (answers, failures, expected) in table {
        assert_eq!(said(answers, failures), expected, "{answers} by {failures}");
    }
}

#[test]
fn an_old_answer_says_nothing_of_now() {
    let mut series = Series::default();
    series.heard(&Answer::Good("HTTP 200".to_owned()), 3, at(0));
    assert_eq!(word(&series.seen(EVERY, at(120))), "H0");
    assert_eq!(word(&series.seen(EVERY, at(121))), ".");
}

fn question(host: &str) -> Question {
    Question {
        url: format!("https://{host}/health"),
        every: EVERY,
        within: Duration::from_secs(10),
        failures: 3,
        status: 200,
        closed: None,
    }
}

#[test]
fn a_closed_answer_is_expected_while_it_is_closed_and_not_otherwise() {
    let page = |status: u16, body: &str| Page {
        status,
        body: body.to_owned(),
    };
    let open = question("shop.example");
    let closed = Question {
        closed: Some(Closed {
            status: 503,
            contains: Some("maintenance".to_owned()),
        }),
        ..open.clone()
    };
    let word = |question: &Question, page: &Page| match question.judge(page) {
        Answer::Good(words) => format!("good: {words}"),
        Answer::Bad(words) => format!("bad: {words}"),
        Answer::Silent(words) => format!("silent: {words}"),
    };
    let shut = page(503, "closed for maintenance");
    assert_eq!(word(&closed, &shut), "good: HTTP 503 closed (expected)");
    assert_eq!(word(&open, &shut), "bad: HTTP 503, wanted 200");
    assert_eq!(
        word(&closed, &page(503, "upstream error")),
        "bad: HTTP 503, wanted 200"
    );
    assert_eq!(word(&closed, &page(200, "")), "good: HTTP 200");
}

/// A watch of services of one environment, and its clock.
struct Bench {
    watch: Watch,
    clock: Clock,
}

impl Bench {
    fn of(hosts: &[&str]) -> Bench {
        let clock = Clock::counted(at(0), 1);
        let mut watch = Watch::default();
        let questions = hosts
            .iter()
            .map(|host| ((*host).to_owned(), Ok(question(host))));
        watch.set("production", questions.collect(), &clock);
        Bench { watch, clock }
    }

    /// Asks whoever is due: the hosts that answer with a status, or do not.
    async fn turn(&mut self, answers: &BTreeMap<&str, Option<u16>>) {
        tokio::time::sleep(Duration::from_secs(40)).await;
        let now = self.clock.now();
        for due in self.watch.due(now, 100) {
            let page = match answers.get(due.whom.1.as_str()) {
                Some(Some(status)) => Ok(Page {
                    status: *status,
                    body: String::new(),
                }),
                Some(None) | None => Err(Missed::NotReached("connection refused".to_owned())),
            };
            let heard = Heard {
                whom: due.whom,
                question: due.question,
                asked_at: now,
                page,
            };
            self.watch.heard(heard, &self.clock);
        }
    }

    fn word(&self, host: &str) -> String {
        let health = self.watch.health("production", self.clock.now());
        match &health[host] {
            Seen::Facts(health) if health.is_healthy => "healthy".to_owned(),
            Seen::Facts(_) => "unhealthy".to_owned(),
            Seen::Unseen(_) | Seen::Unasked => "unknown".to_owned(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_reached_is_unhealthy_only_where_others_can_be() {
    let mut bench = Bench::of(&["a", "b"]);
    let both = BTreeMap::from([("a", Some(200)), ("b", Some(200))]);
    let one = BTreeMap::from([("a", None), ("b", Some(200))]);
    let none = BTreeMap::from([("a", None), ("b", None)]);
    for _ in 0..3 {
        bench.turn(&both).await;
    }
    assert_eq!(
        (bench.word("a"), bench.word("b")),
        ("healthy".into(), "healthy".into())
    );
    for _ in 0..5 {
        bench.turn(&none).await;
    }
    assert_eq!(
        (bench.word("a"), bench.word("b")),
        ("unknown".into(), "unknown".into())
    );
    for _ in 0..5 {
        bench.turn(&one).await;
    }
    assert_eq!(
        (bench.word("a"), bench.word("b")),
        ("unhealthy".into(), "healthy".into())
    );
    for _ in 0..3 {
        bench.turn(&both).await;
    }
    assert_eq!(
        (bench.word("a"), bench.word("b")),
        ("healthy".into(), "healthy".into())
    );
}

#[tokio::test(start_paused = true)]
async fn everybody_is_asked_in_turn_and_nobody_twice_at_once() {
    let hosts: Vec<String> = (0..1000).map(|number| format!("h{number}")).collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let mut bench = Bench::of(&names);
    let mut most = 0;
    let mut asked: BTreeMap<String, u32> = BTreeMap::new();
    let mut under_way = Vec::new();
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = bench.clock.now();
        let due = bench.watch.due(now, 400);
        most = most.max(due.len());
        for due in due {
            *asked.entry(due.whom.1.clone()).or_default() += 1;
            under_way.push(Heard {
                whom: due.whom,
                question: due.question,
                asked_at: now,
                page: Ok(Page {
                    status: 200,
                    body: String::new(),
                }),
            });
        }
        for heard in under_way.drain(..) {
            bench.watch.heard(heard, &bench.clock);
        }
    }
    assert_eq!(asked.len(), 1000);
    let (least, highest) = (asked.values().min().unwrap(), asked.values().max().unwrap());
    assert!(
        (3..=6).contains(least) && (3..=6).contains(highest),
        "{least} to {highest} times in 2 minutes"
    );
    assert!(most < 400, "{most} at once");
}

#[tokio::test(start_paused = true)]
async fn another_question_begins_anew_and_a_closed_door_does_not() {
    let mut bench = Bench::of(&["a"]);
    let up = BTreeMap::from([("a", Some(200))]);
    bench.turn(&up).await;
    let closed = Question {
        closed: Some(Closed {
            status: 503,
            contains: None,
        }),
        ..question("a")
    };
    let set = |bench: &mut Bench, question: Question| {
        let questions = BTreeMap::from([("a".to_owned(), Ok(question))]);
        bench.watch.set("production", questions, &bench.clock);
    };
    set(&mut bench, closed);
    assert_eq!(bench.word("a"), "healthy");
    set(
        &mut bench,
        Question {
            status: 204,
            ..question("a")
        },
    );
    assert_eq!(bench.word("a"), "unknown");
}
