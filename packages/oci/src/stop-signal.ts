import { constants } from 'node:os';

/** The real-time signals of Linux, as C libraries give them to programs. */
const [realTimeMin, realTimeMax] = [34, 64];

/**
 * Returns the number of a signal as Docker reads it from an image: a number, or a name with or without `SIG`, in any case; real-time
 * signals are `RTMIN`, `RTMIN+n`, `RTMAX-n` and `RTMAX`. Null for anything else.
 */
export function signalNumber(text: string): number | null {
  const name = text.toUpperCase().replace(/^SIG/, '');
  const [, end, sign, offset] = /^(RTMIN|RTMAX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? [];
  const number = end
    ? (end === 'RTMIN' ? realTimeMin : realTimeMax) + Number(`${sign ?? '+'}${offset ?? 0}`)
    : /^\d{1,2}$/.test(text)
      ? Number(text)
      : (constants.signals[`SIG${name}` as NodeJS.Signals] ?? 0);
  return number >= (end ? realTimeMin : 1) && number <= realTimeMax ? number : null;
}
