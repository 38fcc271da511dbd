//! Start commands as text: exactly the named settings change, and a real server that is started so has them.

use super::server::Server;
use reconciler::kinds::redis::command::{gives, settings, with};
use std::collections::BTreeMap;

const TEMPLATE: &str = "/bin/sh -c \"rm -rf $RAILWAY_VOLUME_MOUNT_PATH/lost+found/ && exec docker-entrypoint.sh redis-server --requirepass $REDIS_PASSWORD --save 60 1 --dir $RAILWAY_VOLUME_MOUNT_PATH\"";

fn changed(command: &str, values: &[(&str, &str)]) -> Option<String> {
    let values: Vec<(&str, String)> = values
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    with(command, &values)
}

#[test]
fn in_the_template_only_the_named_settings_change_and_new_ones_stay_inside_its_quotes() {
    let found = changed(TEMPLATE, &[("save", "3600 1"), ("appendonly", "yes")]);

    let expected = TEMPLATE.replace("--save 60 1", "--save 3600 1").replace(
        "--dir $RAILWAY_VOLUME_MOUNT_PATH\"",
        "--dir $RAILWAY_VOLUME_MOUNT_PATH --appendonly yes\"",
    );
    assert_eq!(found, Some(expected));
}

#[test]
fn everything_else_stays_byte_for_byte() {
    let (save, max) = (("save", "3600 1"), ("maxmemory", "1"));
    for (command, values, expected) in [
        (
            "redis-server  --save ''   --port 1",
            vec![save],
            "redis-server  --save 3600 1   --port 1",
        ),
        (
            "redis-server --save",
            vec![save, max],
            "redis-server --save 3600 1 --maxmemory 1",
        ),
        ("redis-server", vec![max], "redis-server --maxmemory 1"),
        (
            "redis-server --SAVE 3600 1 300 100 --port 1",
            vec![save],
            "redis-server --SAVE 3600 1 --port 1",
        ),
        (
            "/usr/bin/redis-server /etc/redis.conf --save \"60 1\" --maxmemory 2mb --save 1 1",
            vec![save, max],
            "/usr/bin/redis-server /etc/redis.conf --maxmemory 1 --save 3600 1",
        ),
        (
            "sh -ec 'redis-server --requirepass \"a b\" --save \"\" & wait; echo \"so\"'",
            vec![save],
            "sh -ec 'redis-server --requirepass \"a b\" --save 3600 1 & wait; echo \"so\"'",
        ),
        (
            "sh -c \"redis-server --requirepass \\\"a --save b\\\" --save \\\"60 1\\\"\"",
            vec![save, max],
            "sh -c \"redis-server --requirepass \\\"a --save b\\\" --save 3600 1 --maxmemory 1\"",
        ),
        (
            "redis-server --requirepass ${PASSWORD:-a b} --save 60 1 \\\n --port 1",
            vec![save],
            "redis-server --requirepass ${PASSWORD:-a b} --save 3600 1 \\\n --port 1",
        ),
        (
            "redis-server --requirepass größe --save 60 1",
            vec![("save", "3600 1 300 100")],
            "redis-server --requirepass größe --save 3600 1 --save 300 100",
        ),
    ] {
        assert_eq!(changed(command, &values).as_deref(), Some(expected));
        assert_eq!(changed(expected, &values).as_deref(), Some(expected));
    }
}

#[test]
fn a_command_that_does_more_than_run_one_server_is_left_alone() {
    for command in [
        "",
        "/start.sh",
        "redis-sentinel --save 60 1",
        "redis-server --save 60 1 && redis-server --port 2",
        "redis-server --requirepass $(cat /run/password)",
        "redis-server --requirepass `cat /run/password`",
        "redis-server --save 60 1 2>&1 | tee /data/log",
        "redis-server --requirepass \"no end",
        "redis-server --save 60 1 $MORE",
        "redis-server --save \"$POINTS\" --port 1",
        "sh -c redis-server",
        "sh -c \"redis-server --save 60\"' 1'",
        "sh -c \"sh -c 'redis-server $(date)'\"",
    ] {
        assert_eq!(changed(command, &[("save", "3600 1")]), None, "{command}");
    }
}

#[test]
fn a_value_in_other_words_is_the_same_value() {
    let there =
        settings("redis-server --maxmemory 400mb --appendonly YES --maxmemory-policy Noeviction");

    assert!(gives(&there, "maxmemory", "419430400"));
    assert!(!gives(&there, "maxmemory", "400000000"));
    assert!(gives(&there, "appendonly", "yes"));
    assert!(gives(&there, "maxmemory-policy", "noeviction"));
    // What it is not told.
    assert!(gives(&there, "appendfsync", "everysec"));
    assert!(!gives(&there, "save", "3600 1"));
    assert!(!gives(&BTreeMap::new(), "appendonly", "yes"));
}

#[test]
fn what_a_script_hands_on_is_still_a_warning() {
    // Whatever it runs, it may start it with an append-only file.
    for command in [
        "/start.sh $(date) --appendonly yes",
        "sh -c 'redis-server --appendonly yes' > /data/log",
    ] {
        assert!(
            settings(command)["appendonly"].starts_with("yes"),
            "{command}"
        );
    }
}

/// Split as a shell would: without quotes of its own.
fn arguments(command: &str) -> Vec<String> {
    let words = command.strip_prefix("redis-server ").unwrap();
    let words = words
        .split(' ')
        .map(|word| word.trim_matches('"').to_owned());
    words.collect()
}

#[tokio::test]
async fn a_server_counts_them_as_we_do() {
    let wanted = [
        ("save", "3600 1 300 100"),
        ("maxmemory", "7340032"),
        ("appendonly", "yes"),
    ];
    for command in [
        "redis-server --save 60 1 --save 300 100 --maxmemory 10mb --maxmemory 20mb",
        "redis-server --save 60 1 --save \"\"",
        "redis-server --save \"\" --save 60 1",
        "redis-server --save --maxmemory 5mb",
        "redis-server --save 3600 1 300 100 --MAXMEMORY 1g",
    ] {
        for command in [command.to_owned(), changed(command, &wanted).unwrap()] {
            let words = arguments(&command);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let server = Server::with(&words).await;

            for (name, given) in settings(&command) {
                let (_, has): (String, String) = server.run(&format!("CONFIG GET {name}")).await;
                let runs = BTreeMap::from([(name.clone(), has.clone())]);
                assert!(gives(&runs, &name, &given), "{command}: {name} is {has}");
            }
        }
    }
}
