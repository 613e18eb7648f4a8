import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collect } from '@fumehood/base';
import type { Guest, GuestStep, StepExit } from '@fumehood/microvm';
import type { ImageDisk } from '@fumehood/oci';
import { type NextStep, type NextStepRequest, stepOutputMax } from '@fumehood/protocol';
import { beforeEach, expect, test } from 'vitest';
import { fakeClock } from '../../testing/fake-clock.ts';
import { testJob } from '../../testing/test-job.ts';
import type { JobClient } from '../../uplink/job-client.ts';
import { type BatchDeps, runBatchSteps } from './batch-steps.ts';
import { guestLimits } from './guest-limits.ts';
import type { ValidatedJob } from './validate-job.ts';

const ok: StepExit = { code: 0, signal: 0, reason: 'exit', message: '' };
const answered = (next: Partial<NonNullable<NextStep['next']>> | null): NextStep => ({
  next: next && { step: 0, script: 'make', env: [], secrets: [], files: [], ...next },
  ...{ restore: null, skipped: [] },
});

let work: string;
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'batch-steps-'));
  return () => rmSync(work, { recursive: true, force: true });
});

interface Script {
  readonly answers: NextStep[];
  /** Whether the image has bash. */
  readonly bash?: boolean;
  /** What a command of a step writes, and how it ends. */
  readonly step?: (command: GuestStep) => { stdout?: Buffer; exit?: StepExit };
}

/** Runs the steps of a job in a guest that does what the script says. The diff of each workspace is the name of its step. */
async function run({ answers, bash = false, step = () => ({}) }: Script) {
  const commands: GuestStep[] = [];
  const files = new Map<string, string>();
  const diffs: string[] = [];
  const ends: NextStepRequest['done'][] = [];
  const hidden: Record<string, string> = {};
  const log: string[] = [];
  const guest: Partial<Guest> = {
    file: (path, content) => void files.set(path, Buffer.from(content).toString()),
    async step(command, streams) {
      if (command.argv[0] === '/bin/bash' && !bash) return { ...ok, reason: 'start', code: 127 };
      if (command.id === 'shell') return ok;
      commands.push(command);
      if (command.argv.includes('diff')) await streams.stdout(Buffer.from('a diff'));
      if (command.id.startsWith('tool')) return ok;
      const { stdout, exit } = step(command);
      if (stdout) await streams.stdout(stdout);
      return exit ?? ok;
    },
  };
  const client: Partial<JobClient> = {
    async nextStep(done) {
      ends.push(done);
      return answers.shift() ?? answered(null);
    },
    async stepDiff(at, open) {
      diffs.push((await collect(open(), 1_000)).toString());
      return `sha256:${String(at).repeat(64)}`;
    },
    hide: (values) => void Object.assign(hidden, values),
  };
  const config = { env: ['FROM=image'], entrypoint: [], cmd: [], user: 'worker', workingDir: '/' };
  const batch = { repositoryName: 'acme', repositoryDirectory: 'repository', commit: '0'.repeat(40) };
  const dockerSteps = [0, 1].map((at) => ({ key: `step.${at}`, image: 'x', dir: 'repository/web' }));
  const exits: number[] = [];
  const deps = {
    ...{ guest, client, work: join(work, 'diffs'), blobs: work, hostname: 'job', extraEnvironment: {} },
    job: { ...testJob({ ...batch, dockerSteps }, { batch: true }) } as unknown as ValidatedJob,
    images: [0, 1].map((): ImageDisk => ({ file: '', config })),
    ...{ clock: fakeClock(), limits: guestLimits, vm: { kill() {} }, setEndStep() {} },
    lease: { stopped: new AbortController().signal },
    openLog: (key: string, command: readonly string[]) => {
      log.push(`${key} ${command.join(' ')}`);
      return {
        write: async (stream: string, chunk: Uint8Array) =>
          void (chunk.length < 1_000 && log.push(`${stream} ${Buffer.from(chunk).toString().trim()}`)),
        end: async () => {},
      };
    },
  } as unknown as BatchDeps;
  const failure: unknown = await runBatchSteps(deps, (code) => void exits.push(code)).then(
    () => null,
    (error: unknown) => error,
  );
  return { failure, commands, files, diffs, ends, hidden, log, exits };
}

test('a job whose steps are all known runs none', async () => {
  const { failure, commands, ends } = await run({ answers: [answered(null)] });
  expect([failure, commands, ends]).toEqual([null, [], [null]]);
});

