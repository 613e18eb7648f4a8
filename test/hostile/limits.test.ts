import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { changedGuest } from './guest.ts';
import { attackProgram, type AttackedGuest, withGuest } from './vm.ts';
import { long } from '../long.ts';

let directory: string;
let program: ReturnType<typeof attackProgram>;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-limits-'));
  program = attackProgram(directory);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const mebibyte = 2 ** 20;
const deadlineMs = 2_000;

/** Runs a step that keeps many processes busy. Returns how often init answered, its slowest answer and the time until the step's end, ms. */
async function occupyProcessor({ guest, attack }: AttackedGuest) {
  const started = performance.now();
  const step = { ended: false };
  const ended = attack(['/attack', 'cpu', '1000'], { pids: 1100, deadlineMs }).finally(() => {
    step.ended = true;
  });
  let slowest = 0;
  let answers = 0;
  for (; !step.ended; answers++) slowest = Math.max(slowest, await guest.ping());
  const { exit } = await ended;
  expect(exit.reason).toBe('deadline');
  return { answers, slowest, took: performance.now() - started };
}

describe('the limits of a step', () => {
  let outcome: {
    memory: string[];
    children: (string | undefined)[];
    processor: { answers: number; slowest: number; took: number };
  };
  beforeAll(async () => {
    outcome = await withGuest([program], async (attacked) => {
      const memory = async (memoryBytes: number) =>
        (await attacked.attack(['/attack', 'memory', '40'], { memoryBytes })).exit.reason;
      const children = async (pids: number) => {
        const { results } = await attacked.attack(['/attack', 'pids'], { pids });
        return `${results.get('children')} ${results.get('one more')}`;
      };
      return {
        memory: [await memory(20 * mebibyte), await memory(100 * mebibyte)],
        children: [await children(30), await children(60)],
        processor: await occupyProcessor(attacked),
      };
    });
  });

  test('of memory ends a step that uses more, and no other one', () => {
    expect(outcome.memory).toEqual(['memory', 'exit']);
  });

  test('of processes stops it from making more, and is no smaller than asked for', () => {
    expect(outcome.children).toEqual(['29 EAGAIN', '59 EAGAIN']);
  });

  test('leave init its share of the processor: it answers, and ends the step at its deadline', () => {
    expect(outcome.processor.slowest).toBeLessThan(500);
    expect(outcome.processor.took).toBeLessThan(deadlineMs + 1_500);
  });

  test.runIf(long)(
    'without them, init answers less often where every process of a step weighs as much as init',
    async () => {
      const recipe = changedGuest(directory, [['boot.c', '"+cpu +memory', '"+memory']]);
      const { answers } = await withGuest([program], occupyProcessor, recipe);
      expect(answers * 3).toBeLessThan(outcome.processor.answers);
    },
  );
});
