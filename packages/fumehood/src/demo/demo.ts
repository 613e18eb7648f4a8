import { FumehoodError } from '@fumehood/base';
import { type Client, isStep, watchJob } from '@fumehood/client';
import type { EgressPolicy, JobRecord, LogEntry } from '@fumehood/protocol';
import { demoFailed } from '../errors.ts';
import { provideImage } from '../run/image.ts';
import { interruptedCode, watchInterrupts } from '../run/interrupt.ts';
import { progressLines } from '../run/progress.ts';
import type { State } from '../state/state.ts';
import type { Install } from './install.ts';
import {
  type Installed,
  installKey,
  phaseName,
  phasesOf,
  type Report,
  type ShownDefinition,
  seconds,
} from './report.ts';
import type { LocalRepository } from './repository.ts';
import { sourceLine } from './source-line.ts';

/** The image of `images/` that contains the indexer. */
const indexer = 'scip-typescript';
/** The name of the broker's entry for npm's registry, as long as the demo runs. */
const brokerEntry = 'demo';
/** Under emulation, work that takes one minute on the host takes twenty. */
const deadlineMs = 3_600_000;

export interface DemoDeps {
  readonly client: Client;
  readonly state: State;
  readonly repository: LocalRepository;
  /** What is installed before the repository is indexed; null: nothing. */
  readonly install: Install | null;
  /** Reports progress to the user. */
  readonly note: (...lines: string[]) => void;
  /** Gets the output of the indexer. */
  readonly output: (bytes: Buffer) => Promise<void> | void;
}

/**
 * Sends a repository to the instance, has it indexed in a fresh VM, and reads the results back. Errors: `demo_failed`, and those of
 * the client.
 */
export async function runDemo(deps: DemoDeps): Promise<Report> {
  const { client, state, repository, install, note } = deps;
  const image = await provideImage(client, { kind: 'recipe', name: indexer }, state, {
    line: note,
    progress: progressLines(note),
  });
  note(`sending ${repository.path} at ${repository.commit.slice(0, 12)}`);
  if (repository.root !== '') note(`indexing its directory ${repository.root}`);
  await client.putPack(repository.name, repository.commit, repository.pack());
  const argv = ['index', '--no-progress-bar', ...(await indexerFlags(deps)), ...projectsOf(install)];
  if (install)
    await client.broker.set(brokerEntry, {
      ...{ kind: 'npm', url: install.registry },
      ...{ queues: ['codeintel'], repositories: [repository.name] },
    });
  try {
    const { id } = await client.createJob({
      queue: 'codeintel',
      repository: repository.name,
      commit: repository.commit,
      root: repository.root,
      steps: install ? [{ image, commands: [npmCommand], root: repository.root }] : [],
      indexer: { name: indexer, image, argv },
      network: policyOf(install),
      accept: ['vm-hardware', 'vm-emulated'],
      cpus: 2,
      memoryMiB: 2048,
      scratchMiB: 1024, // the inspection reads all of it
      deadlineMs,
      inspect: true,
    });
    note(`job ${id}`);
    const { job, entries, installer } = await followPhases(deps, id);
    if (install) await requireRegistry(client, job, install);
    if (job.state !== 'completed' || job.uploadId === null) throw failureOf(job);
    const { documents, occurrences, symbols } = await client.upload(job.uploadId);
    return {
      job,
      phasesMs: phasesOf(entries),
      index: { documents, occurrences, symbols },
      installed: install && (await installedOf(client, id, install, installer)),
      definition: await exampleOf(client, job.uploadId, repository, install),
      leftOver: job.leftOver ?? {},
    };
  } finally {
    if (install) await client.broker.remove(brokerEntry);
  }
}

/** The broker reaches the registry, and a package's hook may do so without it. */
function policyOf(install: Install | null): EgressPolicy {
  if (!install) return { mode: 'none' };
  return { mode: 'allow', hosts: [{ name: install.host.name, ports: [install.host.port] }] };
}

/** Hooks run: they are what the VM is for. */
const npmCommand = 'npm ci --no-audit --no-fund --no-update-notifier';

/** The directories that are indexed together, so that a reference leads into a dependency. */
function projectsOf(install: Install | null): string[] {
  return install ? ['.', ...install.dependencies.map((name) => `node_modules/${name}`)] : [];
}

