import { expect, it } from 'vitest';
import { chooseRelease, knownReleases, releaseMember, releaseUrl } from './releases.ts';

const hex = (digit: string) => digit.repeat(64);
const known = [
  { version: '1.17.0', sha256: { x86_64: hex('a'), aarch64: hex('b') } },
  { version: '1.16.2', sha256: { x86_64: hex('c'), aarch64: hex('d') } },
];
const choose = (version?: string, sha256?: string) => chooseRelease({ version, sha256 }, 'x86_64', known);

it('the first known release is chosen by default, and each known one by its version', () => {
  expect(choose()).toEqual({ version: '1.17.0', architecture: 'x86_64', sha256: hex('a') });
  expect(choose('1.16.2')).toMatchObject({ version: '1.16.2', sha256: hex('c') });
  expect(chooseRelease({ version: undefined, sha256: undefined }, 'aarch64', known).sha256).toBe(hex('b'));
  expect(choose('1.16.2', hex('c')).sha256).toBe(hex('c'));
});

it('a version that is not known needs a checksum', () => {
  expect(choose('1.16.1', hex('e'))).toMatchObject({ version: '1.16.1', sha256: hex('e') });
  expect(() => choose('1.16.1')).toThrow(
    expect.objectContaining({ code: 'release_unknown', remedy: expect.stringContaining('--sha256 HEX') }),
  );
});

it('a known version has no other checksum than the known one', () => {
  for (const version of [undefined, '1.17.0'])
    expect(() => choose(version, hex('e'))).toThrow(expect.objectContaining({ code: 'release_unknown' }));
});

it('the known releases have different checksums, and places at the authors of Firecracker', () => {
  const sums = knownReleases.flatMap(({ sha256 }) => Object.values(sha256));
  expect(new Set(sums).size).toBe(sums.length);
  for (const sum of sums) expect(sum).toMatch(/^[0-9a-f]{64}$/);
  const release = choose();
  expect(releaseUrl(release)).toMatch(/^https:.*\/v1\.17\.0\/firecracker-v1\.17\.0-x86_64\.tgz$/);
  expect(releaseMember(release)).toBe('release-v1.17.0-x86_64/firecracker-v1.17.0-x86_64');
});
