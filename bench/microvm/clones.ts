import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { factsOf } from '@fumehood/base';
import type { Template } from '@fumehood/microvm';
import { CloneHost, type StartedVm } from '../../test/clone-host.ts';
import { formatFigure } from '../queue/report.ts';
import type { Report } from './report.ts';

const rounds = 20;
const echo = ['/bin/echo', 'hello'];

/** Measures VMs without an executor: those that boot, clones one after the other, and many clones at once. */
export async function measureClones(host: CloneHost, report: Report): Promise<void> {
  const cold = [];
  for (let round = 0; round < 5; round++) cold.push(await lifeOf(host, null));
  report.add(
    'cold boot → confirmed',
    cold.map(({ confirmed }) => confirmed),
  );
  report.add(
    'cold boot → first byte of `echo` in a container',
    cold.map(({ firstByte }) => firstByte),
  );
  const making = performance.now();
  const template = await host.makeTemplate();
  report.add('making a template', [performance.now() - making]);
  try {
    await lifeOf(host, template); // fills the caches
    const lives = [];
    for (let round = 0; round < rounds; round++) lives.push(await lifeOf(host, template));
    report.add(
      'clone → confirmed',
      lives.map(({ confirmed }) => confirmed),
    );
    report.add(
      'clone → first byte of `echo` in a container',
      lives.map(({ firstByte }) => firstByte),
    );
    report.add(
      'a second step',
      lives.map(({ secondStep }) => secondStep),
    );
    report.add(
      'destroying a clone',
      lives.map(({ destroyed }) => destroyed),
    );
    await measureMemory(host, template, report);
    for (const count of [1, 4, 8, 32]) await measureBurst(host, template, count, report);
  } finally {
    await template.remove();
  }
}

/** What one VM took, ms since it was asked for: until its guest had confirmed, until the first byte of `echo` in a container, and for a second step. */
async function lifeOf(host: CloneHost, template: Template | null, asked = performance.now()) {
  let confirmed = Number.NaN;
  const vm = await host.startPrepared(template, () => {
    confirmed = performance.now() - asked;
  });
  try {
    let firstByte = Number.NaN;
    const onOutput = () => {
      firstByte = performance.now() - asked;
    };
    await host.step(vm, echo, { onOutput });
    const second = performance.now();
    await host.step(vm, echo);
    const secondStep = performance.now() - second;
    const ending = performance.now();
    await vm.vm.destroy();
    return { confirmed, firstByte, secondStep, destroyed: performance.now() - ending };
  } catch (error) {
    await vm.vm.destroy();
    throw error;
  }
}

async function measureMemory(host: CloneHost, template: Template, report: Report): Promise<void> {
  const eight = await Promise.all(Array.from({ length: 8 }, () => host.start(template)));
  report.add('memory of each of 8 clones, ready', eight.map(pssOf), 'MB PSS');
  for (const vm of eight) {
    await host.prepare(vm);
    await host.step(vm, echo);
  }
  report.add('memory of each of 8 clones, after a step', eight.map(pssOf), 'MB PSS');
  await Promise.all(eight.map(({ vm }) => vm.destroy()));
}

/** Proportional set size of a process, MB: what several share is divided among them. */
const pssOf = ({ pid }: StartedVm) =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]) / 1000;

/** Asks for many clones at the same moment. As many run at a time as there are processors, as on an executor; the others wait. */
async function measureBurst(
  host: CloneHost,
  template: Template,
  count: number,
  report: Report,
): Promise<void> {
  const asked = performance.now();
  const waiting = Array.from({ length: count }, () => () => lifeOf(host, template, asked));
  const burst: PromiseSettledResult<Awaited<ReturnType<typeof lifeOf>>>[] = [];
  const runTurns = async () => {
    for (let turn = waiting.pop(); turn; turn = waiting.pop())
      burst.push(...(await Promise.allSettled([turn()])));
  };
  await Promise.all(Array.from({ length: availableParallelism() }, runTurns));
  const wall = performance.now() - asked;
  const lives = burst.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failures = burst.flatMap((one) => (one.status === 'rejected' ? [factsOf(one.reason).code] : []));
  const outcome = `${[`${lives.length} of ${count}`, ...new Set(failures)].join(', ')}; all over after ${formatFigure(wall)} ms`;
  report.add(
    `of ${count} clones asked for at once → confirmed (${outcome})`,
    lives.map(({ confirmed }) => confirmed),
  );
  report.add(
    `of ${count} clones asked for at once → first byte`,
    lives.map(({ firstByte }) => firstByte),
  );
}
