//! Actors that come back. actix drops an actor whose handler panics and its Supervisor does not
//! restart it (measured), so whoever finds the mailbox closed starts a successor over the same
//! state, which lives outside the actor value.

use actix::prelude::*;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The address of an actor that is replaced when it dies.
pub struct Supervised<A: Actor<Context = Context<A>> + Send> {
    address: ArcSwap<Addr<A>>,
    arbiter: ArbiterHandle,
    make: Box<dyn Fn() -> A + Send + Sync>,
    revivals: AtomicU64,
}

impl<A: Actor<Context = Context<A>> + Send> Supervised<A> {
    /// Starts the first actor in `arbiter`; `make` makes each.
    pub fn start(arbiter: &ArbiterHandle, make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        let first = make();
        let address = A::start_in_arbiter(arbiter, move |_| first);
        Self {
            address: ArcSwap::from_pointee(address),
            arbiter: arbiter.clone(),
            make: Box::new(make),
            revivals: AtomicU64::new(0),
        }
    }

    /// The living actor, a new one if the last has died.
    pub fn address(&self) -> Arc<Addr<A>> {
        let address = self.address.load_full();
        if address.connected() {
            return address;
        }
        let next = (self.make)();
        let successor = Arc::new(A::start_in_arbiter(&self.arbiter, move |_| next));
        let before = self.address.compare_and_swap(&address, successor.clone());
        if Arc::ptr_eq(&before, &address) {
            let revivals = self.revivals.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(
                actor = std::any::type_name::<A>(),
                revivals,
                "actor died and was replaced"
            );
            successor
        } else {
            // Another caller was first; ours ends with its last address.
            self.address.load_full()
        }
    }

    /// Sends without waiting; `false` when the mailbox was full, so that the caller counts it.
    pub fn tell<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
    {
        self.address().try_send(message).is_ok()
    }

    /// How often a successor was needed.
    pub fn revivals(&self) -> u64 {
        self.revivals.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting {
        total: Arc<AtomicU64>,
    }
    impl Actor for Counting {
        type Context = Context<Self>;
    }
    #[derive(Message)]
    #[rtype(result = "u64")]
    enum Ask {
        Add,
        Panic,
    }
    impl Handler<Ask> for Counting {
        type Result = u64;
        fn handle(&mut self, message: Ask, _: &mut Self::Context) -> u64 {
            match message {
                Ask::Add => self.total.fetch_add(1, Ordering::Relaxed) + 1,
                Ask::Panic => panic!("on purpose"),
            }
        }
    }

    #[actix_web::test]
    async fn an_actor_that_panics_is_replaced_and_its_state_goes_on() {
        let total = Arc::new(AtomicU64::new(0));
        let state = total.clone();
        let arbiter = Arbiter::new();
        let counting =
            Supervised::start(&arbiter.handle(), move || Counting { total: state.clone() });
        assert_eq!(counting.address().send(Ask::Add).await.ok(), Some(1));
        let dying = counting.address();
        assert!(dying.send(Ask::Panic).await.is_err());
        // The caller hears of the panic while the mailbox is still being unwound.
        while dying.connected() {
            actix_web::rt::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(counting.address().send(Ask::Add).await.ok(), Some(2));
        assert_eq!(counting.revivals(), 1);
        arbiter.stop();
    }
}
