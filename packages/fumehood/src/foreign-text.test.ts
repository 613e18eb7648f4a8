import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '@fumehood/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeProgram } from './program.ts';

/** Writes into the clipboard of the terminal, turns text around, and forges a line. */
const evil = 'x\x1b]52;c;aGVsbG8=\x07\x9b31m\u202e\r\nforged';
const acts = /[^\P{Cc}\n]|\u202e/u;

/** A record of any kind whose every text is hostile. */
const record: Record<string, unknown> = {
  ...Object.fromEntries(
    'name version user tenant queue executor secret vmm arch url host username kind header branch commit syncedAt nextSyncAt'
      .split(' ')
      .map((name) => [name, evil]),
  ),
  ...{ id: 1, attempt: 1, state: 'failed', outcome: evil, tier: evil, exitCode: 1, cancelRequested: false },
  ...{
    tiers: [evil],
    labels: [evil],
    scopes: [evil],
    queues: [evil],
    repositories: [evil],
    accept: [evil],
    priority: 0,
  },
  ...{ image: evil, command: evil },
  resources: { cpus: 1, memoryMiB: 1, scratchMiB: 1 },
  failure: { reason: evil, message: evil },
  waiting: { reason: evil, message: evil, remedy: evil },
  secrets: [{ createdAt: evil, endsAt: evil, lastUsedAt: evil }],
  ...{ weight: 1, waitingJobs: 1, running: 1, admin: true, draining: false, trouble: evil, uploadId: null },
  ...{ queuedAt: evil, processAfter: evil, startedAt: evil, finishedAt: evil, expectedStartAt: evil },
  ...{ createdAt: evil, lastSeenAt: evil, lastUsedAt: evil, expiresAt: evil },
};
const entry = { ...record, entry: 1, key: `step.${evil}`, durationMs: 1, command: [evil] };
const receipt = {
  ...{ at: 0, kind: 'connection', name: null, address: '1.1.1.1', port: 1, serverName: evil },
  ...{ sentBytes: 0, receivedBytes: 0, verdict: 'allowed', rule: evil, reason: null, seq: 0, step: evil },
};
const network = { attempt: 1, policy: null, receipts: [receipt], total: 1, dropped: 0, ended: true };
const events = async function* () {
  yield { type: 'job', job: { ...record, state: 'processing' } };
  yield { type: 'entry', entry };
  yield {
    type: 'output',
    attempt: 1,
    entry: 1,
    stream: 'stdout',
    data: Buffer.from(evil).toString('base64'),
  };
  yield {
    type: 'output',
    attempt: 1,
    entry: 1,
    stream: 'stderr',
    data: Buffer.from(evil).toString('base64'),
  };
  yield { type: 'job', job: record };
};
const delivery = { receivedAt: evil, sender: evil, event: evil, id: evil, result: 'sync' };
const webhook = async () => ({ ...record, path: evil, setBy: evil, setAt: evil, lastDelivery: delivery });
const one = () => Promise.resolve(record);
const all = () => Promise.resolve([record]);
const ceiling = { ...record, policy: { mode: evil } };
const status = { tiers: [evil], executors: [record], jobs: { queued: 0, processing: 0 } };
const answer = {
  repository: 'acme/greeter',
  commit: evil,
  precision: 'nearby',
  indexedCommit: evil,
  next: evil,
};
const location = { repository: evil, commit: evil, path: evil, line: 0, character: 0, symbol: evil };
const locations = async () => ({ ...answer, locations: [location] });
const client = {
  ...{ createJob: one, job: one, attempts: all, why: one, shares: all, setShare: one, cancel: one, events },
  ...{ jobs: async () => ({ jobs: [record], next: 1 }), status: async () => status, setDraining: one },
  sendInput: async () => {},
  network: async () => network,
  registries: { list: all, set: one, remove: async () => {} },
  broker: { list: all, set: one, remove: async () => {} },
  ceilings: { list: async () => [ceiling], set: async () => ceiling, remove: async () => {} },
  secrets: { list: all },
  organisations: { list: async () => [{ ...record, members: [evil] }] },
  repositories: {
    list: all,
    show: async () => ({ ...record, webhook: { setAt: evil, lastDelivery: delivery } }),
    ...{ webhook, setWebhook: webhook },
  },
  code: {
    policies: async () => [{ ...record, repositories: evil, kind: 'tag', pattern: evil }],
    status: async () => ({
      ...{ repository: 'acme/greeter', tip: evil, policies: [evil] },
      indexes: [
        {
          ...{
            ...record,
            root: evil,
            indexer: evil,
            indexerVersion: evil,
            uploadedAt: evil,
            jobId: 1,
            behind: 1,
          },
          uploadedBy: evil,
        },
      ],
      commits: [
        {
          ...record,
          commit: evil,
          plannedAt: evil,
          policy: evil,
          source: evil,
          notes: [evil],
          failure: evil,
          jobs: [
            { id: 1, state: evil, root: evil, indexer: evil, uploadId: null, documents: null, failure: evil },
          ],
        },
      ],
    }),
    dependencies: async () => ({
      indexing: null,
      dependencies: [{ manager: evil, name: evil, version: evil, state: evil, jobId: 1, failure: evil }],
    }),
    settings: async () => ({
      ...record,
      settings: { network: { mode: evil }, broker: [evil], secrets: [evil] },
      setBy: evil,
      setAt: evil,
    }),
    config: async () => ({ ...record, text: evil }),
    indexers: async () => [{ language: 'go', image: evil, isDefault: false }],
    index: async () => ({
      ...record,
      source: evil,
      commit: evil,
      jobs: [{ root: evil, indexer: evil, reason: evil, jobId: 1 }],
      notes: [evil],
    }),
    ...{ definition: locations, references: locations, implementations: locations },
    callers: async () => ({ ...answer, callers: [{ at: location, caller: { ...location, name: evil } }] }),
    hover: async () => ({ ...answer, hover: { text: evil } }),
    symbols: async () => ({ ...answer, symbols: [{ line: 0, character: 0, name: evil, kind: evil }] }),
  },
  access: {
    ...{ users: all, createUser: one, tokens: all, createToken: one, revokeToken: one, credentials: all },
    ...{ createCredential: one, rotateCredential: one, revokeCredential: one, endRotation: one },
    createJoinToken: async () => ({ ...record, instanceUrl: evil, token: evil, expiresAt: evil }),
  },
} as unknown as Client;

