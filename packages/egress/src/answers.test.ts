import { expect, test } from 'vitest';
import { Answers } from './answers.ts';

const at = (ms: number) => {
  const clock = { time: ms, bootTime: () => clock.time };
  return clock;
};
const ok = (address: string, ttlSeconds: number) => ({
  code: 'ok' as const,
  addresses: [address],
  ttlSeconds,
});

test('an answer is kept for its time to live, and says what is left of it', () => {
  const clock = at(0);
  const answers = new Answers(clock);
  answers.keep('a.test', ok('9.9.9.9', 60));
  clock.time = 20_500;
  expect(answers.find('a.test')).toEqual(ok('9.9.9.9', 39));
  expect(answers.find('b.test')).toBeNull();
  clock.time = 60_000;
  expect(answers.find('a.test')).toBeNull();
});

test('an answer without a time to live is asked for again, and takes the place of an earlier one', () => {
  const answers = new Answers(at(0));
  answers.keep('a.test', ok('9.9.9.9', 60));
  answers.keep('a.test', ok('9.9.9.8', 0));
  expect(answers.find('a.test')).toBeNull();
});

test('the oldest of too many names is forgotten', () => {
  const answers = new Answers(at(0));
  for (let n = 0; n <= 1_000; n += 1) answers.keep(`${n}.test`, ok('9.9.9.9', 60));
  expect([answers.find('0.test'), answers.find('1.test')?.code]).toEqual([null, 'ok']);
});
