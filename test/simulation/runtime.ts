import type { Clock } from '@fumehood/base';
import type { Job } from '@fumehood/protocol';
import { leaseLost, stepFailed, vmmDied } from '../../packages/executor/src/errors.ts';
import type { Runtime } from '../../packages/executor/src/runtime/runtime.ts';
import type { JobClient } from '../../packages/executor/src/uplink/job-client.ts';
import type { Lease } from '../../packages/executor/src/uplink/leases.ts';
import type { PhaseLog } from '../../packages/executor/src/uplink/log-entry.ts';
import { openPhaseLog } from '../../packages/executor/src/uplink/phase-log.ts';
import type { Vm } from './vm.ts';

interface RuntimeDeps {
  readonly clock: Clock;
  /** Makes a VM, which takes some time; the VM boots at its first renewal. */
  startVm(job: Job): Promise<Vm>;
  /** Returns how long a program works on a piece of its input, ms. */
  readonly thinkMs: () => number;
  /** Sends the launcher a new deadline. */
  renew(vm: Vm, deadline: number): void;
}

/** Returns a runtime that goes through the phases of `packages/executor/src/runtime/microvm/run.ts` with a simulated VM. */
export function simulatedRuntime(deps: RuntimeDeps): Runtime {
  return {
    async run(job, lease, client) {
      const run: Run = { deps, job, lease, client, vm: null };
      let failure: unknown = null;
      let exitCode: number | null = null;
      try {
        const vm = await phase(run, 'setup.vm', () => boot(run));
        exitCode = await step(run, vm);
        if (exitCode !== 0) throw stepFailed('0', exitCode, '');
      } catch (error) {
        failure = explain(error, run);
      }
      await tearDown(run);
      const kernel = `j${job.id}-a${job.fumehood?.attempt}`;
      const facts = { exitCode, guest: { kernel, interfaces: [] }, inspection: null, leftOver: {} };
      return { result: { tier: 'vm-emulated', vmm: 'qemu', ...facts }, failure, machine: 'works' };
    },
    tryMachine: () => Promise.resolve(),
  };
}

interface Run {
  readonly deps: RuntimeDeps;
  readonly job: Job;
  readonly lease: Lease;
  readonly client: JobClient;
  vm: Vm | null;
}

async function phase<T>(run: Run, key: string, body: (log: PhaseLog) => Promise<T>): Promise<T> {
  const log = await openPhaseLog(run.client, run.deps.clock, key, []);
  try {
    run.lease.stopped.throwIfAborted();
    const value = await body(log);
    await log.end(0);
    return value;
  } catch (error) {
    await log.end(1).catch(() => {});
    throw error;
  }
}

async function boot(run: Run): Promise<Vm> {
  const { deps, lease } = run;
  lease.stopped.throwIfAborted();
  const vm = await deps.startVm(run.job);
  run.vm = vm;
  deps.renew(vm, lease.deadline());
  lease.onRenewed((deadline) => deps.renew(vm, deadline));
  const kill = () => vm.kill();
  lease.killed.addEventListener('abort', kill, { once: true });
  // The program of a canceled job goes on for its grace period.
  const stop = () => void deps.clock.sleep(run.job.fumehood?.stopGraceMs ?? 0).then(kill);
  lease.stopped.addEventListener('abort', stop, { once: true });
  if (lease.stopped.aborted) kill();
  return vm;
}

async function step(run: Run, vm: Vm): Promise<number> {
  const log = await openPhaseLog(run.client, run.deps.clock, 'step.docker.0', ['program']);
  const { promise: inputFailed, reject } = Promise.withResolvers<never>();
  inputFailed.catch(() => {}); // the VM's end may come first
  feed(run, vm).catch(reject);
  try {
    for (;;) {
      await Promise.race([vm.change(), inputFailed]);
      const { exit, end } = vm; // read first: output that is taken afterwards is complete
      for (const stream of ['stdout', 'stderr'] as const) await log.write(stream, vm.take(stream));
      if (exit !== null) {
        await log.end(exit);
        return exit;
      }
      if (end) throw new Error('the VM is gone');
    }
  } catch (error) {
    await log.end(-1).catch(() => {});
    throw error;
  }
}

async function feed({ deps, job, lease, client }: Run, vm: Vm): Promise<void> {
  if (!job.fumehood?.stdin) return;
  for (let offset = 0; ; ) {
    const { bytes, end } = await client.input(offset, lease.stopped);
    offset += bytes.length;
    if (end) break;
    await deps.clock.sleep(deps.thinkMs(), lease.stopped);
  }
  vm.endInput();
}

function explain(error: unknown, { lease, vm }: Run): unknown {
  if (lease.stopped.aborted) return lease.stopped.reason;
  if (vm?.end === 'lease') return leaseLost('the virtual machine outlived it and was killed');
  return vm?.end ? vmmDied(vm.end, '') : error;
}

async function tearDown({ deps, lease, client, vm }: Run): Promise<void> {
  if (!vm) return;
  const opening = lease.lost.aborted
    ? null
    : openPhaseLog(client, deps.clock, 'teardown.vm', []).catch(() => null);
  vm.kill();
  while (!vm.end) await vm.change();
  const log = await opening;
  if (!log) return;
  await log.end(0).catch(() => {});
}
