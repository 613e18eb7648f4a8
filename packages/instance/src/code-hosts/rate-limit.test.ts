import { expect, test } from 'vitest';
import { limitedUntil } from './rate-limit.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const seconds = now / 1_000;
const of = (status: number, headers: Record<string, string> = {}, said = '') =>
  limitedUntil({ status, header: (name) => headers[name] ?? null, said: () => said }, now);

test.each([
  ['429 with seconds', 429, { 'retry-after': '30' }, 30],
  ['429 with a date', 429, { 'retry-after': 'Thu, 01 Jan 2026 00:02:00 GMT' }, 120],
  ['403 with seconds, as GitHub answers', 403, { 'retry-after': '45' }, 45],
  ['503 with seconds', 503, { 'retry-after': '10' }, 10],
  ['429 that says no more', 429, {}, 60],
  ['429 whose header says nothing', 429, { 'retry-after': 'soon' }, 60],
  ['429 that asks for a pause of a day', 429, { 'retry-after': '86400' }, 3_600],
  ['429 that asks for no pause', 429, { 'retry-after': '0' }, 1],
  [
    'the last request of GitHub',
    200,
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${seconds + 90}` },
    90,
  ],
  [
    '403 after the last of GitHub',
    403,
    { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': `${seconds + 90}` },
    90,
  ],
  [
    'the last request of GitLab',
    200,
    { 'ratelimit-remaining': '0', 'ratelimit-reset': `${seconds + 20}` },
    20,
  ],
])('%s asks for a pause', (_what, status, headers, pause) => {
  expect(of(status, headers)).toBe(now + pause * 1_000);
});

test('403 that speaks of a limit alone asks for a pause', () => {
  expect(of(403, {}, '403, You have exceeded a secondary rate limit.')).toBe(now + 60_000);
});

test.each([
  ['a success', 200, {}],
  [
    'a success with requests left',
    200,
    { 'x-ratelimit-remaining': '1', 'x-ratelimit-reset': `${seconds + 90}` },
  ],
  ['a success with a date', 200, { 'retry-after': '30' }],
  ['403 of a token', 403, {}],
  ['503 without a date', 503, {}],
])('%s asks for none', (_what, status, headers) => {
  expect(of(status, headers)).toBeNull();
});
