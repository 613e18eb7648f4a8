// How quick a fresh VM is: `npm run bench:microvm`. Every figure is of this one run, in the whole jail, under emulation, without a
// network card, beside `docker run` of the same image where an engine runs.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Template } from '@fumehood/microvm';
import { CloneHost, type StartedVm } from '../../test/clone-host.ts';
import { median } from '../queue/measure.ts';
import { formatFigure } from '../queue/report.ts';

const rounds = 20;
const tag = 'fumehood-bench';
const host = await CloneHost.make();
const rows: string[] = [];
const report = (what: string, values: readonly number[], unit = 'ms') => {
  const sorted = values.toSorted((one, other) => one - other);
  const at = (share: number) =>
    formatFigure(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN);
  rows.push(`| ${what} | ${formatFigure(median(values))} | ${at(0.95)} | ${at(0)} – ${at(1)} | ${unit} |`);
};

/** What one VM took, ms: until its guest had confirmed, until the first byte of `echo` in a container, and for a second step. */
async function lifeOf(template: Template | null) {
  const asked = performance.now();
  let confirmed = Number.NaN;
  const vm = await host.startPrepared(template, () => {
    confirmed = performance.now() - asked;
  });
  let firstByte = Number.NaN;
  const onOutput = () => {
    firstByte = performance.now() - asked;
  };
  await host.step(vm, ['/bin/echo', 'hello'], { onOutput });
  const second = performance.now();
  await host.step(vm, ['/bin/echo', 'hello']);
  const secondStep = performance.now() - second;
  const ending = performance.now();
  await vm.vm.destroy();
  return { confirmed, firstByte, secondStep, destroyed: performance.now() - ending };
}

/** Proportional set size of a process, MB. */
const pssOf = ({ pid }: StartedVm) =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]) / 1000;

try {
  const cold = [];
  for (let round = 0; round < 5; round++) cold.push(await lifeOf(null));
  report(
    'cold boot → confirmed',
    cold.map(({ confirmed }) => confirmed),
  );
  report(
    'cold boot → first byte of `echo` in a container',
    cold.map(({ firstByte }) => firstByte),
  );

  const making = performance.now();
  const template = await host.makeTemplate();
  report('making a template', [performance.now() - making]);
  try {
    await lifeOf(template); // fills the caches
    const lives = [];
    for (let round = 0; round < rounds; round++) lives.push(await lifeOf(template));
    report(
      'clone → confirmed',
      lives.map(({ confirmed }) => confirmed),
    );
    report(
      'clone → first byte of `echo` in a container',
      lives.map(({ firstByte }) => firstByte),
    );
    report(
      'a second step',
      lives.map(({ secondStep }) => secondStep),
    );
    report(
      'destroying a clone',
      lives.map(({ destroyed }) => destroyed),
    );

    const eight = await Promise.all(Array.from({ length: 8 }, () => host.start(template)));
    report('memory of each of 8 clones, ready', eight.map(pssOf), 'MB PSS');
    for (const vm of eight) {
      await host.prepare(vm);
      await host.step(vm, ['/bin/echo', 'hello']);
    }
    report('memory of each of 8 clones, after a step', eight.map(pssOf), 'MB PSS');
    await Promise.all(eight.map(({ vm }) => vm.destroy()));

    for (const count of [4, 8, 32]) {
      const start = performance.now();
      const burst = await Promise.allSettled(Array.from({ length: count }, () => lifeOf(template)));
      const wall = performance.now() - start;
      const well = burst.flatMap((one) => (one.status === 'fulfilled' ? [one.value.firstByte] : []));
      report(`${count} at once → first byte (${well.length} of ${count} in ${formatFigure(wall)} ms)`, well);
    }
  } finally {
    await template.remove();
  }

  if (spawnSync('docker', ['info'], { stdio: 'ignore' }).status === 0) {
    execFileSync('docker', ['import', join(host.root, 'images', 'busybox.layer'), tag], { stdio: 'ignore' });
    const times = Array.from({ length: rounds }, () => {
      const start = performance.now();
      execFileSync('docker', ['run', '--rm', '--network', 'none', tag, '/bin/echo', 'hello']);
      return performance.now() - start;
    });
    report('`docker run --network none` of the same image', times);
    execFileSync('docker', ['rmi', tag], { stdio: 'ignore' });
  } else rows.push('| `docker run` of the same image | no engine runs on this machine | | | |');
} finally {
  await host.remove();
}

const limits = host.host.cgroups ? 'cgroup' : 'no cgroup';
process.stdout.write(
  [
    `${cpus().length} processors (${cpus()[0]?.model.trim()}), jail, ${limits}, seccomp filters, no NIC, emulated, ${rounds} clones`,
    '',
    '| | median | p95 | least – most | |',
    '| --- | ---: | ---: | ---: | --- |',
    ...rows,
    '',
  ].join('\n'),
);