const defence = vi.hoisted(() => ({ isOn: true }));
vi.mock('./cli/printable.ts', async (importOriginal) => {
  const real = await importOriginal<typeof import('./cli/printable.ts')>();
  const unless = (function_: (text: string) => string) => (text: string) =>
    defence.isOn ? function_(text) : text;
  return { ...real, printable: unless(real.printable), printableLines: unless(real.printableLines) };
});
const instance = { pid: 1, script: '', address: { local: '', url: evil } };
vi.mock('./up/running.ts', () => ({
  runningClient: async () => client,
  readyClient: async () => null,
  clientOf: async () => client,
  findRunning: () => ({ instance, executor: { pid: 1, script: '', name: evil, isReady: true } }),
}));
vi.mock('./target/secret.ts', async (importOriginal) => ({
  ...(await importOriginal<object>()),
  readSecretText: async () => 'secret',
}));
vi.mock('./up/up.ts', () => ({ bringUp: async () => client }));
vi.mock('./run/image.ts', () => ({
  parseImage: () => ({}),
  withPlainImage: (image: unknown, _state: unknown, use: (plain: unknown) => unknown) => use(image),
  checkImage: async (_image: unknown, onWarning: (line: string) => void) => onWarning(evil),
  provideImage: async () => evil,
}));
vi.mock('./executor/validate.ts', () => ({
  validateExecutor: async () => [
    { requirement: 'credential', met: false, is: evil, shouldBe: evil, remedy: evil },
  ],
}));
vi.mock('./demo/repository.ts', () => ({ openRepository: async () => ({}) }));
vi.mock('./demo/demo.ts', () => ({
  async runDemo({ note, output }: { note: (line: string) => void; output: (bytes: Buffer) => void }) {
    note(evil);
    output(Buffer.from(evil));
    const place = { path: evil, line: 1, character: 1 };
    return {
      job: { ...record, guest: { kernel: evil, interfaces: [evil] }, inspection: null },
      ...{ phasesMs: { [evil]: 1 }, leftOver: { [evil]: 0 } },
      index: { documents: 1, occurrences: 1, symbols: 1 },
      definition: { ...place, query: place, text: evil },
    };
  },
}));

let printed: { stdout: string; stderr: string };
const terminals = [process.stdout, process.stderr];
const before = terminals.map(({ isTTY }) => isTTY);
beforeEach(() => {
  defence.isOn = true;
  vi.stubEnv('FUMEHOOD_STATE', '/nonexistent');
  printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text, written?: unknown) => {
      printed[name] += typeof text === 'string' ? text : Buffer.from(text).toString();
      if (typeof written === 'function') written();
      return true;
    });
  for (const terminal of terminals) terminal.isTTY = true;
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const [at, terminal] of terminals.entries()) terminal.isTTY = before[at] as boolean;
  process.exitCode = 0;
});

