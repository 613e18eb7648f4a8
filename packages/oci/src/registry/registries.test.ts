import { describe, expect, it } from 'vitest';
import { loopbackPorts, namedHosts, registriesConf, registriesSchema } from './registries.ts';

const registries = registriesSchema.parse([
  { location: 'registry.test', mirrors: [{ location: '127.0.0.1:5000/cache', insecure: true }] },
  { location: 'Localhost:5001', insecure: true },
]);

describe('the configuration of registries', () => {
  it("is converted to skopeo's configuration", () => {
    expect(registriesConf(registries)).toBe(
      [
        '[[registry]]\nlocation = "registry.test"\ninsecure = false',
        '[[registry.mirror]]\nlocation = "127.0.0.1:5000/cache"\ninsecure = true',
        '[[registry]]\nlocation = "Localhost:5001"\ninsecure = true\n',
      ].join('\n'),
    );
  });

  it('names hosts and ports', () => {
    const places = ['registry.test:443', 'registry.test:80', '127.0.0.1:5000', 'localhost:5001'];
    expect([...namedHosts(registries)]).toEqual(places);
    expect(loopbackPorts(places)).toEqual([5000, 5001]);
  });

  it.each(['', 'a"\nb', 'http://a', 'a b', 'a/', '-a'])('refuses the location %j', (location) => {
    expect(registriesSchema.safeParse([{ location }]).success).toBe(false);
  });
});
