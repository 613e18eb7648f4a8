import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fetchProgress } from './fetch-progress.ts';

let lines: string[];
let take: (text: string, key?: string) => void;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
  lines = [];
  const progress = fetchProgress((line) => void lines.push(line));
  take = (text, key = 'setup.image') => progress({ key }, Buffer.from(text));
});
afterEach(() => void vi.useRealTimers());

const line = (megabytes: string) => `fetching debian:12: ${megabytes} of 40.1 MB`;

describe('how far the fetch of an image is', () => {
  it('is reported from lines that come in parts, at most every 5 s', () => {
    take(line('1.0').slice(0, 20));
    expect(lines).toEqual([]);
    take(`${line('1.0').slice(20)}\n${line('2.0')}\n`);
    take(`${line('3.0')}\n`);
    vi.advanceTimersByTime(5_000);
    take(`${line('4.0')}\n`);
    expect(lines).toEqual([line('2.0'), line('4.0')]);
  });

  it('is reported from no other line and no other phase', () => {
    take('debian:12 is sha256:00\nfetching debian:12\n');
    take(`${line('1.0')}\n`, 'step.docker.0');
    expect(lines).toEqual([]);
  });
});