/** The commands that print what others named, with arguments. */
const commands: Record<string, string[]> = {
  run: ['image'],
  demo: [],
  'jobs/list': [],
  'jobs/show': ['1'],
  'jobs/why': ['1'],
  'jobs/logs': ['1', '--phases'],
  'jobs/network': ['1'],
  'jobs/policy': ['1'],
  'shares/list': [],
  'tokens/create': ['ci', '--scope', 'jobs:read'],
  'tokens/list': [],
  'tokens/revoke': ['1'],
  'users/list': [],
  'orgs/list': [],
  'executors/add': ['lab'],
  'executors/list': [],
  'executors/credentials/create': ['ci', '--queue', 'runs'],
  'executors/credentials/list': [],
  'executors/credentials/rotate': ['1'],
  'executors/credentials/revoke': ['1'],
  'executor/validate': [],
  'registries/add': ['registry.test', '--username', 'u', '--password-stdin'],
  'registries/list': [],
  'broker/add': ['npm', 'https://registry.test/', '--kind', 'npm', '--username', 'u', '--secret-stdin'],
  'broker/list': [],
  'network/ceilings/list': [],
  'network/ceilings/set': ['none', '--tenant', 'acme'],
  'secrets/list': [],
  'repos/list': [],
  'index/run': ['acme/greeter'],
  'index/status': ['acme/greeter'],
  'index/config/show': ['acme/greeter'],
  'index/settings/show': ['acme/greeter'],
  'index/dependencies/list': [],
  'index-policies/list': [],
  'code/def': ['acme/greeter', 'a:1:1'],
  'code/refs': ['acme/greeter', 'a:1:1'],
  'code/implementations': ['acme/greeter', 'a:1:1'],
  'code/callers': ['acme/greeter', 'a:1:1'],
  'code/hover': ['acme/greeter', 'a:1:1'],
  'code/symbols': ['acme/greeter', 'a'],
  'indexers/list': [],
  'repos/show': ['acme/greeter'],
  'repos/webhook/set': ['acme/greeter'],
  'repos/webhook/show': ['acme/greeter'],
  up: [],
  status: [],
};
/** The commands that print only numbers, words of ours, names that a schema bounds, and what the user has just typed. */
const others = [
  'executor/join',
  'executor/leave',
  'jobs/cancel',
  'jobs/delete',
  'shares/set',
  'users/create',
  'orgs/create',
  'orgs/remove',
  'orgs/members/add',
  'orgs/members/remove',
  'registries/remove',
  'broker/remove',
  'repos/add',
  'indexers/set',
  'index/config/set',
  'index/config/remove',
  'index/settings/set',
  'index/dependencies/on',
  'index/dependencies/off',
  'index/settings/remove',
  'index-policies/set',
  'index-policies/remove',
  'indexers/reset',
  'repos/remove',
  'repos/sync',
  'repos/webhook/remove',
  'network/ceilings/remove',
  'secrets/set',
  'secrets/remove',
  'mcp',
  'executors/drain',
  'executors/resume',
];
/** The commands that ask nobody: they print the paths and the processes of this machine. */
const local = [
  'backup',
  'restore',
  'down',
  'clean',
  'doctor',
  'login',
  'logout',
  'executor/install/firecracker',
  'executor/start',
  'policy/check',
  'instance/start',
  'instance/install',
];

async function run(path: string, ...more: string[]): Promise<string> {
  printed = { stdout: '', stderr: '' };
  await makeProgram().parseAsync([
    'node',
    'fumehood',
    ...path.split('/'),
    ...(commands[path] ?? []),
    ...more,
  ]);
  return printed.stdout + printed.stderr;
}

it('every command is either here, or prints nothing that others named', () => {
  const files = readdirSync(join(import.meta.dirname, 'commands'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => file.slice(0, -'.ts'.length));
  expect(files.toSorted()).toEqual([...Object.keys(commands), ...others, ...local].toSorted());
});

it('nothing but cli/print.ts writes to the terminal', () => {
  const writers = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .filter((file) =>
      /\bconsole\.|std(out|err)\.write\(|process\[/.test(
        readFileSync(join(import.meta.dirname, file), 'utf8'),
      ),
    );
  expect(writers).toEqual(['cli/print.ts']);
});

describe('what others named reaches the terminal', () => {
  it.each(Object.keys(commands))(
    'as text from `fumehood %s`, and as a command without the defence',
    async (path) => {
      const text = await run(path);
      expect(text).toContain('52;c;aGVsbG8=');
      expect(text).not.toMatch(acts);
      if (!/^(run|demo|jobs\/logs|index\/config\/show)$/.test(path)) expect(text).not.toMatch(/^forged/m);
      defence.isOn = false;
      expect(await run(path)).toMatch(acts);
    },
  );

  it.each(['jobs/show', 'executors/list', 'executor/validate', 'tokens/list', 'status'])(
    'as text from `fumehood %s --json`, unchanged in its meaning',
    async (path) => {
      await run(path, '--json');
      expect(printed.stdout).not.toMatch(acts);
      expect(JSON.stringify(JSON.parse(printed.stdout))).toContain(JSON.stringify(evil));
    },
  );
});

it('an error that others wrote forges no line, and its other lines are indented', async () => {
  const { noteError } = await import('./cli/print.ts');
  noteError({ message: `it failed: ${evil}`, remedy: evil });
  expect(printed.stderr).not.toMatch(acts);
  expect(printed.stderr).toMatch(/^fumehood: it failed: x.*\n {2}forged\n {2}x.*\n {2}forged\n$/);
});

it('the output of a job goes to a file byte by byte', async () => {
  for (const terminal of terminals) terminal.isTTY = false;
  await run('jobs/logs');
  expect(printed.stdout).toBe(evil);
});

it('a character of a job’s output that comes in two parts is whole', async () => {
  const { writeOutput } = await import('./cli/print.ts');
  for (const byte of Buffer.from('é\x1b')) await writeOutput('stdout', Buffer.from([byte]));
  expect(printed.stdout).toBe('é\\x1b');
});
