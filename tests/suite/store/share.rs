//! Several controllers share the environments between them.

use super::{counted, member, seconds, terms};
use reconciler::store::Store;
use reconciler::store::life::Serves;
use reconciler::store::member::Member;
use reconciler::store::share::{Neighbour, owner};
use std::collections::BTreeMap;

fn living(names: &[&str]) -> Vec<Neighbour> {
    let one = |name: &&str| Neighbour {
        name: (*name).to_owned(),
        word: "w".to_owned(),
        serves: Serves::All,
    };
    names.iter().map(one).collect()
}

fn owners(names: &[&str]) -> Vec<String> {
    let living = living(names);
    let owner = |number| {
        owner(&format!("environment-{number}"), &living)
            .unwrap()
            .name
            .clone()
    };
    (0..1000).map(owner).collect()
}

#[test]
fn each_has_its_fair_share_and_only_what_must_move_moves() {
    let three = owners(&["a", "b", "c"]);
    let two = owners(&["a", "b"]);

    let mut shares = BTreeMap::new();
    three
        .iter()
        .for_each(|name| *shares.entry(name).or_insert(0) += 1);
    assert!(
        shares.values().all(|share| (270..400).contains(share)),
        "{shares:?}"
    );
    for (before, after) in three.iter().zip(&two) {
        assert!(before == after || before == "c");
    }
}

#[test]
fn who_sits_inside_an_environment_serves_it_and_who_was_only_asked_serves_none() {
    let mut living = living(&["a", "b"]);
    assert!(owner("production", &[]).is_none());
    living[0].serves = Serves::One("production".to_owned());
    assert_eq!(owner("production", &living).unwrap().name, "a");
    assert_eq!(owner("staging", &living).unwrap().name, "b");
    living[1].serves = Serves::Asked;
    assert!(owner("staging", &living).is_none());
}

#[tokio::test(start_paused = true)]
async fn what_a_controller_served_goes_to_the_others_when_it_is_silent() {
    let store = Store::in_memory(&counted(1));
    let members = [member(&store, "a").await, member(&store, "b").await];
    let environments: Vec<String> = (0..40).map(|number| format!("e{number}")).collect();
    let served = |member: &Member| {
        environments
            .iter()
            .filter(|name| member.should_serve(name))
            .count()
    };

    for member in &members {
        member.look().await.unwrap();
    }
    let shares = (served(&members[0]), served(&members[1]));
    assert!(
        shares.0 > 8 && shares.1 > 8 && shares.0 + shares.1 == 40,
        "{shares:?}"
    );

    for _ in 0..7 {
        tokio::time::advance(seconds(10)).await;
        members[1].beat().await.unwrap();
        members[1].look().await.unwrap();
    }
    assert_eq!((served(&members[0]), served(&members[1])), (0, 40));
}

#[tokio::test(start_paused = true)]
async fn a_restart_moves_nothing_and_what_is_left_of_the_dead_is_cleared() {
    let store = Store::in_memory(&counted(1));
    let (first, second) = (member(&store, "a").await, member(&store, "b").await);
    first.look().await.unwrap();
    second.look().await.unwrap();
    let mine: Vec<bool> = (0..40)
        .map(|number| second.should_serve(&format!("e{number}")))
        .collect();

    first.leave().await.unwrap();
    let again = member(&store, "a").await;
    second.look().await.unwrap();
    again.look().await.unwrap();
    assert_eq!(
        mine,
        (0..40)
            .map(|number| second.should_serve(&format!("e{number}")))
            .collect::<Vec<_>>()
    );

    for _ in 0..100 {
        tokio::time::advance(terms().ttl() / 2).await;
        second.beat().await.unwrap();
        second.look().await.unwrap();
    }
    let left = store.objects().list("controllers").await.unwrap().objects;
    assert_eq!(left, [format!("{}.json", second.life().id())]);
}
