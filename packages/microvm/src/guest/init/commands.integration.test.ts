import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { systemClock } from '@fumehood/base';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { encodeMessage, type Message, messageReader } from '../../channel/frame.ts';
import { connectGuest } from '../../channel/guest.ts';
import type { GuestStep } from '../../channel/step.ts';
import { vmSockets } from '../../testing/sockets.ts';
import { compiled } from './testing/compile.ts';

const serve = compiled('serve', ['control.c', 'frame.c', 'commands.c']);
let running: ChildProcess[] = [];

afterEach(() => {
  for (const guest of running) guest.kill('SIGKILL');
  running = [];
});

/** Starts the driver `serve` with its control port; `steps` collects the steps that it has parsed. */
function startGuest() {
  const guest = spawn(serve.path, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  running.push(guest);
  const steps: string[][] = [];
  const read = messageReader();
  guest.stdout?.on('data', (chunk: Buffer) => {
    for (const { fields } of read(chunk)) steps.push(fields.map(String));
  });
  const port = guest.stdio[3] as Socket;
  const exit = new Promise<number | null>((resolve) => guest.once('close', resolve));
  return { port, steps, fault: text(guest.stderr as Socket), exit };
}

type Field = string | number | Uint8Array;
const knock: Field[] = ['0'.repeat(32), 1, Buffer.alloc(64)];

/** Sends the messages and returns all answers of init. */
async function answersTo(...messages: [verb: string, ...fields: Field[]][]): Promise<Message[]> {
  const { port, fault, exit } = startGuest();
  const read = messageReader();
  const answers: Message[] = [];
  port.on('data', (chunk: Buffer) => answers.push(...read(chunk)));
  port.end(Buffer.concat(messages.map(([verb, ...fields]) => encodeMessage(verb, fields))));
  expect(await exit).toBe(0);
  expect(await fault).toBe('control port: the host has closed it');
  expect(answers.shift()?.verb).toBe('ready');
  return answers;
}
const verbs = (answers: Message[]) => answers.map(({ verb }) => verb);
/** Returns init's answer to a step with these fields, sent after a knock and the acceptance. */
async function answerToStep(...fields: Field[]): Promise<string> {
  const answers = await answersTo(['knock', ...knock], ['accept'], ['step', ...fields], ['ping', 7]);
  expect(answers[0]?.verb).toBe('knocked');
  expect(verbs(answers.slice(-1))).toEqual(['pong']); // init still serves, whatever the step was
  const [answer] = answers.slice(1);
  return [answer?.verb, ...(answer?.fields ?? [])].join(' ');
}

describe('a step', () => {
  const word = fc.string({ unit: 'binary', maxLength: 30 }).map((words) => words.replaceAll('\0', '?'));
  const number = fc.nat({ max: 2 ** 50 });
  const step: fc.Arbitrary<Omit<GuestStep, 'id'>> = fc.record({
    root: word,
    argv: fc.array(word, { minLength: 1, maxLength: 20 }),
    env: fc.array(word, { maxLength: 20 }),
    user: word,
    cwd: word,
    hostname: word,
    binds: fc.array(fc.record({ source: word, target: word, mode: fc.constantFrom('ro', 'rw') }), {
      maxLength: 5,
    }),
    volumes: fc.array(word, { maxLength: 5 }),
    memoryBytes: number,
    pids: number,
    deadlineMs: number,
    stopSignal: fc.integer({ min: 1, max: 64 }),
    graceMs: number,
    terminal: fc.option(
      fc.record({ rows: fc.integer({ min: 1, max: 1000 }), columns: fc.integer({ min: 1, max: 1000 }) }),
      { nil: undefined },
    ),
  });

  it('arrives in init as the host sent it, whatever its texts', async () => {
    const { port, steps } = startGuest();
    const { host, vm } = await vmSockets();
    const guest = connectGuest({ ...host, control: port }, systemClock);
    try {
      await guest.ready(20_000);
      // The driver does not set the clock: it answers with this machine's clock, which is right.
      await guest.knock();
      let number = 0;
      await fc.assert(
        fc.asyncProperty(step, async (facts) => {
          const id = `step-${(number += 1)}`;
          const streams = { stdin: null, stdout: () => {}, stderr: () => {} };
          expect(await guest.step({ id, ...facts }, streams)).toMatchObject({ reason: 'exit', code: 0 });
          await vi.waitUntil(() => steps.length === number);
          const { root, user, cwd, hostname, argv, env, binds, volumes } = facts;
          const { memoryBytes, pids, deadlineMs, stopSignal, graceMs, terminal } = facts;
          const size = [terminal?.rows ?? 0, terminal?.columns ?? 0];
          const counts = [argv.length, env.length, binds.length, volumes.length];
          expect(steps.at(-1)).toEqual([
            ...[id, root, user, cwd, hostname],
            ...[memoryBytes, pids, deadlineMs, stopSignal, graceMs, ...size, ...counts].map(String),
            ...[...argv, ...env],
            ...binds.flatMap(({ source, target, mode }) => [source, target, mode]),
            ...volumes,
          ]);
        }),
        { numRuns: 200 },
      );
    } finally {
      guest.close();
      for (const socket of Object.values(vm)) (socket as Socket).destroy();
    }
  });

  const whole = ['id', 'root', '/', 'arg', 'sh'];
  const times = (count: number, ...pair: Field[]) => Array.from({ length: count }, () => pair).flat();

  it.each<[string, Field[]]>([
    ['only a root and a command', whole],
    ['the longest id', ['i'.repeat(63), ...whole.slice(1)]],
    ['an empty argument', [...whole, 'arg', '']],
    [
      'the most arguments and variables',
      [...whole.slice(0, 3), ...times(4_096, 'arg', 'a'), ...times(4_096, 'env', 'a')],
    ],
    ['the longest argument', [...whole, 'arg', 'a'.repeat(131_071)]],
    ['the largest number of binds', [...whole, ...times(512, 'bind', 'a\0b\0ro')]],
  ])('with %s is started', async (_what, fields) => {
    expect(await answerToStep(...fields)).toBe(`started ${String(fields[0])}`);
  });

  it.each<[string, Field[]]>([
    ['nothing', []],
    ['an id alone', ['id']],
    ['no root', ['id', 'arg', 'sh']],
    ['no command', ['id', 'root', '/']],
    ['an id that is too long', ['i'.repeat(64), ...whole.slice(1)]],
    ['a NUL in its id', ['i\0d', ...whole.slice(1)]],
    ['a NUL in an argument', [...whole, 'arg', 'a\0b']],
    ['a key without a value', [...whole, 'env']],
    ['an unknown key', [...whole, 'privileged', '1']],
    ['an empty key', [...whole, '', '1']],
    ['a number with a sign', [...whole, 'memory', '-1']],
    ['an empty number', [...whole, 'pids', '']],
    ['a number in scientific notation', [...whole, 'deadline', '1e3']],
    ['a number that does not fit', [...whole, 'memory', '9'.repeat(19)]],
    ['a bind without a target', [...whole, 'bind', 'a']],
    ['a bind without a mode', [...whole, 'bind', 'a\0b']],
    ['a bind with an unknown mode', [...whole, 'bind', 'a\0b\0rwx']],
    ['a bind with too many parts', [...whole, 'bind', 'a\0b\0ro\0c']],
    ['too many volumes', [...whole, ...times(257, 'volume', '/a')]],
    ['a stop signal that does not exist', [...whole, 'stop-signal', '65']],
    ['no stop signal', [...whole, 'stop-signal', '0']],
    ['a terminal without columns', [...whole, 'rows', 24]],
    ['a terminal without rows', [...whole, 'columns', 80]],
    ['a terminal of no rows', [...whole, 'rows', 0, 'columns', 80]],
    ['a terminal of 1,001 columns', [...whole, 'rows', 24, 'columns', 1001]],
    ['an empty bind', [...whole, 'bind', '']],
    ['too many arguments', [...whole, ...times(4_096, 'arg', 'a')]],
    ['too many binds', [...whole, ...times(513, 'bind', 'a\0b\0ro')]],
  ])('with %s is refused', async (_what, fields) => {
    expect(await answerToStep(...fields)).toMatch(/^failed step 22 /);
  });

  it('with arbitrary keys and values is started or refused, and init keeps serving', async () => {
    const key = fc.constantFrom<Field>(
      'root',
      'arg',
      'env',
      'user',
      'cwd',
      'memory',
      'pids',
      'bind',
      'x',
      '',
    );
    const value = fc.oneof(
      fc.constantFrom<Field>('', '/', 'a\0b\0ro', 'a\0b\0', '\0\0rw', '\0', '9'.repeat(18), '00'),
      fc.uint8Array({ maxLength: 50 }),
    );
    const pairs = fc.array(fc.oneof({ weight: 9, arbitrary: fc.tuple(key, value) }, fc.tuple(key)), {
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(pairs, async (fields) => {
        expect(await answerToStep('id', ...fields.flat())).toMatch(/^started id$|^failed step 22 /);
      }),
      { numRuns: 100 },
    );
  });
});

describe('a request to stop a step', () => {
  it('names the step', async () => {
    const answers = await answersTo(['stop', 'id'], ['ping', 1]);
    expect(verbs(answers)).toEqual(['stopped', 'pong']);
    expect(answers[0]?.fields.map(String)).toEqual(['id']);
  });

  it.each<[string, Field[]]>([
    ['no id', []],
    ['an id that is too long', ['i'.repeat(64)]],
    ['a field too many', ['id', 15]],
  ])('with %s is refused', async (_what, fields) => {
    expect(verbs(await answersTo(['stop', ...fields]))).toEqual(['failed']);
  });
});

describe('a new size of a terminal', () => {
  it.each<[number, number]>([
    [1, 1],
    [1000, 1000],
  ])('%s x %s is set', async (rows, columns) => {
    const [answer] = await answersTo(['resize', 'id', rows, columns]);
    expect([answer?.verb, ...(answer?.fields ?? [])].map(String)).toEqual([
      'resized',
      'id',
      `${rows}x${columns}`,
    ]);
  });

  it.each<[string, Field[]]>([
    ['no columns', ['id', 24]],
    ['no rows', ['id', 0, 80]],
    ['1,001 rows', ['id', 1001, 80]],
    ['a negative number', ['id', 24, '-80']],
    ['more columns than 64 bits hold', ['id', 24, '9'.repeat(30)]],
    ['an id that is too long', ['i'.repeat(64), 24, 80]],
  ])('with %s is refused', async (_what, fields) => {
    expect(verbs(await answersTo(['resize', ...fields]))).toEqual(['failed']);
  });
});

describe('the order of commands', () => {
  const step: [string, ...string[]] = ['step', 'id', 'root', '/', 'arg', 'sh'];

  it('refuses a step before the acceptance', async () => {
    expect(verbs(await answersTo(['knock', ...knock], step))).toEqual(['knocked', 'failed']);
    expect(verbs(await answersTo(step))).toEqual(['failed']);
  });

  it('refuses an acceptance without a knock', async () => {
    expect(verbs(await answersTo(['accept'], step))).toEqual(['failed', 'failed']);
  });

  it.each<[string, Field[]]>([
    ['a short nonce', ['0', 1, Buffer.alloc(64)]],
    ['a short seed', ['0'.repeat(32), 1, Buffer.alloc(63)]],
    ['no time', ['0'.repeat(32), 'now', Buffer.alloc(64)]],
    ['a field too many', [...knock, '']],
  ])('a knock with %s is refused, and nothing follows it', async (_what, fields) => {
    const answers = await answersTo(['knock', ...fields], ['accept'], step);
    expect(verbs(answers)).toEqual(['failed', 'failed', 'failed']);
  });

  it('refuses everything except a ping after a failed command', async () => {
    const answers = await answersTo(
      ['knock', ...knock],
      ['accept'],
      ['no-such-verb', 'x'],
      step,
      ['mkdir', '/nonexistent/made', '755', '0', '0'],
      ['ping', 5],
      ['knock', ...knock],
    );
    expect(verbs(answers)).toEqual(['knocked', 'failed', 'failed', 'failed', 'pong', 'failed']);
    expect(answers[1]?.fields.map(String)).toEqual(['no-such-verb', '38', 'unknown verb']);
    expect(answers[2]?.fields.map(String)).toEqual(['step', '125', 'an earlier command failed']);
  });
});
