import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeProgram } from './program.ts';

let output: { stdout: string; stderr: string };
beforeEach(() => {
  output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      output[name] += String(text);
      return true;
    });
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Parses a command line that runs nothing, and returns its exit code. */
async function exitCodeOf(...args: string[]): Promise<number> {
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
    'executor',
    'up',
    'down',
    'status',
    'clean',
    'doctor',
  ])('describes %s', async (name) => {
    expect(await exitCodeOf(name, '--help')).toBe(0);
    expect(output.stdout).toMatch(new RegExp(`^Usage: fumehood ${name} `));
    expect(output.stderr).toBe('');
  });
});

describe('a mistake in the command line', () => {
  it.each([
    ['an unknown command', ['frobnicate'], "unknown command 'frobnicate'"],
    ['an unknown option', ['--frobnicate'], "unknown option '--frobnicate'"],
    ['an unknown option of a command', ['run', '--frobnicate', 'x'], "unknown option '--frobnicate'"],
    ['a missing argument', ['run'], "missing required argument 'image'"],
    ['an option without its value', ['demo', '--repo'], "'--repo <path>' argument missing"],
    ['a timeout of 0', ['run', '--timeout', '0', 'x'], 'from 1 to 86400'],
    ['too long a grace period', ['run', '--stop-timeout', '301', 'x'], 'from 0 to 300'],
    [
      'a version that is none',
      ['executor', 'install', 'firecracker', '--version', 'latest'],
      'such as 1.17.0',
    ],
    ['half a checksum', ['executor', 'install', 'firecracker', '--sha256', 'abc'], '64 hexadecimal digits'],
    ['too little memory', ['run', '--memory', '64', 'x'], 'from 128 to 1048576'],
    ['a hexadecimal number', ['run', '--memory', '0x400', 'x'], 'from 128 to 1048576'],
    ['an empty number', ['run', '--cpus=', 'x'], 'from 1 to 64'],
    ['too many CPUs', ['run', '--cpus', '65', 'x'], 'from 1 to 64'],
    ['half a CPU', ['run', '--cpus', '0.5', 'x'], 'from 1 to 64'],
    ['a negative disk size', ['run', '--scratch', '-1', 'x'], 'from 64 to 1048576'],
    ['an unknown tier', ['run', '--accept', 'magic', 'x'], 'vm-hardware, vm-pvm, vm-emulated, container'],
    ['a variable without a value', ['run', '--env', 'NAME', 'x'], 'NAME=VALUE'],
    ['a job without a number', ['jobs', 'why', 'mine'], 'Give the number of a job'],
    ['too many jobs at once', ['jobs', 'list', '--limit', '201'], 'from 1 to 200'],
    ['an unknown state', ['jobs', 'list', '--state', 'nearly'], 'queued, processing'],
    ['a weight of 0', ['shares', 'set', 'runs', 'acme', '0'], 'from 0.001 to 1000'],
    ['a label with blanks', ['run', '--label', 'two words', 'x'], 'NAME=VALUE'],
    ['an unknown scope', ['tokens', 'create', 'ci', '--scope', 'all'], 'jobs:read, jobs:write'],
    ['a token without a scope', ['tokens', 'create', 'ci'], "option '--scope <scope>' not specified"],
    ['a name that is a number', ['tokens', 'create', '7', '--scope', 'tokens'], 'must be a letter'],
    ['an unknown queue', ['executors', 'credentials', 'create', 'x', '--queue', 'y'], 'codeintel, batches'],
    [
      'an overlap that is too long',
      ['executors', 'credentials', 'rotate', 'x', '--overlap', '9999'],
      'from 0 to 2160',
    ],
    ['a variable without a name', ['run', '-e', '=value', 'x'], 'NAME=VALUE'],
  ])('such as %s is reported in one line, with a line on what to do', async (_, args, expected) => {
    expect(await exitCodeOf(...args)).not.toBe(0);
    expect(output.stderr).toMatch(/^fumehood: [^\n]+\n {2}[^\n]+\n$/);
    expect(output.stderr).toContain(expected);
    expect(output.stdout).toBe('');
  });

  it.each(['up', 'down', 'status', 'clean', 'doctor', 'demo'])('is any argument of %s', async (name) => {
    expect(await exitCodeOf(name, 'frobnicate')).not.toBe(0);
    expect(output.stderr).toContain('frobnicate');
  });
});

it.each(['~/greeter', 'file:///tmp', 'nowhere'])(
  '`repos add %s` is refused: it names no directory, and no URL',
  async (path) => {
    expect(await exitCodeOf('repos', 'add', path)).not.toBe(0);
    expect(output.stderr).toMatch(/There is no such directory, and as a URL it must be a URL with https:/);
  },
);
