// How long commands take that ask nobody, beside the start of Node alone: `npm run bench:start`. A ratio says more than a time, because
// machines differ.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { median, rotated } from '../queue/measure.ts';
import { formatFigure } from '../queue/report.ts';

const rounds = 30;
const directory = mkdtempSync(join(tmpdir(), 'fumehood-start-'));
const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');
const contenders: Readonly<Record<string, readonly string[]>> = {
  'node -e 0': ['-e', '0'],
  'fumehood --version': [command, '--version'],
  'fumehood --help': [command, '--help'],
  'fumehood jobs list (no instance runs)': [command, 'jobs', 'list'],
};

/** Runs Node with these arguments, and returns how long that took, ms. */
function timeOf(args: readonly string[]): number {
  const env = { PATH: process.env.PATH, HOME: directory, FUMEHOOD_STATE: directory };
  const start = performance.now();
  spawnSync(process.execPath, args, { env, stdio: 'ignore' });
  return performance.now() - start;
}

const names = Object.keys(contenders);
const times = new Map<string, number[]>(names.map((name) => [name, []]));
for (const args of Object.values(contenders)) timeOf(args); // makes the bundle, and fills the caches
for (let round = 0; round < rounds; round += 1)
  for (const name of rotated(names, round)) times.get(name)?.push(timeOf(contenders[name] ?? []));
rmSync(directory, { recursive: true });

const [node = ''] = names;
const base = times.get(node) ?? [];
process.stdout.write(
  [
    '| | ms | ÷ node -e 0 |',
    '| --- | ---: | ---: |',
    ...names.map((name) => {
      const own = times.get(name) ?? [];
      const ratio = median(own.map((value, round) => value / (base[round] ?? Number.NaN)));
      return `| ${name} | ${formatFigure(median(own))} | ${formatFigure(ratio)} |`;
    }),
    '',
  ].join('\n'),
);
