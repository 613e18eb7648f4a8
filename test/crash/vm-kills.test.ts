import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  aliveOf,
  cgroups,
  loopDevices,
  memfds,
  mountPoints,
  openFilesByKind,
  ownNamespaces,
  processesBelow,
  socketsBelow,
  vmProcesses,
} from '../audit.ts';
import { seededRandom } from '../random.ts';
import { ExecutorProcesses } from './executor-processes.ts';
import { type Process, signal, treeOf } from './processes.ts';

/** `FUMEHOOD_VM_KILLS=1000` kills more VMs. `FUMEHOOD_SEED` repeats the victims and the pauses of a failed run. */
const vmKills = Number(process.env.FUMEHOOD_VM_KILLS ?? 8);
const seed = Number(process.env.FUMEHOOD_SEED ?? Date.now() % 1_000_000);

let executor: ExecutorProcesses;
beforeAll(async () => {
  executor = await ExecutorProcesses.make();
});
afterAll(() => executor.remove());

/** A VM's processes: its launcher, bubblewrap and the VMM, as far as they have started. */
interface Vm {
  readonly name: string;
  readonly processes: readonly Process[];
}

function vms(): Vm[] {
  return treeOf(executor.helperPid).flatMap((launcher) => {
    const name = /\/launcher\S* --lease .*(fumehood-[a-z0-9-]+)/.exec(launcher.command)?.[1];
    return name === undefined ? [] : [{ name, processes: treeOf(launcher.pid) }];
  });
}

const victims = ['the VMM', 'bubblewrap', 'the launcher', 'the agent', "the executor's helper"] as const;
type Victim = (typeof victims)[number];
/** How often each is chosen: after the death of an agent, the next one needs seconds to start. */
const weights: Readonly<Record<Victim, number>> = {
  'the VMM': 6,
  bubblewrap: 6,
  'the launcher': 6,
  'the agent': 2,
  "the executor's helper": 1,
};
const lots = victims.flatMap((victim) => Array<Victim>(weights[victim]).fill(victim));

/** Kills a victim, if there is one; `which`, from 0 to 1, chooses among the VMs. Returns the VMs that lose their lives by it. */
function kill(victim: Victim, which: number): Vm[] {
  const running = vms();
  if (victim === 'the agent' || victim === "the executor's helper") {
    const pid = victim === 'the agent' ? executor.agentPid : executor.helperPid;
    if (pid === null || running.length === 0) return [];
    signal(pid, 'SIGKILL');
    return running;
  }
  const depth = { 'the launcher': 0, bubblewrap: 1, 'the VMM': 2 }[victim];
  const candidates = running.filter(({ processes }) => processes[depth]);
  const vm = candidates[Math.floor(which * candidates.length)];
  if (!vm) return [];
  signal((vm.processes[depth] as Process).pid, 'SIGKILL');
  return [vm];
}

test(
  'VMs that are killed at random moments, with their executor, leave nothing on the host',
  async () => {
    console.log(`${vmKills} VMs, FUMEHOOD_SEED=${seed}`);
    // One for the kills and one for the jobs: how many jobs are offered depends on the machine.
    const [random, jobs] = [seededRandom(seed), seededRandom(seed + 1)];
    const before = hostState();
    /** Those of its processes that exist: the kernel gives the numbers of those that have ended to new ones, also of others. */
    let namespaces = new Set<string>();
    const seen = (processes: readonly Process[]) => {
      namespaces = new Set([...aliveOf(namespaces), ...processes.flatMap(({ pid }) => ownNamespaces(pid))]);
    };
    await executor.start();
    await executor.runEachShape();
    const atRest = await settledFiles();

    const killedVms = new Set<string>();
    const deaths: Record<string, number> = {};
    while (killedVms.size < vmKills) {
      executor.offerJobs(jobs);
      await sleep(random.int(0, 400));
      const chosen = random.pick(lots);
      // An executor that leases nothing because of its machine: the next agent knows nothing of that.
      const victim = executor.instance.trouble === null ? chosen : 'the agent';
      seen(treeOf(executor.helperPid));
      const killed = kill(victim, random.next());
      for (const { name } of killed) {
        const what = name.includes('-template-') ? `${victim}, template` : victim;
        deaths[what] = (deaths[what] ?? 0) + 1;
        killedVms.add(name);
      }
      if (killed.length > 0 && victim === "the executor's helper") await executor.start();
    }

    // The executor that lived through it, or the last one that took over, works, and has as many open files as before.
    await executor.untilIdle();
    const nothing = { processes: 0, mounts: 0, namespaces: 0, loopDevices: 0, cgroups: 0, files: 0 };
    for (const left of await executor.runEachShape()) expect(left).toEqual(nothing);
    await expect.poll(filesAtRest, { timeout: 15_000 }).toMatchObject({
      // There is no template of a shape for a minute after the VM that should have become one was killed.
      helper: { ...atRest.helper, memfds: expect.toBeOneOf([0, 2, atRest.helper.memfds]) as number },
      agent: atRest.agent,
    });
    seen(treeOf(executor.helperPid));
    await executor.stop();
    await expect.poll(() => Object.values(left(before, namespaces)).flat(), { timeout: 5_000 }).toEqual([]);
    const counts = Object.entries(left(before, namespaces)).map(([what, lines]) => [what, lines.length]);
    console.log(
      JSON.stringify({
        ...{ seed, vms: killedVms.size, deaths },
        left: Object.fromEntries(counts) as object,
      }),
    );
  },
  60_000 + vmKills * 10_000,
);

/** Returns the open files of helper and agent when no job runs. */
function filesAtRest() {
  const agent = openFilesByKind(executor.agentPid as number);
  return { helper: openFilesByKind(executor.helperPid), agent };
}

/** Returns them once they do not change any more: the helper makes scratch disks ahead half a second after a VM has taken one. */
async function settledFiles(): Promise<ReturnType<typeof filesAtRest>> {
  for (let last = filesAtRest(); ; ) {
    await sleep(1_500);
    const now = filesAtRest();
    if (JSON.stringify(now) === JSON.stringify(last)) return now;
    last = now;
  }
}

function hostState() {
  return { mounts: mountPoints(), cgroups: cgroups(), loopDevices: loopDevices(), memfds: memfds() };
}

/** Returns what is left, by kind. */
function left(before: ReturnType<typeof hostState>, namespaces: ReadonlySet<string>) {
  const now = hostState();
  const added = (kind: keyof typeof now) => now[kind].filter((one) => !before[kind].includes(one));
  return {
    processes: [...vmProcesses(), ...processesBelow(executor.root), ...executor.processes()],
    mounts: added('mounts'),
    namespaces: aliveOf(namespaces),
    loopDevices: added('loopDevices'),
    cgroups: added('cgroups'),
    memfds: added('memfds'),
    sockets: socketsBelow(executor.root),
    files: executor.files(),
  };
}
