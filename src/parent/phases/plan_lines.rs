//! `--plan`: writes what a dry run has found out, in the order of the paths.

use crate::ipc::memory::counters::Count;
use crate::parent::run::Run;
use crate::parent::run_event::RunEvent;
use crate::plan_file::Writer;

/// How many bytes are written at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Writes the operations and the last line of the plan, if the options ask for one. A run that was ended early has no last
/// line.
pub(in crate::parent) fn write(run: &mut Run<'_>) {
    let Some(output) = &run.plan.output else { return };
    let mut operations = std::mem::take(&mut run.state.planned);
    operations.sort_by_cached_key(|operation| (operation.operand, parts(&operation.path)));
    let (mut writer, _) = Writer::begin(&output.header); // the file has the first line
    let mut lines = String::new();
    let mut written = Ok(());
    for operation in &operations {
        lines += &writer.operation(operation);
        if lines.len() >= CHUNK_BYTES {
            written = written.and_then(|()| output.write(&lines));
            lines.clear();
        }
    }
    let kept = [Count::Copied, Count::Linked, Count::Skipped].map(|count| run.totals.get(count));
    lines += &writer.end(kept.iter().sum());
    if let Err(errno) = written.and_then(|()| output.write(&lines)) {
        run.reporter.late.failed += 1;
        run.reporter.sink.emit(&RunEvent::PlanFailed { path: &output.path, errno });
    }
}

/// Returns the names in a path. In their order, a directory comes right before what is in it.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect()
}
