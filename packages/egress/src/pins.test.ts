import { expect, it } from 'vitest';
import { Pins } from './pins.ts';

it('an answer lasts for its time to live, at least 30 s and at most an hour', () => {
  let now = 0;
  const pins = new Pins({ bootTime: () => now });
  pins.pin('short.test', ['1.1.1.1'], 0);
  pins.pin('long.test', ['1.1.1.1'], 1e9);
  expect(pins.namesOf('1.1.1.1')).toEqual(['short.test', 'long.test']);
  expect(pins.namesOf('1.1.1.2')).toEqual([]);
  now = 29_999;
  expect(pins.namesOf('1.1.1.1')).toEqual(['short.test', 'long.test']);
  now = 30_000;
  expect(pins.namesOf('1.1.1.1')).toEqual(['long.test']);
  now = 3_600_000;
  expect(pins.namesOf('1.1.1.1')).toEqual([]);
});

it('a guest is told a bounded number of addresses, of which old ones make room', () => {
  let now = 0;
  const pins = new Pins({ bootTime: () => now });
  for (let at = 0; at < 10; at++) {
    const addresses = Array.from({ length: 1_000 }, (_, index) => `1.${at}.${index >> 8}.${index & 255}`);
    expect(pins.pin('many.test', addresses, 60)).toBe(true);
  }
  expect(pins.pin('more.test', ['2.2.2.2'], 60)).toBe(false);
  now = 60_000;
  expect(pins.pin('more.test', ['2.2.2.2'], 60)).toBe(true);
  expect(pins.namesOf('2.2.2.2')).toEqual(['more.test']);
});
