//! Ctrl-C and SIGTERM: the process ends within a moment and says what was done.

use super::scene::{Scene, ended, scene, scene_with, until};
use super::server::{Meets, SLOW};
use std::process::{Child, Command};
use std::time::Duration;

const APPLY: &[&str] = &["apply", "--yes", "production"];
/// A debug build on a busy machine is slow to end; a wait of the product's own is longer than this.
const MOMENT: Duration = Duration::from_secs(6);
const AT_ONCE: Duration = Duration::from_millis(1500);

pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", child.id())])
        .status();
    assert!(sent.unwrap().success());
}

pub fn is_write(body: &str) -> bool {
    body.contains("\"mutation ") || body.contains("mutation Patch")
}

fn waiting(scene: &Scene) -> Child {
    let child = scene.start(APPLY);
    until("it waits for a deployment", || {
        scene.railway.sandbox.mutations() == 1 && scene.railway.arrived() >= 4
    });
    child
}

#[test]
fn sigint_and_sigterm_during_a_wait_end_it_and_tell_what_was_sent() {
    for name in ["INT", "TERM"] {
        let scene = scene_with(SLOW);
        let child = waiting(&scene);

        signal(&child, name);

        ended(child, MOMENT, APPLY)
            .exits(130)
            .prints_nothing()
            .says("interrupted after 1 write; what was sent goes on at Railway");
    }
}

#[test]
fn a_signal_while_railway_does_not_answer_a_look_ends_it_with_nothing_sent() {
    let scene = scene();
    scene.railway.guarded(|_, _| Meets::Silence);
    let child = scene.start(APPLY);
    until("it looks", || scene.railway.arrived() == 1);

    signal(&child, "TERM");

    ended(child, AT_ONCE, APPLY)
        .exits(130)
        .says("interrupted after 0 writes");
    scene.changed_nothing();
}

fn writing() -> (Scene, Child) {
    let scene = scene();
    scene.railway.guarded(|_, body| {
        if is_write(body) {
            Meets::SilenceAfter
        } else {
            Meets::Sandbox
        }
    });
    let child = scene.start(APPLY);
    until("it writes", || scene.railway.sandbox.mutations() == 1);
    (scene, child)
}

#[test]
fn a_signal_while_railway_does_not_answer_a_write_ends_it_and_says_that_there_was_no_answer() {
    let (_scene, child) = writing();

    signal(&child, "INT");

    ended(child, MOMENT, APPLY)
        .exits(130)
        .says("no answer (stopped before Railway answered)")
        .says("interrupted after 0 writes and 1 without an answer;");
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let (_scene, child) = writing();

    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "INT");

    ended(child, AT_ONCE, APPLY).exits(130);
}