test('each step is run and reported with its diff, and those that are skipped are not', async () => {
  const { failure, commands, ends, diffs, exits, log } = await run({
    answers: [answered({ step: 1, script: 'make all', env: ['MINE=step', 'FROM=step'] })],
    step: () => ({ stdout: Buffer.from('said\n') }),
  });
  expect(failure).toBeNull();
  const [step] = commands;
  expect(step).toMatchObject({
    ...{ id: 'step-1', argv: ['/bin/sh', '/fumehood/step.sh'], user: '0:0', cwd: '/data/repository/web' },
    env: expect.arrayContaining(['MINE=step', 'FROM=step']) as string[],
  });
  expect(commands.slice(1).map(({ argv }) => argv[1])).toEqual(['add', 'diff']);
  expect(ends).toEqual([null, { step: 1, stdout: 'said\n', stderr: '', diff: `sha256:${'1'.repeat(64)}` }]);
  expect([diffs, exits]).toEqual([['a diff'], [0]]);
  expect(log).toEqual(['step.docker.step.1 /bin/sh /fumehood/step.sh', 'stdout said']);
  expect(readdirSync(join(work, 'diffs'))).toEqual([]);
});

test('a step runs with bash where its image has it', async () => {
  const { commands } = await run({ answers: [answered({})], bash: true });
  expect(commands[0]?.argv[0]).toBe('/bin/bash');
});

test('a step that fails has no diff, and no later step runs', async () => {
  const { failure, ends, diffs, exits } = await run({
    answers: [answered({}), answered({ step: 1 })],
    step: () => ({ stdout: Buffer.from('it broke\n'), exit: { ...ok, code: 3 } }),
  });
  expect(failure).toMatchObject({
    code: 'step_failed',
    message: expect.stringContaining('it broke') as string,
  });
  expect([ends, diffs, exits]).toEqual([[null], [], [3]]);
});

test('the beginning of a long output is reported, without a character that is cut, and the log says so', async () => {
  const long = Buffer.from(`x${'é'.repeat(stepOutputMax)}`);
  const { ends, log } = await run({ answers: [answered({})], step: () => ({ stdout: long }) });
  expect(Buffer.byteLength(ends[1]?.stdout ?? '')).toBe(stepOutputMax - 1);
  expect(ends[1]?.stdout.endsWith('é')).toBe(true);
  expect(log.at(-1)).toBe('stderr later steps see the first 1 MiB of this stdout alone');
});

test('an output that no database can store is reported all the same', async () => {
  const { ends } = await run({ answers: [answered({})], step: () => ({ stdout: Buffer.from([0, 0xff]) }) });
  expect(ends[1]?.stdout).toBe('\u2400\ufffd');
});

test('the secrets of a step are taken out of the log', async () => {
  const { hidden } = await run({
    answers: [answered({ env: ['TOKEN=a=b', 'EMPTY=', 'PLAIN=c'], secrets: ['TOKEN', 'EMPTY'] })],
  });
  expect(hidden).toEqual({ 'a=b': '[secret TOKEN]' });
});

test('the files of a step are where it wants them, and cannot be changed there', async () => {
  const { commands, files } = await run({
    answers: [
      answered({ files: [{ target: '/opt//names', content: Buffer.from('a file').toString('base64') }] }),
    ],
  });
  expect(commands[0]?.binds.slice(-2)).toEqual([
    { source: '/scratch/files/script', target: '/fumehood/step.sh', mode: 'ro' },
    { source: '/scratch/files/0', target: '/opt/names', mode: 'ro' },
  ]);
  expect([...files]).toEqual([
    ['/git/info/attributes', expect.stringContaining('!text')],
    ['/scratch/files/script', 'make'],
    ['/scratch/files/0', 'a file'],
  ]);
});

test.each([
  ['a file in the workspace', { files: [{ target: '/data/repository/x', content: '' }] }, 'step_refused'],
  ['the workspace as a file', { files: [{ target: '/data', content: '' }] }, 'step_refused'],
  ['a file above the root', { files: [{ target: '/a/../../x', content: '' }] }, 'step_refused'],
  ['a script that is too long', { script: 'x'.repeat(2 ** 21 + 1) }, 'step_refused'],
  ['a variable that is too long', { env: [`X=${'x'.repeat(131_072)}`] }, 'step_refused'],
  ['a step that the job does not have', { step: 2 }, 'instance_refused'],
])('a step with %s is refused', async (_, next, code) => {
  const { failure, commands } = await run({ answers: [answered(next)] });
  expect(failure).toMatchObject({ code });
  expect(commands).toEqual([]);
});

test('a step that was done is not run again', async () => {
  const { failure, ends } = await run({ answers: [answered({ step: 1 }), answered({ step: 0 })] });
  expect(failure).toMatchObject({ code: 'instance_refused' });
  expect(ends).toHaveLength(2);
});
