//! What a copier takes from the ring: anything, or a task that means the same when packed again.
#![no_main]

use pcopy::ipc::wire::task::{Task, next_name};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(task) = Task::decode(bytes) else { return };
    let mut packed = Vec::new();
    task.encode(&mut packed);
    assert_eq!(Task::decode(&packed), Some(task));
    if let Task::Names { mut names, .. } = task {
        while next_name(&mut names).is_some() {}
    }
});
