import { FumehoodError } from '@fumehood/base';
import type { Client } from '@fumehood/client';
import { countLeftOver, vmNamePrefix } from '@fumehood/microvm';
import type { JobRecord, LogEntry } from '@fumehood/protocol';
import { demoFailed } from '../errors.ts';
import { provideImage } from '../run/image.ts';
import { interruptedCode, watchInterrupts } from '../run/interrupt.ts';
import { watchJob } from '../run/watch.ts';
import type { State } from '../state/state.ts';
import { phaseName, phasesOf, type Report, type ShownDefinition, seconds } from './report.ts';
import type { LocalRepository } from './repository.ts';

/** The image of `images/` that holds the indexer. */
const indexer = 'scip-typescript';
/** Under emulation a job of a minute's work on the host takes 20. */
const deadlineMs = 3_600_000;

export interface DemoDeps {
  readonly client: Client;
  readonly state: State;
  readonly repository: LocalRepository;
  /** The directory to index, from the repository's top; empty: all of it. */
  readonly root: string;
  /** Progress, and what the indexer writes. */
  readonly note: (line: string) => void;
  readonly output: (bytes: Buffer) => void;
}

/** Indexes a repository in a fresh VM, by way of the instance, and reads everything back. Errors: `demo_failed`, the client's. */
export async function runDemo(deps: DemoDeps): Promise<Report> {
  const { client, state, repository, root, note } = deps;
  const image = await provideImage(client, { kind: 'recipe', name: indexer }, state, note);
  note(`sending ${repository.path} at ${repository.commit.slice(0, 12)}`);
  await client.putPack(repository.name, repository.commit, await repository.pack());
  const argv = ['index', '--no-progress-bar', ...(await indexerFlags(deps))];
  const { id } = await client.createJob({
    queue: 'codeintel',
    repository: repository.name,
    commit: repository.commit,
    root,
    indexer: { name: indexer, image, argv },
    accept: ['vm-hardware', 'vm-pvm', 'vm-emulated'],
    cpus: 2,
    memoryMiB: 2048,
    scratchMiB: 1024, // all of it is read when the VM is searched
    deadlineMs,
    inspect: true,
  });
  note(`job ${id}`);
  const { job, entries } = await follow(deps, id);
  if (job.state !== 'completed' || job.uploadId === null) throw failureOf(job);
  const { documents, occurrences, symbols } = await client.upload(job.uploadId);
  return {
    job,
    phasesMs: phasesOf(entries),
    index: { documents, occurrences, symbols },
    definition: await exampleOf(client, job.uploadId, repository),
    leftOver: counted(job, state),
  };
}

/** What the indexer has to be told about this repository, said aloud where it matters to the result. */
async function indexerFlags({ repository, root, note }: DemoDeps): Promise<string[]> {
  const below = (name: string) => (root === '' ? name : `${root}/${name}`);
  const has = (name: string) => repository.has(below(name));
  const manifest = await repository.file(below('package.json')).catch(() => null);
  if (
    manifest &&
    /"dependencies"|"devDependencies"/.test(manifest.toString()) &&
    !(await has('node_modules'))
  )
    note('its dependencies are not in the commit: what comes from them stays unresolved');
  if (await has('tsconfig.json')) return [];
  note('it has no tsconfig.json: the indexer infers one');
  return ['--infer-tsconfig'];
}

/** Shows the job's phases as they come; Ctrl-C cancels it and waits for the end of its VM. */
async function follow(
  { client, note, output }: DemoDeps,
  id: number,
): Promise<{ job: JobRecord; entries: Iterable<LogEntry> }> {
  const entries = new Map<string, LogEntry>();
  const interrupts = watchInterrupts(() => {
    note('stopping the job; press Ctrl-C again to leave it to itself');
    void client.cancel(id).catch(() => {});
  });
  let waits = '';
  try {
    const job = await watchJob(client, id, {
      onJob(record) {
        const message = record.waiting?.message ?? '';
        if (record.waiting && message !== waits)
          note(`the job waits: ${message}\n  ${record.waiting.remedy}`);
        waits = message;
      },
      onPhase(entry) {
        entries.set(`${entry.attempt}.${entry.entry}`, entry);
        const name = phaseName(entry.key);
        if (entry.durationMs === null) note(`▸ ${name}`);
        else note(`${entry.exitCode === 0 ? '✓' : '✗'} ${name} ${seconds(entry.durationMs)}`);
      },
      onOutput: (entry, _stream, bytes) => {
        if (entry.key.startsWith('step.')) output(bytes);
      },
    });
    if (interrupts.signal.aborted) process.exitCode = interruptedCode;
    return { job, entries: entries.values() };
  } finally {
    interrupts.release();
  }
}

function failureOf(job: JobRecord): FumehoodError {
  if (job.state === 'canceled') return demoFailed(`job ${job.id} was canceled`, 'Run it again.');
  const { message, reason } = job.failure ?? { message: 'it left no index', reason: 'no index' };
  return demoFailed(`job ${job.id} failed (${reason}): ${message}`, 'What it wrote is above.');
}

async function exampleOf(
  client: Client,
  upload: number,
  repository: LocalRepository,
): Promise<ShownDefinition | null> {
  const example = await client.example(upload);
  if (!example) return null;
  const { query, definition } = example;
  const lines = (await repository.file(definition.path)).toString().split('\n');
  return {
    query: { path: query.path, line: query.line + 1, character: query.character + 1 },
    path: definition.path,
    line: definition.line + 1,
    text: (lines[definition.line] ?? '').slice(0, 200),
  };
}

/** What the executor counted when it destroyed the VM, and what is to be seen from here now. */
function counted(job: JobRecord, state: State): Record<string, number> {
  const now: Record<string, number> = {
    ...countLeftOver(`${vmNamePrefix}j${job.id}-`, new Set(), state.vms),
  };
  const then = job.leftOver ?? {};
  return Object.fromEntries(
    Object.keys(now).map((what) => [what, Math.max(now[what] ?? 0, then[what] ?? 0)]),
  );
}
