//! What Ctrl-C and SIGTERM do to a command that writes.

use super::Exit;
use crate::interrupt::{Interrupt, interrupt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The first Ctrl-C or SIGTERM stops between two actions; the second at once, after its last words, and so does the first while a question
/// is open: then a read of the terminal holds up everything else, so that signals have a thread of their own.
pub(super) fn on_signals(last_words: impl Fn() + Send + 'static) -> (Interrupt, Arc<AtomicBool>) {
    let (stop, interrupt) = interrupt();
    let is_asking = Arc::new(AtomicBool::new(false));
    let asks = is_asking.clone();
    // Nothing is sent before a signal is caught.
    let (catches, is_caught) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Some(mut signals) = signals() else { return };
            drop(catches);
            next(&mut signals).await;
            stop.now();
            if !asks.load(Ordering::SeqCst) {
                next(&mut signals).await;
                last_words();
            }
            std::process::exit(Exit::Interrupted.code().into());
        });
    });
    let (Ok(()) | Err(_)) = is_caught.recv();
    (interrupt, is_asking)
}

fn signals() -> Option<(Signal, Signal)> {
    Some((
        signal(SignalKind::interrupt()).ok()?,
        signal(SignalKind::terminate()).ok()?,
    ))
}

async fn next((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
