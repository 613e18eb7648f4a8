import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import type { Sample } from './measure.ts';
import { formatFigure, table } from './report.ts';
import { dispatch } from './scenarios/dispatch.ts';
import { heartbeats } from './scenarios/heartbeats.ts';
import { million } from './scenarios/million.ts';
import type { Sizes } from './scenarios/scenario.ts';
import { snapshot } from './scenarios/snapshot.ts';
import { throughput } from './scenarios/throughput.ts';
import { startServer } from './server.ts';

const scenarios = [throughput, million, snapshot, dispatch, heartbeats];
const help = `npm run bench:queue -- [--only NAME] [--quick] [--json FILE]

Compares the queue with pg-boss and graphile-worker on one durable PostgreSQL, which it starts and removes.
Prints Markdown on standard output and progress on standard error.

  --only NAME   one of ${scenarios.map(({ name }) => name).join(', ')}; may be repeated
  --quick       small sizes and one round, to check that it works; the figures mean nothing
  --json FILE   write every measurement, unrounded
`;

const full: Sizes = {
  rounds: 3,
  jobs: new Map([
    [1, 500],
    [4, 1_000],
    [16, 2_000],
  ]),
  limitMs: 10_000,
  queued: 1_000_000,
  aged: 10_000,
  dispatches: 150,
  executors: [2_500, 5_000, 10_000],
  beatMs: 20_000,
};
const quick: Sizes = {
  rounds: 1,
  jobs: new Map([
    [1, 50],
    [4, 100],
    [16, 200],
  ]),
  limitMs: 5_000,
  queued: 10_000,
  aged: 500,
  dispatches: 10,
  executors: [100],
  beatMs: 5_000,
};

interface Options {
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly json: string | undefined;
}

function readOptions(): Options | null {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const only = values.only ?? [];
  const unknown = only.filter((name) => !scenarios.some((scenario) => scenario.name === name));
  if (unknown.length > 0) throw new Error(`no such scenario: ${unknown.join(', ')}. See --help.`);
  return { only, quick: values.quick, json: values.json };
}

async function bench(options: Options, cleanup: AsyncDisposableStack): Promise<void> {
  const progress = (text: string) =>
    process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const server = await startServer();
  cleanup.defer(() => server.stop());
  const sizes = options.quick ? quick : full;
  const facts = {
    date: new Date().toISOString(),
    command: `npm run bench:queue -- ${process.argv.slice(2).join(' ')}`.trim(),
    cores: `${availableParallelism()} (${cpus()[0]?.model ?? 'unknown'}), load ${formatFigure(loadavg()[0] ?? 0)} before`,
    'memory MiB': formatFigure(totalmem() / 2 ** 20),
    node: process.version,
    ...(await server.facts()),
    rounds: String(sizes.rounds),
  };
  print('## The queue beside pg-boss and graphile-worker\n');
  for (const [name, value] of Object.entries(facts)) print(`- ${name}: ${value}`);
  print(
    `- figures: medians of the rounds, cut off, not rounded${options.quick ? '; QUICK, they mean nothing' : ''}\n`,
  );
  const samples: Sample[] = [];
  for (const scenario of scenarios) {
    if (options.only.length > 0 && !options.only.includes(scenario.name)) continue;
    const outcome = await scenario.run({ server, sizes, progress, cleanup });
    samples.push(...outcome.samples);
    print(table(scenario, outcome));
    print(
      `Load of the machine at its end: ${formatFigure(loadavg()[0] ?? 0)} on ${availableParallelism()} cores.\n`,
    );
    if (options.json !== undefined) writeFileSync(options.json, JSON.stringify({ facts, samples }, null, 2));
  }
}

const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => reject(new Error(`ended by ${signal}`)));
});
const cleanup = new AsyncDisposableStack();
try {
  const options = readOptions();
  if (options) await Promise.race([bench(options, cleanup), interrupted]);
  else process.stdout.write(help);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  await cleanup.disposeAsync();
}
// After an interruption, calls may still wait for the server.
process.exit();
