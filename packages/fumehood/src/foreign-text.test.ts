import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeProgram } from './program.ts';
import { client, evil, record } from './testing/foreign-client.ts';

/** A character that a terminal acts on. */
const acts = /[^\P{Cc}\n]|\u202e/u;

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
// What moves the cursor is of ours: views.test.ts looks at the rest.
vi.mock('./batches/views.ts', async (importOriginal) => {
  const { lineView } = await importOriginal<typeof import('./batches/views.ts')>();
  return { lineView, terminalView: lineView };
});
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

const spec = '0'.repeat(32);
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
  'batches/execute': [spec],
  'batches/status': [spec],
  'batches/logs': [spec],
  'batches/cancel': [spec],
  'batches/preview': [spec],
  'batches/apply': [spec],
  'batches/list': [],
  'batches/show': ['greetings'],
  'batches/close': ['greetings'],
  'batches/publish': ['greetings'],
  'batches/reenqueue': ['greetings', spec],
  'batches/merge': ['greetings', spec],
  'batches/comment': ['greetings', spec, '--body', 'hello'],
  'batches/close-changesets': ['greetings', spec],
  'batches/archive': ['greetings', spec],
  'batches/detach': ['greetings', spec],
  'batches/rename': ['greetings', 'hello'],
  'batches/move': ['greetings', 'ann'],
  'batches/delete': ['greetings'],
  'batches/settings/show': [],
  'batches/resume': ['greetings'],
  'batches/rollout/show': [],
  'batches/code-hosts/list': [],
  'batches/code-hosts/set': ['lab', 'https://git.test', '--kind', 'gitea'],
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
  'batches/retry',
  'batches/settings/set',
  'batches/settings/remove',
  'batches/rollout/remove',
  'batches/code-hosts/remove',
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
  'batches/new',
  'batches/validate',
  'batches/rollout/set',
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
      if (!/^(run|demo|(jobs|batches)\/logs|index\/config\/show)$/.test(path))
        expect(text).not.toMatch(/^forged/m);
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
