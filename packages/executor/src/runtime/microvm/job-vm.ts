import { factsOf } from '@fumehood/base';
import type { Receipt } from '@fumehood/protocol';
import type { Guest, LeftOver, VmSpec } from '@fumehood/microvm';
import type { PhaseLog } from '../../uplink/log-entry.ts';
import { openPhaseLog } from '../../uplink/phase-log.ts';
import { writeLine } from './phase.ts';
import { hasNetwork, type Run } from './run-state.ts';
import { type RunningVm, startGuest } from './start-guest.ts';

/**
 * Starts the VM, as a clone where there is a template. If it does not come up, it is destroyed, and another one boots, once: a guest
 * that boots needs no template.
 */
export async function startWithRetry(
  run: Run,
  newSpec: () => VmSpec,
  prepare: (guest: Guest) => Promise<void>,
  log: PhaseLog,
): Promise<RunningVm> {
  const { deps, lease } = run;
  const start = async (boots: boolean) => {
    const onReceipt = (receipt: Receipt) => run.receipts.add(receipt);
    const { policy, broker } = run;
    const options = { boots, prepare, policy, broker, queue: run.job.queue ?? null, onReceipt };
    const started = await startGuest(deps.vms, newSpec(), options, lease, deps.clock, (vm) => {
      run.vm = vm;
      const stop = () => {
        if (run.endStep) run.endStep();
        else vm.kill();
      };
      lease.stopped.addEventListener('abort', stop, { once: true });
    });
    const { origin } = started.vm;
    await writeLine(
      log,
      'template' in origin
        ? `cloned from ${origin.template}`
        : `booted: ${origin.boots.message} (${origin.boots.code})`,
    );
    return started;
  };
  try {
    return await start(false);
  } catch (error) {
    if (factsOf(error).code !== 'guest_not_ready' || lease.stopped.aborted) throw error;
    await writeLine(log, `${factsOf(error).message}; trying once more`, 'stderr');
    await destroyVm(run);
    return start(true);
  }
}

async function destroyVm(run: Run): Promise<LeftOver | null> {
  const { vm } = run;
  run.vm = null;
  const left = (await vm?.destroy()) ?? null;
  for (const [name, count] of Object.entries(left ?? {}))
    run.measured.leftOver[name] = (run.measured.leftOver[name] ?? 0) + count;
  return left;
}

/** Destroys the VM without waiting for its log entry, which may fail to open, and sends what its network still has to say. */
export async function tearDown(run: Run): Promise<void> {
  if (!run.vm) return;
  const opening = run.lease.lost.aborted
    ? null
    : openPhaseLog(run.client, run.clock, 'teardown.vm', []).catch(() => null);
  const endReceipts = async () => {
    if (hasNetwork(run)) await run.receipts.end();
  };
  const left = await destroyVm(run).catch(async (error: unknown) => {
    await endReceipts().catch(() => {}); // the first error is the cause
    throw error;
  });
  const writeEntry = async () => {
    const log = await opening;
    if (!log) return;
    await writeLine(log, `left on the host: ${JSON.stringify(left)}`);
    await log.end(0);
  };
  await Promise.all([writeEntry(), endReceipts()]);
}
