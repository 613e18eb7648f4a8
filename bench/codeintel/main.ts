// How quick questions about code are, and how quick an index is stored: `npm run bench:codeintel [-- --size MB]`. It makes an index of that size with
// the shape of what scip-typescript writes, stores it in a durable PostgreSQL that it starts and removes, and asks. Every answer is compared with
// that of a naive reading of the same file.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { CodeLocations } from '../../packages/protocol/src/index.ts';
import { findDefinitions, findReferences } from '../../packages/instance/src/codeintel/answers.ts';
import { connect } from '../../packages/instance/src/db/connect.ts';
import { migrate } from '../../packages/instance/src/db/migrate.ts';
import { migrations } from '../../packages/instance/src/db/testing.ts';
import type { Mirrors } from '../../packages/instance/src/repos/mirrors.ts';
import { percentile } from '../queue/measure.ts';
import { formatFigure } from '../queue/report.ts';
import { startServer } from '../queue/server.ts';
import { IndexGenerator } from './generate.ts';
import { NaiveIndex, type Place } from './naive.ts';

const { values } = parseArgs({ options: { size: { type: 'string', default: '256' } } });
const size = Number(values.size) * 2 ** 20;
/** Questions that are timed, of each kind, and the share of them that the naive reading answers too. */
const questions = 2_000;
const compared = 100;
/** Places of a page of references. */
const limit = 100;

const print = (text: string) => process.stdout.write(`${text}\n`);
const row = (name: string, ...cells: readonly (number | string)[]) =>
  print(
    `| ${[name, ...cells.map((cell) => (typeof cell === 'number' ? formatFigure(cell) : cell))].join(' | ')} |`,
  );
const timed = async <T>(run: () => T | Promise<T>): Promise<[ms: number, value: T]> => {
  const start = performance.now();
  const value = await run();
  return [performance.now() - start, value];
};
const commits = ['0', '1'].map((digit) => digit.repeat(40)) as [string, string];

const directory = mkdtempSync(join(tmpdir(), 'fumehood-codeintel-'));
await using cleanup = new AsyncDisposableStack();
cleanup.defer(() => rmSync(directory, { recursive: true }));
const server = await startServer();
cleanup.defer(() => server.stop());
const connection = await server.database('codeintel');
const db = connect(connection);
cleanup.defer(() => db.destroy());
await migrate(db, migrations);

const file = (revision: 0 | 1) => join(directory, `${revision}.scip.gz`);
const generator = new IndexGenerator(size);
const { bytes, documents, occurrences } = await generator.write(file(0), 0);
await generator.write(file(1), 1);
print(
  `- machine: ${availableParallelism()} processors (${cpus()[0]?.model ?? 'unknown'}), load ${formatFigure(loadavg()[0] ?? 0)}, Node ${process.version}`,
);
print(`- index: ${formatFigure(bytes / 1e6)} MB, ${documents} documents, ${occurrences} occurrences\n`);

/** Stores a revision in a process of its own. */
function store(revision: 0 | 1) {
  const script = join(import.meta.dirname, 'process.ts');
  const args = [script, JSON.stringify(connection), commits[revision], file(revision)];
  const output = execFileSync(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  return JSON.parse(output.toString()) as { seconds: number; rss: number; cpu: NodeJS.CpuUsage };
}
print('| storing the index | s | MB/s | processor of the process, s | most memory of the process, MiB |');
print('| --- | ---: | ---: | ---: | ---: |');
const runs = ([0, 1] as const).map((revision) => {
  const { seconds, rss, cpu } = store(revision);
  const name = revision === 0 ? 'the first time' : 'after a change of one file in 1,000';
  row(name, seconds, bytes / 1e6 / seconds, (cpu.user + cpu.system) / 1e6, rss);
  return seconds;
});
const [first = 0, again = 0] = runs;
row('**again ÷ first**', again / first, '', '', '');
print(`\nThe database has ${formatFigure((await server.bytes(connection)) / 1e6)} MB then.\n`);
await server.settle([connection]);

const [decodeMs, naive] = await timed(() => new NaiveIndex(file(0)));
const places = naive.sample(questions);
// The repository has no mirror.
const deps = { db, mirrors: null as unknown as Mirrors };
const ask = (place: Place, after?: string) => ({
  ...{ repository: 'acme/shop', revision: commits[0], ...place, limit },
  ...(after !== undefined && { after }),
});
const textOf = (pages: readonly CodeLocations[]) =>
  [
    ...new Set(
      pages.flatMap(({ locations }) => locations.map((one) => `${one.path}:${one.line}:${one.character}`)),
    ),
  ].sort();

interface Question {
  readonly name: string;
  readonly ours: (place: Place) => Promise<CodeLocations>;
  readonly all: (place: Place) => Promise<CodeLocations[]>;
  readonly naive: (place: Place) => string[];
}
const kinds: readonly Question[] = [
  {
    name: 'definition',
    ours: (place) => findDefinitions(deps, ask(place)),
    all: async (place) => [await findDefinitions(deps, ask(place))],
    naive: (place) => naive.definitions(place),
  },
  {
    name: `references, a page of ${limit}`,
    ours: (place) => findReferences(deps, ask(place)),
    async all(place) {
      const pages = [await findReferences(deps, ask(place))];
      for (let next = pages[0]?.next ?? null; next !== null; next = pages.at(-1)?.next ?? null)
        pages.push(await findReferences(deps, ask(place, next)));
      return pages;
    },
    naive: (place) => naive.references(place),
  },
];
print(
  `| ${questions} questions, one at a time | p50 ms | p99 ms | most ms | naive scan p50 ms | ours ÷ naive scan |`,
);
print('| --- | ---: | ---: | ---: | ---: | ---: |');
let different = 0;
for (const { name, ours, all, naive: scan } of kinds) {
  for (const place of places.slice(0, 50)) await ours(place); // the connections plan the statements
  const times: number[] = [];
  for (const place of places) times.push((await timed(() => ours(place)))[0]);
  const scans: number[] = [];
  for (const place of places.filter((_, at) => at % (questions / compared) === 0)) {
    const [ms, expected] = await timed(() => scan(place));
    scans.push(ms);
    const answered = textOf(await all(place));
    if (answered.join() === expected.join()) continue;
    different += 1;
    process.stderr.write(
      `${name} of ${JSON.stringify(place)}: ${answered.length} places, ${expected.length} by the naive reading\n`,
    );
  }
  const p50 = percentile(times, 0.5);
  row(
    name,
    p50,
    percentile(times, 0.99),
    Math.max(...times),
    percentile(scans, 0.5),
    p50 / percentile(scans, 0.5),
  );
}
print(
  `\nThe naive reading needs ${formatFigure(decodeMs / 1_000)} s before its first answer, and has everything in memory. ${different} of ${kinds.length * compared} answers differ from its.`,
);
print(`Load at the end: ${formatFigure(loadavg()[0] ?? 0)}.`);
if (different > 0) process.exitCode = 1;