/** Errors: `demo_failed` when no request of the job reached the registry. */
async function requireRegistry(client: Client, job: JobRecord, { host }: Install): Promise<void> {
  if (job.state === 'completed') return;
  const { receipts } = await client.network(job.id, null);
  const requests = receipts.filter(({ kind }) => kind === 'broker');
  if (requests.some(({ verdict }) => verdict === 'allowed')) return;
  const why = requests.find(({ verdict }) => verdict !== 'allowed')?.rule ?? 'npm asked for nothing';
  throw demoFailed(
    `job ${job.id} did not reach npm's registry ${host.name}: ${why}`,
    `Look at \`fumehood jobs network ${job.id}\`, and at \`npm config get registry\`.`,
  );
}

async function installedOf(
  client: Client,
  id: number,
  { host }: Install,
  installer: string,
): Promise<Installed> {
  const { receipts } = await client.network(id, null);
  const refused = receipts.filter(({ verdict }) => verdict === 'refused').length;
  const [, packages] = /^added (\d+) packages?/m.exec(installer) ?? [];
  return { packages: Number(packages ?? 0), registry: host.name, receipts: receipts.length, refused };
}

/** Returns the indexer's flags for this repository, and notes what will be missing from the index. */
async function indexerFlags({ repository, install, note }: DemoDeps): Promise<string[]> {
  const below = (name: string) => (repository.root === '' ? name : `${repository.root}/${name}`);
  const has = (name: string) => repository.has(below(name));
  const manifest = await repository.file(below('package.json')).catch(() => null);
  if (
    !install &&
    manifest &&
    /"dependencies"|"devDependencies"/.test(manifest.toString()) &&
    !(await has('node_modules'))
  )
    note('the dependencies are not in the commit: symbols that come from them stay unresolved');
  const isConfigured = await has('tsconfig.json');
  if (!isConfigured) note('the directory has no tsconfig.json: the indexer infers one');
  if (isConfigured && !install) return [];
  return ['--infer-tsconfig'];
}

/**
 * Shows the job's phases as they happen. Ctrl-C cancels the job, and then waits until its VM is gone. Cancels the job when its output
 * cannot be written. Errors: that of `output`, and those of the client.
 */
async function followPhases(
  { client, note, output }: DemoDeps,
  id: number,
): Promise<{ job: JobRecord; entries: Iterable<LogEntry>; installer: string }> {
  /** The end of the output of the step that installs. */
  let installer = '';
  const entries = new Map<string, LogEntry>();
  const cancel = () => client.cancel(id).catch(() => {});
  const interrupts = watchInterrupts(() => {
    note('stopping the job; press Ctrl-C again to exit without waiting');
    void cancel();
  });
  let lastWaiting = '';
  try {
    const job = await watchJob(client, id, {
      onJob(record) {
        const message = record.waiting?.message ?? '';
        if (record.waiting && message !== lastWaiting)
          note(`the job waits: ${message}`, `  ${record.waiting.remedy}`);
        lastWaiting = message;
      },
      onPhase(entry) {
        entries.set(`${entry.attempt}.${entry.entry}`, entry);
        const name = phaseName(entry.key);
        if (entry.durationMs === null) note(`▸ ${name}`);
        else note(`${entry.exitCode === 0 ? '✓' : '✗'} ${name} ${seconds(entry.durationMs)}`);
      },
      onFailedPhase(failed) {
        if (!isStep(failed)) for (const line of failed.lines) note(`  ${line}`);
      },
      async onOutput(entry, _stream, bytes) {
        if (!isStep(entry)) return;
        if (entry.key === installKey) installer = (installer + bytes.toString('latin1')).slice(-10_000);
        try {
          await output(bytes);
        } catch (error) {
          await cancel();
          throw error;
        }
      },
    });
    if (interrupts.signal.aborted) process.exitCode = interruptedCode;
    return { job, entries: entries.values(), installer };
  } finally {
    interrupts.release();
  }
}

function failureOf(job: JobRecord): FumehoodError {
  if (job.state === 'canceled') return demoFailed(`job ${job.id} was canceled`, 'Run it again.');
  const { message, reason } = job.failure ?? { message: 'it uploaded no index', reason: 'no index' };
  return demoFailed(`job ${job.id} failed (${reason}): ${message}`, 'Read its output above.');
}

async function exampleOf(
  client: Client,
  upload: number,
  repository: LocalRepository,
  install: Install | null,
): Promise<ShownDefinition | null> {
  const into = `${repository.root === '' ? '' : `${repository.root}/`}node_modules/`;
  const example = (install && (await client.example(upload, into))) ?? (await client.example(upload));
  if (!example) return null;
  const { query, definition } = example;
  // An index may name a file that the commit does not have, for example one that the indexer made.
  const file = await repository.file(definition.path).catch(() => null);
  return {
    query: { path: query.path, line: query.line + 1, character: query.character + 1 },
    path: definition.path,
    line: definition.line + 1,
    text: file && sourceLine(file, definition.line),
  };
}
