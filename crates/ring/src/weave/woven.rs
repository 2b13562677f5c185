//! Loom's ones, in which every touch of shared memory is a step, and a peer may stop at any step.

use loom::sync::{Condvar, Mutex};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

loom::thread_local! {
    /// How many steps this thread may still take; `None`: any number.
    static STEPS_LEFT: Cell<Option<usize>> = Cell::new(None);
}

/// What a peer that stopped for ever unwinds with. The ring has no destructor that would tidy up
/// on the way, so all that it shares stays as it was: just as after a SIGKILL.
struct Vanished;

/// Does `work`, but stops for ever before its step number `steps`, counted from 0. Says whether it
/// came to that.
#[cfg_attr(not(test), allow(dead_code))] // only the tests let peers vanish
pub(in super::super) fn vanish_after(steps: usize, work: impl FnOnce()) -> bool {
    STEPS_LEFT.with(|left| left.set(Some(steps)));
    let end = catch_unwind(AssertUnwindSafe(work));
    STEPS_LEFT.with(|left| left.set(None));
    match end {
        Ok(()) => false,
        Err(cause) if cause.is::<Vanished>() => true,
        Err(cause) => resume_unwind(cause),
    }
}

fn step() {
    let vanish = STEPS_LEFT.with(|left| {
        let now = left.get();
        left.set(now.map(|steps| steps.saturating_sub(1)));
        now == Some(0)
    });
    if vanish {
        resume_unwind(Box::new(Vanished));
    }
}

macro_rules! stepping {
    ($name:ident, $number:ty) => {
        pub(in super::super) struct $name(loom::sync::atomic::$name);

        #[allow(dead_code)] // one width needs what the other does not
        impl $name {
            pub(in super::super) fn new(value: $number) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(in super::super) fn load(&self, order: Ordering) -> $number {
                step();
                self.0.load(order)
            }

            pub(in super::super) fn store(&self, value: $number, order: Ordering) {
                step();
                self.0.store(value, order);
            }

            pub(in super::super) fn fetch_add(&self, value: $number, order: Ordering) -> $number {
                step();
                self.0.fetch_add(value, order)
            }

            pub(in super::super) fn fetch_sub(&self, value: $number, order: Ordering) -> $number {
                step();
                self.0.fetch_sub(value, order)
            }

            pub(in super::super) fn fetch_or(&self, value: $number, order: Ordering) -> $number {
                step();
                self.0.fetch_or(value, order)
            }

            pub(in super::super) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($number) -> Option<$number>,
            ) -> Result<$number, $number> {
                step();
                self.0.fetch_update(set, fetch, update)
            }

            pub(in super::super) fn compare_exchange_weak(
                &self,
                expected: $number,
                new: $number,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$number, $number> {
                step();
                self.0.compare_exchange_weak(expected, new, success, failure)
            }
        }
    };
}

stepping!(AtomicU32, u32);
stepping!(AtomicU64, u64);

pub(in super::super) fn fence(order: Ordering) {
    step();
    loom::sync::atomic::fence(order);
}

pub(in super::super) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(in super::super) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    pub(in super::super) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        step();
        self.0.with(look)
    }

    pub(in super::super) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        step();
        self.0.with_mut(change)
    }
}

/// A futex, modelled: the lock stands for the kernel's, under which it compares and falls asleep.
///
/// It knows no limit and wakes nobody without a reason, so that a lost wake-up is a deadlock, and
/// loom finds it.
pub(in super::super) struct Word {
    pub(in super::super) value: AtomicU32,
    lock: Mutex<()>,
    queue: Condvar,
}

impl Word {
    pub(in super::super) fn new(value: u32) -> Self {
        Self { value: AtomicU32::new(value), lock: Mutex::new(()), queue: Condvar::new() }
    }

    pub(in super::super) fn wait(&self, expected: u32, _limit: Duration) {
        step();
        let kernel = self.lock.lock().expect("no poison");
        if self.value.0.load(Ordering::Relaxed) == expected {
            drop(self.queue.wait(kernel).expect("no poison"));
        }
    }

    pub(in super::super) fn wake(&self, count: u32) {
        step();
        let _kernel = self.lock.lock().expect("no poison");
        if count == 1 {
            self.queue.notify_one();
        } else {
            self.queue.notify_all();
        }
    }
}
