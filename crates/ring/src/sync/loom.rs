//! Wrappers of loom's primitives that count steps. Every access to shared memory is a step, and a peer may
//! die before any step.

use loom::sync::{Condvar, Mutex};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

loom::thread_local! {
    /// The number of steps that this thread may still take; `None` means no limit.
    static STEPS_LEFT: Cell<Option<usize>> = Cell::new(None);
}

/// The panic payload with which a peer dies. The ring has no destructors that would change shared memory
/// while the stack unwinds, so the memory stays as it is, as after SIGKILL.
struct Died;

/// Runs `work`, but lets it die before step number `step`, counted from 0. Returns whether it died.
#[cfg_attr(not(test), allow(dead_code))] // only the tests let peers die
pub(crate) fn die_before_step(step: usize, work: impl FnOnce()) -> bool {
    STEPS_LEFT.with(|left| left.set(Some(step)));
    let end = catch_unwind(AssertUnwindSafe(work));
    STEPS_LEFT.with(|left| left.set(None));
    match end {
        Ok(()) => false,
        Err(cause) if cause.is::<Died>() => true,
        Err(cause) => resume_unwind(cause),
    }
}

fn step() {
    let dies = STEPS_LEFT.with(|left| {
        let now = left.get();
        left.set(now.map(|steps| steps.saturating_sub(1)));
        now == Some(0)
    });
    if dies {
        resume_unwind(Box::new(Died));
    }
}

macro_rules! stepping {
    ($name:ident, $number:ty) => {
        pub(crate) struct $name(loom::sync::atomic::$name);

        #[allow(dead_code)] // each width uses only some of the methods
        impl $name {
            pub(crate) fn new(value: $number) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $number {
                step();
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $number, order: Ordering) {
                step();
                self.0.store(value, order);
            }

            pub(crate) fn fetch_add(&self, value: $number, order: Ordering) -> $number {
                step();
                self.0.fetch_add(value, order)
            }

            pub(crate) fn fetch_sub(&self, value: $number, order: Ordering) -> $number {
                step();
                self.0.fetch_sub(value, order)
            }

            pub(crate) fn fetch_or(&self, value: $number, order: Ordering) -> $number {
                step();
                self.0.fetch_or(value, order)
            }

            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($number) -> Option<$number>,
            ) -> Result<$number, $number> {
                step();
                self.0.fetch_update(set, fetch, update)
            }

            pub(crate) fn compare_exchange_weak(
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

pub(crate) fn fence(order: Ordering) {
    step();
    loom::sync::atomic::fence(order);
}

pub(crate) struct UnsafeCell<T>(loom::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::cell::UnsafeCell::new(value))
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
        step();
        self.0.with(look)
    }

    pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
        step();
        self.0.with_mut(change)
    }
}

/// A model of a futex. `lock` is the kernel's lock, under which the kernel compares the word and puts the
/// thread to sleep.
///
/// The model ignores time limits and has no spurious wake-ups. So a lost wake-up becomes a deadlock, which
/// loom reports.
pub(crate) struct Word {
    pub(crate) value: AtomicU32,
    lock: Mutex<()>,
    queue: Condvar,
}

impl Word {
    pub(crate) fn new(value: u32) -> Self {
        Self { value: AtomicU32::new(value), lock: Mutex::new(()), queue: Condvar::new() }
    }

    pub(crate) fn wait(&self, expected: u32, _limit: Duration) {
        step();
        let kernel = self.lock.lock().expect("no poison");
        if self.value.0.load(Ordering::Relaxed) == expected {
            drop(self.queue.wait(kernel).expect("no poison"));
        }
    }

    pub(crate) fn wake(&self, count: u32) {
        step();
        let _kernel = self.lock.lock().expect("no poison");
        if count == 1 {
            self.queue.notify_one();
        } else {
            self.queue.notify_all();
        }
    }
}
