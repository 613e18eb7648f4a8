import { describe, expect, it } from 'vitest';
import { acceptedVersion, compareVersions } from './versions.ts';

const why = (text: string, pci = false): string => {
  try {
    acceptedVersion(text, { pci });
    return '';
  } catch (error) {
    expect(error).toMatchObject({
      code: 'vmm_refused',
      remedy: expect.stringContaining('`fumehood executor install firecracker`'),
    });
    return (error as Error).message;
  }
};

describe('a version of Firecracker', () => {
  it.each(['1.14.0', '1.14.3', '1.15.0', '1.16.2', '1.17.0', '1.17.0-dev', '1.18.0'])(
    '%s runs VMs without a PCI bus',
    (version) => {
      expect(acceptedVersion(version, { pci: false })).toBe(version);
      expect(acceptedVersion(`v${version}`, { pci: false })).toBe(version);
    },
  );

  it.each(['1.14.4', '1.14.9', '1.15.1', '1.16.0-dev', '1.17.0'])('%s runs VMs with a PCI bus', (version) => {
    expect(acceptedVersion(version, { pci: true })).toBe(version);
  });

  it.each(['1.14.0', '1.14.3', '1.14.4-dev', '1.15.0', '1.15.0-dev', '1.15.1-rc.1'])(
    '%s with a PCI bus is refused by the name of its hole',
    (version) => {
      expect(why(version, true)).toContain(`Firecracker ${version} has a known hole, CVE-2026-5747`);
    },
  );

  it.each(['1.13.9', '1.14.0-dev', '1.9.1', '1.0.0'])('%s is refused as too old', (version) => {
    expect(why(version)).toContain(`Firecracker ${version} is older than 1.14.0`);
  });

  it.each(['0.25.2', '2.0.0'])('%s is refused for its API', (version) => {
    expect(why(version)).toContain('has another API than 1.x');
  });

  it.each([
    '',
    '1.17',
    '1.17.0 (patched)',
    '1.17.0\n',
    ' 1.17.0',
    '1.17.0.1',
    '1.17.x',
    `1.17.0-${'a'.repeat(40)}`,
  ])('that is no version is refused: %j', (text) => {
    expect(why(text)).toContain(`says that its version is ${JSON.stringify(text.slice(0, 40))}`);
  });

  it('that differs in a patch release or in a suffix has templates of its own', () => {
    const forms = ['1.16.1', '1.16.2', '1.17.0', '1.17.0-dev'].map((text) =>
      acceptedVersion(text, { pci: false }),
    );
    expect(new Set(forms).size).toBe(4);
  });

  it('is newer than one with smaller numbers, and than a build that leads to it', () => {
    const versions = ['1.17.0', '1.9.1', '1.16.10', '1.17.0-dev', '1.16.2'];
    expect(versions.toSorted(compareVersions)).toEqual([
      ...['1.9.1', '1.16.2', '1.16.10', '1.17.0-dev', '1.17.0'],
    ]);
  });
});
