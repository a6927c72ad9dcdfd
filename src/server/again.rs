//! One more look at what a future waits for, taken back where the present poll brings it anyway.
//!
//! actix-http's connection hands a request to its handler before it has looked at the body, and polls
//! the handler once more in the same poll of its own, when the body has been fed. A handler that asked
//! for more in the usual way would have its connection woken by that feeding, and polled a second time
//! from the start: timers, socket and all, for nothing. But nobody promises that second look, and for a
//! request that came behind another one it does not come. So who waits leaves his waker here and takes
//! it back when he is looked at again; a task of the same thread wakes whom it still finds.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Where tasks of one thread ask to be polled again, one at a time.
pub struct Again {
    waiting: Cell<Option<Waker>>,
    /// Wakes the task that wakes others; nothing while its own turn is due.
    watch: Cell<Option<Waker>>,
}

impl Again {
    /// Begins to watch, on the present thread.
    #[must_use]
    pub fn start() -> Rc<Self> {
        let again = Rc::new(Self { waiting: Cell::default(), watch: Cell::default() });
        let watched = again.clone();
        actix_web::rt::spawn(std::future::poll_fn(move |context| {
            watched.watch.set(Some(context.waker().clone()));
            if let Some(waiting) = watched.waiting.take() {
                waiting.wake();
            }
            Poll::<()>::Pending
        }));
        again
    }

    /// Has the task of `waker` polled again when it is others' turn, unless it takes that back.
    pub fn ask(&self, waker: &Waker) {
        if let Some(other) = self.waiting.replace(Some(waker.clone())) {
            other.wake();
        }
        if let Some(watch) = self.watch.take() {
            watch.wake();
        }
    }

    /// Takes back what the task of `waker` asked, where it has not come to it yet.
    pub fn take_back(&self, waker: &Waker) {
        let other = self.waiting.take().filter(|waiting| !waiting.will_wake(waker));
        self.waiting.set(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::prelude::System;
    use actix_web::rt::{spawn, task::yield_now};
    use std::future::poll_fn;

    /// How often a task is polled that asks at its first poll and takes that back at once or never, and
    /// of which nobody else knows; several at a time.
    fn polls(takes_back: [bool; 3]) -> [u32; 3] {
        System::new().block_on(async move {
            let again = Again::start();
            let counts = takes_back.map(|takes_back| {
                let (again, count) = (again.clone(), Rc::new(Cell::new(0)));
                let counted = count.clone();
                spawn(poll_fn(move |context| {
                    counted.set(counted.get() + 1);
                    if counted.get() > 1 {
                        return Poll::Ready(());
                    }
                    again.ask(context.waker());
                    if takes_back {
                        again.take_back(context.waker());
                    }
                    Poll::Pending
                }));
                count
            });
            for _ in 0..100 {
                yield_now().await;
            }
            counts.map(|count| count.get())
        })
    }

    #[test]
    fn who_asks_is_polled_again_and_who_takes_it_back_is_not() {
        assert_eq!(polls([false, false, false]), [2, 2, 2]);
        assert_eq!(polls([true, true, true]), [1, 1, 1]);
        assert_eq!(polls([false, true, false]), [2, 1, 2]);
    }
}
