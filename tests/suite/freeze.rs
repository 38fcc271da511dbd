//! Freeze windows: where they begin and end, over every change of clocks, as a table and against a clock that is read minute by minute.

use jiff::civil::{Time, Weekday};
use jiff::{SignedDuration, Timestamp};
use reconciler::kinds::environment::freeze::{Edge, Window, frozen, zone, zones};

fn window(from: &str, to: &str, timezone: Option<&str>) -> Window {
    let json = match timezone {
        Some(zone) => serde_json::json!({ "from": from, "to": to, "timezone": zone }),
        None => serde_json::json!({ "from": from, "to": to }),
    };
    serde_json::from_value(json).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn windows_hold_from_their_first_second_to_their_last() {
    let berlin = Some("Europe/Berlin");
    let weekend = || window("fri 16:00", "mon 07:00", berlin);
    let table: &[(Window, &str, Option<&str>)] = &[
        // In winter Berlin is an hour ahead of UTC, in summer two.
        (weekend(), "2026-11-20T14:59:59Z", None),
        (
            weekend(),
            "2026-11-20T15:00:00Z",
            Some("2026-11-23T06:00:00Z"),
        ),
        (
            weekend(),
            "2026-11-23T05:59:59Z",
            Some("2026-11-23T06:00:00Z"),
        ),
        (weekend(), "2026-11-23T06:00:00Z", None),
        (weekend(), "2026-07-03T13:59:59Z", None),
        (
            weekend(),
            "2026-07-03T14:00:00Z",
            Some("2026-07-06T05:00:00Z"),
        ),
        // The clocks change on the Sunday within: the window ends by the clock on the wall.
        (
            weekend(),
            "2026-03-27T15:00:00Z",
            Some("2026-03-30T05:00:00Z"),
        ),
        (
            weekend(),
            "2026-10-23T14:00:00Z",
            Some("2026-10-26T06:00:00Z"),
        ),
        // An edge in the hour that is left out, and in the one that comes twice.
        (
            window("sun 02:30", "sun 05:00", berlin),
            "2026-03-29T01:29:59Z",
            None,
        ),
        (
            window("sun 02:30", "sun 05:00", berlin),
            "2026-03-29T01:30:00Z",
            Some("2026-03-29T03:00:00Z"),
        ),
        (
            window("sun 00:00", "sun 02:30", berlin),
            "2026-10-25T00:29:59Z",
            Some("2026-10-25T00:30:00Z"),
        ),
        (
            window("sun 00:00", "sun 02:30", berlin),
            "2026-10-25T00:30:00Z",
            None,
        ),
        // A window of almost a week, seen shortly before it begins again.
        (
            window("mon 09:00", "mon 08:00", Some("UTC")),
            "2026-11-23T07:59:59Z",
            Some("2026-11-23T08:00:00Z"),
        ),
        (
            window("mon 09:00", "mon 08:00", Some("UTC")),
            "2026-11-23T08:30:00Z",
            None,
        ),
        (
            window("mon 09:00", "mon 08:00", berlin),
            "2026-10-26T06:59:59Z",
            Some("2026-10-26T07:00:00Z"),
        ),
        // Zones that are far away, and half an hour off.
        (
            window("mon 00:00", "tue 00:00", Some("Pacific/Auckland")),
            "2026-11-22T11:00:00Z",
            Some("2026-11-23T11:00:00Z"),
        ),
        (
            window("mon 00:00", "tue 00:00", Some("Asia/Kolkata")),
            "2026-11-22T18:30:00Z",
            Some("2026-11-23T18:30:00Z"),
        ),
        // Once.
        (
            window("2026-12-23T00:00:00Z", "2027-01-02T00:00:00+01:00", None),
            "2026-12-31T12:00:00Z",
            Some("2027-01-01T23:00:00Z"),
        ),
        (
            window("2026-12-23T00:00:00Z", "2027-01-02T00:00:00+01:00", None),
            "2026-12-22T23:59:59Z",
            None,
        ),
        (
            window("2026-12-23T00:00:00Z", "2027-01-02T00:00:00+01:00", None),
            "2027-01-01T23:00:00Z",
            None,
        ),
    ];
    for (window, now, ends) in table {
        let found = window.ends(at(now));
        assert_eq!(found, ends.map(at), "{} at {now}", window.words());
    }
}

#[test]
fn a_window_goes_over_into_the_next() {
    let windows = [
        window("fri 16:00", "mon 07:00", Some("Europe/Berlin")),
        window("2026-11-23T05:00:00Z", "2026-11-23T20:00:00Z", None),
    ];
    let (named, ends) = frozen(&windows, at("2026-11-21T12:00:00Z")).unwrap();
    assert_eq!(named.words(), "fri 16:00 to mon 07:00 Europe/Berlin");
    assert_eq!(ends, at("2026-11-23T20:00:00Z"));
    assert!(frozen(&windows, at("2026-11-23T20:00:00Z")).is_none());
    // Windows that fill the week have an end far away, and not none.
    let whole = [
        window("mon 00:00", "thu 00:00", Some("UTC")),
        window("thu 00:00", "mon 00:00", Some("UTC")),
    ];
    let (_, ends) = frozen(&whole, at("2026-11-21T12:00:00Z")).unwrap();
    assert!(ends > at("2026-12-21T12:00:00Z"));
}

/// Whether the clock on the wall stands inside a weekly window.
fn is_inside(window: &Window, now: Timestamp) -> bool {
    let (Edge::Weekly(first, begins), Edge::Weekly(last, ends)) = (window.from, window.to) else {
        panic!("a weekly window");
    };
    let zone = zone(window.timezone.as_deref().unwrap()).unwrap();
    let wall = zone.to_datetime(now);
    let minutes = |day: Weekday, time: Time| {
        i64::from(day.to_monday_zero_offset()) * 1440
            + i64::from(time.hour()) * 60
            + i64::from(time.minute())
    };
    let (from, to) = (minutes(first, begins), minutes(last, ends));
    let here = minutes(wall.weekday(), wall.time());
    if from < to {
        (from..to).contains(&here)
    } else {
        here >= from || here < to
    }
}

/// SplitMix64.
fn chance(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[test]
fn a_window_is_where_the_clock_on_the_wall_says_over_every_change_of_clocks() {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let places = [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Auckland",
        "America/Sao_Paulo",
        "Asia/Kolkata",
        "Africa/Casablanca",
        "UTC",
    ];
    // Weeks of 2026 in which clocks change somewhere, and one in which they do not.
    let weeks = [
        "2026-02-10T00:00:00Z",
        "2026-03-06T00:00:00Z",
        "2026-03-27T00:00:00Z",
        "2026-04-03T00:00:00Z",
        "2026-09-25T00:00:00Z",
        "2026-10-02T00:00:00Z",
        "2026-10-23T00:00:00Z",
        "2026-10-30T00:00:00Z",
    ];
    let mut state = 7;
    let mut looked = 0;
    for _ in 0..400 {
        let mut draw = |below: usize| usize::try_from(chance(&mut state) % below as u64).unwrap();
        // Edges outside of the hours in which clocks change: what happens inside is in the table.
        let hours = [0, 5, 7, 9, 12, 16, 18, 23];
        let mut edge = || {
            format!(
                "{} {:02}:{:02}",
                DAYS[draw(7)],
                hours[draw(8)],
                [0, 30][draw(2)]
            )
        };
        let (from, to) = (edge(), edge());
        if from == to {
            continue;
        }
        let window = window(&from, &to, Some(places[draw(8)]));
        let week = at(weeks[draw(8)]);
        for step in 0..(8 * 24 * 4) {
            let now = week + SignedDuration::from_mins(15 * step);
            let ends = window.ends(now);
            assert_eq!(
                ends.is_some(),
                is_inside(&window, now),
                "{} at {now}",
                window.words()
            );
            if let Some(ends) = ends {
                let before = ends - SignedDuration::from_secs(1);
                assert!(
                    ends > now && is_inside(&window, before),
                    "{} at {now}",
                    window.words()
                );
                assert!(!is_inside(&window, ends), "{} ends {ends}", window.words());
            }
            looked += 1;
        }
    }
    println!(
        "freeze: {looked} moments in windows of {} zones",
        places.len()
    );
}

#[test]
fn time_zones_come_with_the_program() {
    assert!(zones().count() > 400);
    assert!(zone("Europe/Berlin").is_some() && zone("Europe/Berln").is_none());
    // The machine's own are not asked: a name that only a file of the machine would give is unknown.
    assert!(zone("posix/Europe/Berlin").is_none());
}
