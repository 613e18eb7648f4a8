import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HostReport, storedVerdict, storeVerdict } from './verdict.ts';

let directory: string;
let file: string;
const report: HostReport = {
  accelerations: ['kvm', 'emulated'],
  kvm: 'hardware',
  bootMs: { kvm: 300, emulated: 2_000 },
  findings: [{ check: 'limits', ok: false, detail: 'none', remedy: 'mount them' }],
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fumehood-verdict-'));
  file = join(directory, 'verdict.json');
});
afterEach(() => rm(directory, { recursive: true }));

describe('a verdict', () => {
  it('is found under its own key and under no other', async () => {
    await storeVerdict(file, 'key', report);
    expect(await storedVerdict(file, 'key')).toEqual(report);
    expect(await storedVerdict(file, 'other key')).toBeNull();
    expect(await storedVerdict(file, '')).toBeNull();
  });

  it('replaces an older one and leaves no other file', async () => {
    await storeVerdict(file, 'old', report);
    await storeVerdict(file, 'new', { ...report, accelerations: ['emulated'] });
    expect(await storedVerdict(file, 'old')).toBeNull();
    expect((await storedVerdict(file, 'new'))?.accelerations).toEqual(['emulated']);
    expect(await readdir(directory)).toEqual(['verdict.json']);
  });

  it('that was never stored is not found', async () => {
    expect(await storedVerdict(file, 'key')).toBeNull();
  });

  it.each([
    ['nothing', ''],
    ['half of it', JSON.stringify({ key: 'key', report }).slice(0, -20)],
    ['a number', '5'],
    ['no report', JSON.stringify({ key: 'key' })],
    [
      'an unknown acceleration',
      JSON.stringify({ key: 'key', report: { ...report, accelerations: ['magic'] } }),
    ],
    ['a boot without a time', JSON.stringify({ key: 'key', report: { ...report, bootMs: { kvm: 'fast' } } })],
    [
      'findings of another version',
      JSON.stringify({ key: 'key', report: { ...report, findings: ['good'] } }),
    ],
  ])('whose file holds %s is not found', async (_what, content) => {
    await writeFile(file, content);
    expect(await storedVerdict(file, 'key')).toBeNull();
  });
});
