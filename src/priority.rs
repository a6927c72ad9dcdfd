//! Who goes first where there are more threads than cores.
//!
//! A bid waits for nobody but those that the system lets run before it. Linux gives a core away in
//! shares and in slices of a millisecond or more, and a thread that has begun its slice keeps it even
//! where one of a higher priority wakes up (EEVDF since 6.6). So threads that bids do not wait for
//! take a smaller share ([`step_back`]), and offer the core between pieces of their work
//! ([`give_way`]).

/// What a thread is for, where it is not for bids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Money, its ledger and its notices: without grants bids end, so it keeps a quarter of a core that
    /// bids would fill.
    Money,
    /// What is learned and released, which may be seconds late: a tenth.
    Learning,
}

impl Behind {
    /// Steps of niceness, each about a quarter less of a contended core.
    #[cfg(target_os = "linux")]
    const fn nice(self) -> i32 {
        match self {
            Self::Money => 5,
            Self::Learning => 10,
        }
    }
}

/// Takes a smaller share of the core from now on: this thread, and those that it will start. Only Linux
/// knows the niceness of a thread; elsewhere, and where the system refuses (a sandbox may, though no
/// permission is needed), all threads stay equal, which costs bids some of their tail and nothing else.
pub fn step_back(behind: Behind) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(behind.nice()) {
        tracing::warn!(%error, ?behind, "a thread keeps the priority of those that bid");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = behind;
}

/// Lets others go first: threads that wait for this core, then tasks that wait for this thread. Not
/// for a thread that bids, which has nobody to give way to.
pub async fn give_way() {
    std::thread::yield_now();
    tokio::task::yield_now().await;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn niceness() -> i32 {
        // Adding nothing asks.
        rustix::process::nice(0).expect("it may be asked")
    }

    #[test]
    fn a_thread_steps_back_alone_and_with_those_that_it_starts() {
        let before = niceness();
        for (behind, steps) in [(Behind::Money, 5), (Behind::Learning, 10)] {
            let thread = std::thread::spawn(move || {
                step_back(behind);
                let heir = std::thread::spawn(niceness).join().expect("no panic");
                (niceness(), heir)
            });
            let stepped = (before + steps).min(19);
            assert_eq!(thread.join().expect("no panic"), (stepped, stepped), "{behind:?}");
        }
        assert_eq!(niceness(), before, "this thread is as it was");
    }
}
