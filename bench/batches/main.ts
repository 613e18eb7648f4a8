// What a workspace of a batch change costs beside its steps: `npm run bench:batches`, as root. 200 workspaces of one repository run in VMs of this machine's
// executor, two at a time on two processors; then once more, with the results of all steps. `-- N` takes another number of workspaces.
import { readFileSync, rmSync, writeFileSync, mkdtempSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BatchSpecRecord, WorkspaceRecord } from '@fumehood/protocol';
import { busyboxImage } from '../../packages/executor/src/testing/test-images.ts';
import { startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { layoutFiles } from '../../packages/oci/src/testing/image.ts';
import { FakeRegistry } from '../../packages/oci/src/testing/registry.ts';
import { Stack } from '../../test/stack.ts';
import { median } from '../queue/measure.ts';
import { formatFigure } from '../queue/report.ts';

/** Jobs of one processor each that run at a time. */
const slots = 2;
const count = Number(process.argv[2] ?? 200);
const options = ['--accept', 'vm-emulated', '--memory', '256', '--scratch', '256', '--cpus', '1'];

const directory = mkdtempSync(join(tmpdir(), 'fumehood-bench-'));
const registry = await FakeRegistry.start();
await busyboxImage(directory, 'busybox');
registry.put('busybox', '1', layoutFiles([readFileSync(join(directory, 'busybox.layer'))]));
const remote = await startGitServer();
const stack = await Stack.make();
try {
  const registries = [{ location: registry.place, insecure: true }];
  writeFileSync(join(stack.state, 'settings.json'), JSON.stringify({ registries }));
  remote.commit(
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`part-${n}/part.json`, `{"n": ${n}}\n`])),
  );
  await fumehood('up');
  await fumehood('repos', 'add', remote.url, '--name', 'parts');
  await fumehood('repos', 'sync', 'parts');
  const step = { run: 'cat part.json > copy.json', container: `${registry.place}/busybox:1` };
  const file = join(directory, 'spec.json');
  writeFileSync(
    file,
    JSON.stringify({
      ...{ version: 2, name: 'bench', on: [{ repository: 'parts' }], steps: [step, step] },
      workspaces: [{ rootAtLocationOf: 'part.json', in: 'parts' }],
      changesetTemplate: { title: 't', branch: 'b-${{ steps.path }}', commit: { message: 'm' } },
    }),
  );
  const uncached = await execute(file);
  const cached = await execute(file);
  const rows: [string, (one: Execution) => string][] = [
    ['all workspaces, s', ({ seconds }) => formatFigure(seconds)],
    ['one workspace of all, ms', ({ seconds }) => formatFigure((seconds * 1_000) / count)],
    ['a slot for one workspace, ms', (one) => formatFigure(slotMs(one))],
    ['its steps with their diffs, median ms', ({ steps }) => formatFigure(median(steps))],
    ['beside its steps, ms', (one) => formatFigure(slotMs(one) - median(one.steps))],
    [
      'memory of executor and instance in the second quarter, MiB',
      ({ memory }) => formatFigure(quarter(memory, 1)),
    ],
    ['memory in the last quarter, MiB', ({ memory }) => formatFigure(quarter(memory, 3))],
  ];
  const [processor] = cpus();
  process.stdout.write(
    [
      `- machine: ${cpus().length} processors (${processor?.model}), load ${formatFigure(loadavg()[0] ?? 0)} at the end, Node ${process.version}, emulated VMs`,
      `- ${count} workspaces of one repository, two steps each`,
      '',
      '| | first | again, with results |',
      '| --- | ---: | ---: |',
      ...rows.map(([name, of]) => `| ${name} | ${of(uncached)} | ${of(cached)} |`),
      '',
    ].join('\n'),
  );
} finally {
  await stack.stop();
  remote.stop();
  await registry.stop();
  rmSync(directory, { recursive: true });
}

interface Execution {
  readonly seconds: number;
  /** Of each workspace that had a job: the time of its steps, from their text to the storing of their results, ms. */
  readonly steps: number[];
  /** MiB, twice a second. */
  readonly memory: number[];
}

async function execute(file: string): Promise<Execution> {
  const memory: number[] = [];
  const sampling = setInterval(() => memory.push(residentMiB()), 500);
  const start = performance.now();
  const { id } = JSON.parse(
    await fumehood('batches', 'execute', '--file', file, ...options, '--json'),
  ) as BatchSpecRecord;
  const seconds = (performance.now() - start) / 1_000;
  clearInterval(sampling);
  const status = JSON.parse(await fumehood('batches', 'status', id, '--json')) as {
    workspaceList: WorkspaceRecord[];
  };
  const ran = status.workspaceList.filter(({ jobId }) => jobId !== null);
  const steps = ran.map((one) => one.steps.reduce((sum, step) => sum + lasted(step), 0));
  return { seconds, steps, memory };
}

/** Returns how long one of the executor's slots was taken by a workspace, on average. */
function slotMs({ seconds, steps }: Execution): number {
  return steps.length === 0 ? Number.NaN : (seconds * 1_000 * slots) / count;
}

function lasted({ startedAt, finishedAt }: { startedAt: string | null; finishedAt: string | null }): number {
  return startedAt === null || finishedAt === null ? 0 : Date.parse(finishedAt) - Date.parse(startedAt);
}

/** Returns the largest value of a quarter, from 0. */
function quarter(values: readonly number[], which: number): number {
  const length = Math.ceil(values.length / 4);
  return Math.max(...values.slice(which * length, (which + 1) * length));
}

/** Returns the memory of the helpers of executor and instance and of their Node children, MiB. */
function residentMiB(): number {
  const pids = [stack.pid('executor'), stack.pid('instance')];
  return [...pids, ...pids.flatMap(nodeChildren)].reduce((sum, pid) => sum + statusMiB(pid), 0);
}

function nodeChildren(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    return children.filter((child) => child > 0 && /node/.test(readFileSync(`/proc/${child}/comm`, 'utf8')));
  } catch {
    return []; // it has ended
  }
}

function statusMiB(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

async function fumehood(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await stack.fumehood(args);
  if (code !== 0) throw new Error(`fumehood ${args.join(' ')}: ${stdout}${stderr}${stack.logs()}`);
  return stdout;
}
