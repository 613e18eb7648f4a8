import { expect, it } from 'vitest';
import { sharing } from './share.ts';

const never = (stop: AbortSignal) =>
  new Promise<number>((_resolve, reject) => {
    stop.addEventListener('abort', () => reject(new Error('stopped')));
  });

it('work that several want is done once, and each gets what comes of it', async () => {
  const share = sharing<number>();
  let done = 0;
  const work = () => Promise.resolve(++done);
  const { signal } = new AbortController();
  expect(await Promise.all([share('a', signal, work), share('a', signal, work)])).toEqual([1, 1]);
  expect(await share('a', signal, work)).toBe(2);
});

it('work of another name is other work', async () => {
  const share = sharing<string>();
  const { signal } = new AbortController();
  const both = ['a', 'b'].map((name) => share(name, signal, () => Promise.resolve(name)));
  expect(await Promise.all(both)).toEqual(['a', 'b']);
});

it('who gives up is let go; the work goes on for the others and is stopped after the last', async () => {
  const share = sharing<number>();
  let stopped = false;
  const work = (stop: AbortSignal) => never(stop).finally(() => (stopped = true));
  const [one, other] = [new AbortController(), new AbortController()];
  const first = share('a', one.signal, work);
  const second = share('a', other.signal, work);
  one.abort(new Error('one'));
  await expect(first).rejects.toThrow('one');
  expect(stopped).toBe(false);
  other.abort(new Error('other'));
  await expect(second).rejects.toThrow('other');
  expect(stopped).toBe(true);
});

it('work that fails, fails for all, and is begun anew by who comes after', async () => {
  const share = sharing<number>();
  const { signal } = new AbortController();
  const fail = () => Promise.reject<number>(new Error('no'));
  const both = await Promise.allSettled([share('a', signal, fail), share('a', signal, fail)]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(await share('a', signal, () => Promise.resolve(1))).toBe(1);
});
