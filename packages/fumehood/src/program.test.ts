import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeProgram } from './program.ts';

let said: { stdout: string; stderr: string };
beforeEach(() => {
  said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      said[name] += String(text);
      return true;
    });
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** How a command line ends of which nothing is run. */
async function ended(...args: string[]): Promise<number> {
  const error: unknown = await makeProgram()
    .parseAsync(['node', 'fumehood', ...args])
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(CommanderError);
  return (error as CommanderError).exitCode;
}

/** The paths of all commands that do something, such as `jobs/list`. */
function leaves(command: Command): string[] {
  return command.commands.flatMap((child) =>
    child.commands.length === 0 ? [child.name()] : leaves(child).map((path) => `${child.name()}/${path}`),
  );
}

it('has one file in commands/ for each command, under the name of the command', () => {
  const files = readdirSync(join(import.meta.dirname, 'commands'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => file.slice(0, -'.ts'.length));
  expect(files.toSorted()).toEqual(leaves(makeProgram()).toSorted());
});

describe('help', () => {
  it.each([
    'run',
    'demo',
    'jobs',
    'shares',
    'tokens',
    'users',
    'executors',
    'up',
    'down',
    'status',
    'clean',
    'doctor',
  ])('is given on %s', async (name) => {
    expect(await ended(name, '--help')).toBe(0);
    expect(said.stdout).toMatch(new RegExp(`^Usage: fumehood ${name} `));
    expect(said.stderr).toBe('');
  });
});

describe('a mistake', () => {
  it.each([
    ['an unknown command', ['frobnicate'], "unknown command 'frobnicate'"],
    ['an unknown option', ['--frobnicate'], "unknown option '--frobnicate'"],
    ['an unknown option of a command', ['run', '--frobnicate', 'x'], "unknown option '--frobnicate'"],
    ['a missing argument', ['run'], "missing required argument 'image'"],
    ['an option without its value', ['demo', '--repo'], "'--repo <path>' argument missing"],
    ['no time at all', ['run', '--timeout', '0', 'x'], 'from 1 to 86400'],
    ['too little memory', ['run', '--memory', '64', 'x'], 'from 128 to 1048576'],
    ['a number in other digits', ['run', '--memory', '0x400', 'x'], 'from 128 to 1048576'],
    ['nothing for a number', ['run', '--cpus=', 'x'], 'from 1 to 64'],
    ['more processors than any machine has', ['run', '--cpus', '65', 'x'], 'from 1 to 64'],
    ['half a processor', ['run', '--cpus', '0.5', 'x'], 'from 1 to 64'],
    ['a disk that is too small', ['run', '--scratch', '-1', 'x'], 'from 64 to 1048576'],
    ['an isolation that there is not', ['run', '--accept', 'magic', 'x'], 'vm-hardware, vm-pvm, vm-emulated'],
    ['a variable without a value', ['run', '--env', 'NAME', 'x'], 'NAME=VALUE'],
    ['a job without a number', ['jobs', 'why', 'mine'], 'A job has a number'],
    ['a state that there is not', ['jobs', 'list', '--state', 'nearly'], 'queued, processing'],
    ['a weight of nothing', ['shares', 'set', 'runs', 'acme', '0'], 'from 0.001 to 1000'],
    ['a label with blanks', ['run', '--label', 'two words', 'x'], 'NAME=VALUE'],
    ['a scope that there is not', ['tokens', 'create', 'ci', '--scope', 'all'], 'jobs:read, jobs:write'],
    ['a token without a scope', ['tokens', 'create', 'ci'], "option '--scope <scope>' not specified"],
    ['a name that could be an id', ['tokens', 'create', '7', '--scope', 'tokens'], 'must be a letter'],
    [
      'a queue that there is not',
      ['executors', 'credentials', 'create', 'x', '--queue', 'y'],
      'codeintel, batches',
    ],
    [
      'an overlap that never ends',
      ['executors', 'credentials', 'rotate', 'x', '--overlap', '9999'],
      'from 0 to 2160',
    ],
    ['a variable without a name', ['run', '-e', '=value', 'x'], 'NAME=VALUE'],
  ])('like %s is told in one line, with one on what to do', async (_what, args, told) => {
    expect(await ended(...args)).not.toBe(0);
    expect(said.stderr).toMatch(/^fumehood: [^\n]+\n {2}[^\n]+\n$/);
    expect(said.stderr).toContain(told);
    expect(said.stdout).toBe('');
  });

  it.each(['up', 'down', 'status', 'clean', 'doctor', 'demo'])('is an argument to %s', async (name) => {
    expect(await ended(name, 'frobnicate')).not.toBe(0);
    expect(said.stderr).toContain('frobnicate');
  });
});
