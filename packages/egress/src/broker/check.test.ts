import { brokerGrantSchema } from '@fumehood/protocol';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { whyRefused } from './check.ts';
import { type Target, targetsOf } from './targets.ts';

/** The server of an entry. */
function targetOf(entry: object): Target {
  const grant = brokerGrantSchema.parse({
    ...{ name: 'one', kind: 'http', url: 'https://server.test/base/', credential: null },
    ...entry,
  });
  return targetsOf([grant]).get('one.broker.internal') as Target;
}
const isTaken = (entry: object, method: string, path: string) =>
  whyRefused(targetOf(entry), method, path) === null;

it.each([
  ['a path outside of the prefix', '/other/a'],
  ['the prefix without its end', '/base'],
  ['a longer name than that of the prefix', '/base2/a'],
  ['a way up', '/base/../other'],
  ['an encoded way up', '/base/%2e%2e/other'],
  ['a half encoded way up', '/base/.%2E/other'],
  ['a way up that is encoded twice', '/base/%252e%252e/other'],
  ['a way up with a parameter', '/base/..;a=b/other'],
  ['an encoded slash', '/base/..%2fother'],
  ['an encoded slash in a name', '/base/a%2Fb'],
  ['a backslash', '/base/..\\other'],
  ['an encoded backslash', '/base/..%5cother'],
  ['an empty part', '/base//other'],
  ['a NUL', '/base/a%00b'],
  ['a line break', '/base/a%0d%0aX: y'],
  ['bytes that are no UTF-8', '/base/%c0%ae%c0%ae/other'],
  ['a fragment', '/base/a#b'],
  ['a line break', '/base/a\r\nb'],
  ['a space', '/base/a b'],
  ['a letter that is none of ASCII', '/base/ä'],
  ['a path that is too long', `/base/${'a'.repeat(4_096)}`],
])('%s is refused', (_what, path) => {
  expect(isTaken({}, 'GET', path)).toBe(false);
});

it('no path that is taken leads out of the prefix, however often a server decodes it', () => {
  const part = fc.constantFrom(
    '.',
    '..',
    '%2e',
    '%2E',
    '%2f',
    '%5c',
    '%25',
    '%252e',
    ';',
    '\\',
    '/',
    '//',
    'a',
    'base',
    '@',
    '%00',
  );
  const target = targetOf({ kind: 'npm' });
  let taken = 0;
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const path = `/base/${parts.join('')}`;
      if (whyRefused(target, 'GET', path) !== null) return;
      taken += 1;
      let decoded = path;
      for (let times = 0; times < 3; times += 1) {
        expect(new URL(decoded, 'https://server.test').pathname).toMatch(/^\/base\//);
        decoded = decodeURIComponent(decoded).replaceAll('\\', '/');
      }
    }),
  );
  expect(taken).toBeGreaterThan(5);
});

it('an entry takes its own methods alone', () => {
  expect(
    ['GET', 'HEAD', 'POST', 'TRACE', 'OPTIONS', 'QUERY'].filter((method) => isTaken({}, method, '/base/a')),
  ).toEqual(['GET', 'HEAD']);
  expect(isTaken({ methods: ['POST'] }, 'GET', '/base/a')).toBe(false);
  expect(isTaken({ methods: ['POST'] }, 'POST', '/base/a')).toBe(true);
});

it('npm reads packages, with scopes as its client writes them, and publishes nothing', () => {
  const takes = (method: string, path: string) => isTaken({ kind: 'npm' }, method, path);
  for (const path of ['/base/left-pad', '/base/@a%2fb', '/base/@a/b/-/b-1.0.0.tgz', '/base/@a%2Fb.c'])
    expect(takes('GET', path)).toBe(true);
  for (const path of [
    '/base/@a%2f..',
    '/base/@..%2fb',
    '/base/a%2fb',
    '/base/@a%2fb%2fc',
    '/base/@a%2f%2e%2e',
  ])
    expect(takes('GET', path)).toBe(false);
  for (const method of ['PUT', 'POST', 'DELETE']) expect(takes(method, '/base/left-pad')).toBe(false);
});

it('PyPI has the files beside its index', () => {
  const entry = { kind: 'pypi', url: 'https://server.test/root/simple/' };
  for (const path of ['/root/simple/a/', '/root/packages/a.whl'])
    expect(isTaken(entry, 'GET', path)).toBe(true);
  for (const path of ['/simple/a/', '/root', '/rootless/']) expect(isTaken(entry, 'GET', path)).toBe(false);
  expect(isTaken(entry, 'POST', '/root/')).toBe(false);
});

it('git fetches, and sends nothing', () => {
  const takes = (method: string, path: string) => isTaken({ kind: 'git' }, method, `/base/a.git/${path}`);
  expect(takes('GET', 'info/refs?service=git-upload-pack')).toBe(true);
  expect(takes('POST', 'git-upload-pack')).toBe(true);
  for (const path of [
    ...['info/refs?service=git-receive-pack', 'info/refs', 'HEAD', 'git-upload-pack', 'objects/info/packs'],
    'info/refs?service=git-upload-pack&service=git-receive-pack',
  ])
    expect(takes('GET', path)).toBe(false);
  for (const path of ['git-receive-pack', 'git-upload-pack?a', 'info/refs?service=git-upload-pack'])
    expect(takes('POST', path)).toBe(false);
});
