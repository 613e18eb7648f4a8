import { expect, test } from 'vitest';
import {
  argumentBytesMax,
  argumentsMax,
  commandBytesMax,
  commandFault,
  scriptBytesMax,
} from './command-limits.ts';
import { createJobSchema } from './kinds.ts';

const many = (count: number) => Array.from({ length: count }, () => 'a');
/** Texts that take this many bytes together, each with its 9. */
const filling = (bytes: number) => {
  const whole = Math.floor(bytes / 100_000);
  return [...many(whole).map(() => 'a'.repeat(99_991)), 'a'.repeat((bytes % 100_000) - 9)];
};

test.each<[string, string[], string[]]>([
  ['an argument of 100,000 bytes', ['a'.repeat(100_000)], []],
  ['the longest argument', ['a'.repeat(argumentBytesMax)], []],
  ['3,000 arguments', many(3_000), []],
  ['the most arguments and variables', many(argumentsMax), many(argumentsMax)],
  ['a variable of 70,000 bytes', [], [`A=${'a'.repeat(69_998)}`]],
  ['the most bytes', filling(commandBytesMax), []],
])('a command with %s can be executed', (_what, argv, env) => {
  expect(commandFault(argv, env)).toBeNull();
});

const refused: [what: string, argv: string[], env: string[], fault: string][] = [
  ['an argument that is too long', ['', 'a'.repeat(131_072)], [], 'argument 2 has 131072 bytes'],
  ['an argument that is too long in UTF-8', ['é'.repeat(70_000)], [], 'argument 1 has 140000 bytes'],
  ['a variable that is too long', [], [`A=${'a'.repeat(131_070)}`], 'variable 1 has 131072 bytes'],
  ['too many arguments', many(4097), [], 'there are 4097 arguments'],
  ['too many bytes', filling(commandBytesMax - 9), ['A=b'], 'take 2031619 bytes together'],
  ['a NUL', ['a\0b'], [], 'argument 1 holds a NUL'],
];

test.each(refused)('a command with %s cannot, and the fault says which', (_what, argv, env, fault) => {
  expect(commandFault(argv, env)).toContain(fault);
});

test.each(refused)('a job whose command has %s is not made', (_what, argv, env, fault) => {
  const image = `sha256:${'0'.repeat(64)}`;
  const { error } = createJobSchema.safeParse({ queue: 'runs', image, argv, env });
  expect(JSON.stringify(error?.issues)).toContain(fault);
});

test('a job for an indexer with too many bytes is not made', () => {
  const indexer = { name: 'x', image: `sha256:${'0'.repeat(64)}`, argv: ['a'.repeat(131_072)] };
  const job = { queue: 'codeintel', repository: 'acme', commit: '0'.repeat(40) };
  const { error } = createJobSchema.safeParse({ ...job, indexer });
  expect(error?.issues[0]?.message).toContain('argument 1 has 131072 bytes');
  expect(createJobSchema.safeParse({ ...job, indexer: { ...indexer, argv: ['a'] } }).success).toBe(true);
});

test('a job whose commands make too long a script is not made, and the fault says how long it is', () => {
  const job = { queue: 'codeintel', repository: 'acme', commit: '0'.repeat(40), accept: ['container'] };
  const made = (commands: string[]) =>
    createJobSchema.safeParse({ ...job, indexer: { name: 'x', image: 'x:1', commands } });
  const own = '#!/bin/sh\n\n'.length;
  expect(made(['a'.repeat(scriptBytesMax - own)]).success).toBe(true);
  expect(made(['é'.repeat(scriptBytesMax / 2 - 5)]).success).toBe(false);
  const { error } = made(['a'.repeat(scriptBytesMax - own), '']);
  expect(error?.issues[0]?.message).toContain(`has ${scriptBytesMax + 1} bytes`);
});
