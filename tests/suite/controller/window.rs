//! The one window that the lease cannot close: a process is stopped with a write on its way, another takes over, and then the write arrives.

use super::pair::leaders;
use super::stage::{QUICK, Stage, stage};
use crate::cli::server::Meets;
use crate::cli::signals::is_write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Stops the leader when the write that `change` brings is on its way, lets the other one do what git says by then, and lets the write arrive.
fn arrives_late(stage: &Stage, change: impl Fn(&Stage), meanwhile: impl Fn(&Stage)) {
    let both = ["one", "two"].map(|name| stage.start(name, QUICK));
    stage.until_done();
    stage.until("exactly one leads", || leaders(stage, &both) == 1);
    let leads = |at: usize| stage.api(&both[at], "")["environment"] == "production";
    let leader = usize::from(leads(1));
    let (arrive, arrives) = watch::channel(false);
    let writes = Arc::new(AtomicUsize::default());
    let counted = writes.clone();
    stage.scene.railway.guarded(move |_, body| {
        if is_write(body) && counted.fetch_add(1, Ordering::SeqCst) == 0 {
            return Meets::Late(arrives.clone());
        }
        Meets::Sandbox
    });

    change(stage);
    stage.until("its write is on its way", || {
        writes.load(Ordering::SeqCst) == 1
    });
    both[leader].signal("STOP");
    meanwhile(stage);
    stage.until_done();
    let sent = stage.scene.railway.sandbox.mutations();
    arrive.send(true).unwrap();
    stage.until("the late write arrives", || {
        stage.scene.railway.sandbox.mutations() == sent + 1
    });

    stage.reconcile(&both[1 - leader]).exits(0);
    let is_in_step = || stage.scene.run(&["diff", "production"]).code == Some(0);
    stage.until("the other puts it right", is_in_step);
    both[leader].signal("CONT");
    stage.until("exactly one leads", || leaders(stage, &both) == 1);
    stage.until("it stays so", is_in_step);
    for running in both {
        running.ends_within(std::time::Duration::from_secs(10));
    }
    stage.kept_its_secrets();
}

#[test]
fn what_arrives_late_repeats_harmlessly_is_put_right_or_is_one_restart_more() {
    let cases = [
        a_late_setting_repeats_harmlessly,
        a_late_setting_of_an_older_commit_is_put_right_by_the_next_look,
        a_late_restart_is_one_restart_more_and_no_other_follows,
        a_late_release_brings_no_other_release,
        a_late_release_of_an_older_commit_is_put_right_by_the_next_look,
    ];
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(case);
        }
    });
    println!("\ncontroller: {} writes that arrive late", cases.len());
}

fn a_late_setting_repeats_harmlessly() {
    let stage = stage();
    arrives_late(
        &stage,
        |stage| {
            stage.scale(3, 4);
            stage.push("Scale web to 4");
        },
        |_| {},
    );

    assert_eq!(stage.replicas("web"), 4);
}

fn a_late_setting_of_an_older_commit_is_put_right_by_the_next_look() {
    let stage = stage();
    arrives_late(
        &stage,
        |stage| {
            stage.scale(3, 4);
            stage.push("Scale web to 4");
        },
        |stage| {
            stage.scale(4, 5);
            stage.push("Scale web to 5");
        },
    );

    assert_eq!(stage.replicas("web"), 5, "{}", stage.logs());
    let late = stage.told("drifted");
    assert_eq!(late, 0, "nobody changed anything by hand\n{}", stage.logs());
}

fn a_late_restart_is_one_restart_more_and_no_other_follows() {
    let stage = stage();
    arrives_late(
        &stage,
        |stage| {
            let now = sandbox::Time::now();
            stage.scene.replace(
                "production/sizes.yaml",
                "  replicas: 3\n",
                &format!("  restartedAfter: {now}\n  replicas: 3\n"),
            );
            stage.push("Restart web");
        },
        |_| {},
    );

    let seeded = stage.deployments();
    // The seed's two, the first release, the restart, and the late one.
    assert_eq!(seeded["web"], 5, "{}", stage.logs());
}

fn a_late_release_brings_no_other_release() {
    let stage = stage();
    arrives_late(
        &stage,
        |stage| {
            stage.scene.release("1.4.3");
            stage.push("Release 1.4.3");
        },
        |_| {},
    );

    assert_eq!(stage.image("web"), "ghcr.io/sentia/app:1.4.3");
    let deployments = stage.deployments();
    // The seed's two, the first release, and this one: what is stored already brings no deployment.
    let both = (deployments["web"], deployments["worker"]);
    assert_eq!(both, (4, 4), "{}", stage.logs());
}

fn a_late_release_of_an_older_commit_is_put_right_by_the_next_look() {
    let stage = stage();
    arrives_late(
        &stage,
        |stage| {
            stage.scene.release("1.4.3");
            stage.push("Release 1.4.3");
        },
        |stage| {
            stage.scene.release("1.4.4");
            stage.push("Release 1.4.4");
        },
    );

    assert_eq!(stage.image("web"), "ghcr.io/sentia/app:1.4.4");
    assert_eq!(stage.image("worker"), "ghcr.io/sentia/app:1.4.4");
}
