import { execFile, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { systemClock } from '@fumehood/base';
import { buildNetworkProgram, canLimit, madeNetwork } from '@fumehood/microvm';
import { networkGroup } from '../../packages/executor/src/helper/program-groups.ts';
import { openNetworks } from '../../packages/executor/src/helper/networks.ts';
import { median, percentile, rotated, type Sample } from '../queue/measure.ts';
import { formatFigure, table } from '../queue/report.ts';
import { type BenchGuest, makeNetwork, natGuest, ourGuest, pastaGuest } from './guests.ts';
import { measureRealGuest } from './real-guest.ts';

/** The part of the bench that runs on the machine, in its namespace: `measure.ts DIRECTORY SERVER NAMESERVER STATE IMAGE`. */
const [directory = '', server = '', nameServer = '', state = '', image = ''] = process.argv.slice(2);
const rounds = 5;
const load = join(directory, 'load');
const run = promisify(execFile);
const samples: Sample[] = [];

/** Runs the load in a guest, and returns the figures that it prints. */
async function loadIn({ namespace }: BenchGuest, args: readonly (string | number)[]): Promise<number[]> {
  const command = ['--target', String(namespace.pid), '--net', load, ...args.map(String)];
  const { stdout } = await run('nsenter', command, { maxBuffer: 2 ** 24 });
  return stdout.trim().split('\n').map(Number);
}

async function measure(guest: BenchGuest, round: number): Promise<void> {
  const add = (scenario: string, metric: string, value: number) =>
    samples.push({ scenario, metric, contender: guest.name, round, value });
  // A guest of ours may make 1,000 connections and ask 500 questions at once, and some 100 a second: the rounds stay below that.
  const connections = await loadIn(guest, ['connections', server, 100]);
  add('times', 'new connection, p50 µs', median(connections));
  add('times', 'new connection, p99 µs', percentile(connections, 0.99));
  add('times', 'DNS, p50 µs', median(await loadIn(guest, ['names', guest.resolver, 80])));
  for (const [metric, what] of [
    ['requests/s, 32 connections', 'requests'],
    ['MiB/s up', 'up'],
    ['MiB/s down', 'down'],
  ] as const)
    add('rates', metric, median(await loadIn(guest, [what, server, 1_000])));
}

/** Times of making a VM's network and handing it over, ms, and the memory that each idle one takes, MB. */
async function measureSetUp(program: string): Promise<string[]> {
  const made: number[] = [];
  const served: number[] = [];
  const children: ChildProcess[] = [];
  const memory = () => ({ process: servingPss(), kernel: slab() });
  const count = 40;
  const before = memory();
  for (let id = 100; id < 100 + count; id++) {
    const start = performance.now();
    const { child } = makeNetwork(program, 'exec sleep 3600');
    const { handles } = await madeNetwork(child);
    made.push(performance.now() - start);
    await networks.open(id, handles, { policy: { mode: 'public' }, broker: [], queue: null }, () => {});
    served.push(performance.now() - start);
    children.push(child);
  }
  const after = memory();
  for (const child of children) child.kill('SIGKILL');
  for (const child of children) if (child.signalCode === null) await once(child, 'exit');
  for (let id = 100; id < 100 + count; id++) await networks.close(id);
  const empty: number[] = [];
  for (let round = 0; round < 20; round++) {
    const start = performance.now();
    await run('unshare', ['--net', 'true']);
    empty.push(performance.now() - start);
  }
  const row = (what: string, values: readonly number[], unit: string) =>
    `| ${what} | ${formatFigure(median(values))} | ${formatFigure(percentile(values, 0.95))} | ${formatFigure(Math.min(...values))} | ${unit} |`;
  return [
    '| of one VM | median | p95 | least | |',
    '| --- | ---: | ---: | ---: | --- |',
    row('namespace, tap, rules and sockets made and received', made, 'ms'),
    row('— and served by the process that serves networks', served, 'ms'),
    row('for comparison: `unshare --net true`', empty, 'ms'),
    `| memory of an idle network: the process | ${formatFigure((after.process - before.process) / count)} | | | MB PSS |`,
    `| — and the kernel (slab) | ${formatFigure((after.kernel - before.kernel) / count)} | | | MB |`,
    '',
  ];
}

/** Proportional set size of the process that serves networks, MB. */
function servingPss(): number {
  const pid = readdirSync('/proc').find((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'latin1').includes('egress-main');
    } catch {
      return false; // it has ended
    }
  });
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]) / 1000;
}

const slab = () => Number(/^Slab:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'latin1'))?.[1]) / 1000;

const program = await buildNetworkProgram(directory);
const config = join(directory, 'egress.json');
writeFileSync(config, JSON.stringify({ nameServers: [nameServer] }));
// It runs apart from the checkout, as an executor's does.
const script = join(directory, 'program/egress-main.mjs');
await build({
  ...{ outfile: script, bundle: true, platform: 'node', format: 'esm' },
  entryPoints: [join(import.meta.dirname, '../../packages/egress/src/main.ts')],
  banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
});
const networks = openNetworks(
  {
    ...{ node: process.execPath, config, identity: null },
    script,
    group: (await canLimit()) ? networkGroup(directory) : null,
  },
  { ceiling: { mode: 'public' }, privateHosts: [] },
  systemClock,
  { warn: (facts: object, message?: string) => console.error(message, facts) },
);
const guests: BenchGuest[] = [];
try {
  guests.push(await ourGuest(program, networks), await natGuest(nameServer));
  const pasta = await pastaGuest(directory, nameServer);
  if (typeof pasta === 'string') console.error(pasta);
  else guests.push(pasta);
  for (let round = 0; round < rounds; round++)
    for (const guest of rotated(guests, round)) await measure(guest, round);
  const setUp = await measureSetUp(program);
  const notes = new Map(guests.map(({ name, note }) => [name, note]));
  const tables = (
    [
      ['times', 'less is better', true],
      ['rates', 'more is better', false],
    ] as const
  ).map(([name, title, lessIsBetter]) => {
    const outcome = { samples: samples.filter(({ scenario }) => scenario === name), notes };
    return table({ name, title, lessIsBetter, run: async () => outcome }, outcome);
  });
  const [cpu] = cpus();
  const lines = [
    `${cpus().length} processors (${cpu?.model.trim()}), ${rounds} rounds, medians; load, servers and networks share the processors`,
    '',
    ...tables,
    ...setUp,
    ...(await measureRealGuest(state, image, server, nameServer)),
  ];
  process.stdout.write(lines.join('\n'));
} finally {
  await networks.stop();
  for (const { namespace, helpers } of guests)
    for (const child of [...helpers, namespace]) child.kill('SIGKILL');
}
