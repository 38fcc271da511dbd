//! Stop between two actions: what Ctrl-C, a shutdown or a newer commit says to whoever waits or writes.

use tokio::sync::watch;

/// Tells whether to stop, and wakes whoever sleeps. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Interrupt {
    is_set: watch::Receiver<bool>,
}

/// The other end: whoever may say stop.
#[derive(Debug)]
pub struct Stop {
    sender: watch::Sender<bool>,
}

/// Both ends.
pub fn interrupt() -> (Stop, Interrupt) {
    let (sender, is_set) = watch::channel(false);
    (Stop { sender }, Interrupt { is_set })
}

impl Stop {
    /// Says stop, for good.
    pub fn now(&self) {
        self.sender.send_replace(true);
    }
}

impl Interrupt {
    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        *self.is_set.borrow()
    }

    /// Returns when it is time to stop; never where nobody can say so any more.
    pub async fn set(&self) {
        let mut is_set = self.is_set.clone();
        if is_set.wait_for(|is_set| *is_set).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
