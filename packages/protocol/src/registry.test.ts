import { describe, expect, it } from 'vitest';
import { authKeyOf, registryHostSchema, registryOf, registryOfAuthKey } from './registry.ts';

describe('the registry of', () => {
  it.each([
    ['debian', 'docker.io'],
    ['debian:12', 'docker.io'],
    ['library/debian', 'docker.io'],
    ['docker.io/library/debian:12', 'docker.io'],
    ['index.docker.io/library/debian', 'docker.io'],
    ['ghcr.io/acme/tool:1', 'ghcr.io'],
    ['localhost/tool', 'localhost'],
    ['registry:5000/tool', 'registry:5000'],
    [`registry.example.com/tool@sha256:${'0'.repeat(64)}`, 'registry.example.com'],
  ])('%s is %s', (reference, host) => {
    expect(registryOf(reference)).toBe(host);
  });
});

describe('the host of a registry', () => {
  it.each([
    ['Registry.Example.com:5000', 'registry.example.com:5000'],
    ['index.docker.io', 'docker.io'],
    ['localhost', 'localhost'],
  ])('%s is %s', (text, host) => {
    expect(registryHostSchema.parse(text)).toBe(host);
  });

  it.each(['', 'library', 'https://ghcr.io', 'ghcr.io/acme', 'ghcr.io:', '-a.io', 'a b.io', 'x.io:123456'])(
    'is not %j',
    (text) => {
      expect(registryHostSchema.safeParse(text).success).toBe(false);
    },
  );
});

it('an entry of `auths` is for the registry under whose name it is stored', () => {
  for (const host of ['docker.io', 'ghcr.io', 'localhost:5000'])
    expect(registryOfAuthKey(authKeyOf(host))).toBe(host);
  expect(registryOfAuthKey('https://registry.example.com/v2/')).toBe('registry.example.com');
});
