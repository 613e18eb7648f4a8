import { expect, it } from 'vitest';
import { signalNumber } from './stop-signal.ts';

it.each([
  ['SIGTERM', 15],
  ['sigquit', 3],
  ['WINCH', 28],
  ['9', 9],
  ['64', 64],
  ['SIGRTMIN', 34],
  ['SIGRTMIN+3', 37],
  ['RTMAX-2', 62],
  ['SIGRTMAX', 64],
])('%s is signal %i', (text, number) => {
  expect(signalNumber(text)).toBe(number);
});

it.each(['0', '65', '-1', '1e1', 'SIG', 'SIGNONE', 'RTMIN-1', 'RTMAX+1', 'RTMIN+31', 'toString', ' 15'])(
  '%j is no signal',
  (text) => {
    expect(signalNumber(text)).toBeNull();
  },
);
