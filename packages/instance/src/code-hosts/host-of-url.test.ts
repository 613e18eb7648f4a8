import { setCodeHostSchema } from '@fumehood/protocol';
import { describe, expect, test } from 'vitest';
import { apiOf } from './github/client.ts';
import { hostOfUrl } from './host-of-url.ts';

const hosts = ['https://github.com', 'https://forge.test/git', 'https://forge.test/git/inner'].map((url) => ({
  url,
}));

describe('a repository', () => {
  test.each([
    ['https://github.com/a/b', 'https://github.com', ['a', 'b']],
    ['https://github.com/a/b.git', 'https://github.com', ['a', 'b']],
    ['https://github.com/a/b/', 'https://github.com', ['a', 'b']],
    ['https://GitHub.com:443/a/b', 'https://github.com', ['a', 'b']],
    ['https://forge.test/git/a/b/c', 'https://forge.test/git', ['a', 'b', 'c']],
    ['https://forge.test/git/inner/a/b', 'https://forge.test/git/inner', ['a', 'b']],
  ])('at %s is on %s', (url, host, path) => {
    expect(hostOfUrl(hosts, url)).toEqual({ host: { url: host }, path });
  });

  test.each([
    'http://github.com/a/b',
    'https://github.com.evil.test/a/b',
    'https://github.com:8443/a/b',
    'https://forge.test/gitea/a/b',
    'https://forge.test/a/b',
    'https://forge.test/git/../other/a/b',
  ])('at %s is on none', (url) => {
    expect(hostOfUrl(hosts, url)).toBeNull();
  });
});

test('the URL of a code host is stored in one spelling', () => {
  const set = { kind: 'gitea', url: 'https://Forge.test:443/git//', token: 't' } as const;
  expect(setCodeHostSchema.parse(set).url).toBe('https://forge.test/git');
});

test.each([
  ['https://github.com', 'https://api.github.com', ''],
  ['https://acme.ghe.com', 'https://api.acme.ghe.com', ''],
  ['https://github.acme.test', 'https://github.acme.test/api', '/v3'],
])('the API of GitHub at %s is at %s', (url, api, rest) => {
  expect(apiOf(url)).toEqual({ url: api, rest });
});
