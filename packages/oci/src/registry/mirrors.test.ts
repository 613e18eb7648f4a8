import { describe, expect, it } from 'vitest';
import { mirrorsMissed, registryFor } from './mirrors.ts';
import { registriesSchema } from './registries.ts';

const registries = registriesSchema.parse([
  {
    location: 'registry.test',
    mirrors: [{ location: 'mirror.test' }, { location: 'second.test:5000/cache' }],
  },
  { location: 'registry.test/team' },
  { location: 'docker.io' },
  { location: 'same.test', mirrors: [{ location: 'same.test/cache' }] },
]);

describe('the setting for', () => {
  it.each([
    ['registry.test/tool', 'registry.test'],
    ['registry.test/team/tool', 'registry.test/team'],
    ['registry.test/teams/tool', 'registry.test'],
    ['registry.test:5000/tool', undefined],
    ['debian', 'docker.io'],
    ['acme/tool', 'docker.io'],
    ['localhost/tool', undefined],
  ])('%s is %s', (reference, location) => {
    expect(registryFor(registries, reference)?.location).toBe(location);
  });
});

describe('that the mirrors of a registry were missed', () => {
  const [registry = null, , , same = null] = registries;
  it('is said when the program connected to the registry itself, with the fault of each', () => {
    expect(mirrorsMissed(registry, new Set(['mirror.test:443', 'registry.test:443']))).toBe(
      'the image comes from registry.test itself: its mirror mirror.test does not give it, and second.test:5000/cache cannot be reached',
    );
  });

  it('is not said when a mirror gave the image, without mirrors, or when mirror and registry are the same host', () => {
    expect(mirrorsMissed(registry, new Set(['mirror.test:443']))).toBeNull();
    expect(mirrorsMissed(null, new Set(['registry.test:443']))).toBeNull();
    expect(mirrorsMissed(same, new Set(['same.test:443']))).toBeNull();
  });
});
