import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeProgram } from '../../program.ts';
import { parsePolicy, target } from './check.ts';

let directory: string;
let stdout: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-policy-'));
  stdout = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(directory, { recursive: true });
  process.exitCode = 0;
});

async function check(policy: string, place: string, ...options: string[]) {
  const file = join(directory, 'policy');
  writeFileSync(file, policy);
  await makeProgram().parseAsync(['node', 'fumehood', 'policy', 'check', file, place, ...options]);
  return { stdout, code: process.exitCode ?? 0 };
}

it('says by which rule a connection is allowed or refused, also with its exit code', async () => {
  const policy = 'allow:a.test:443\n';
  expect(await check(policy, 'A.Test:443')).toEqual({ stdout: 'allowed: allow a.test:443\n', code: 0 });
  stdout = '';
  const { code } = await check(policy, '1.1.1.1:443', '--json');
  expect({ code, ...JSON.parse(stdout) }).toEqual({
    ...{ code: 1, host: '1.1.1.1', port: 443, policy: 'allow:a.test:443', allowed: false },
    ...{ rule: 'the address is not that of an allowed name', reason: 'policy_address' },
  });
});

it('a file that is none, or holds no policy, is a mistake', async () => {
  await expect(check('all', 'a.test:443')).rejects.toMatchObject({ code: 'policy_invalid' });
  const missing = ['node', 'fumehood', 'policy', 'check', join(directory, 'missing'), 'a.test:1'];
  await expect(makeProgram().parseAsync(missing)).rejects.toMatchObject({ code: 'policy_invalid' });
});

describe('a policy', () => {
  it('is a text or JSON', () => {
    const policy = { mode: 'allow', hosts: [{ name: '*.a.test', ports: null }] };
    expect(parsePolicy('allow:*.a.test', '-')).toEqual(policy);
    expect(parsePolicy(JSON.stringify(policy), '-')).toEqual(policy);
  });
  it.each(['', '{', '{"mode":"all"}', '[]', 'allow:a b'])('is not %j', (text) =>
    expect(() => parsePolicy(text, '-')).toThrow('- holds no policy: '),
  );
});

describe('a target', () => {
  it.each([
    ['Example.com:443', 'example.com', 443],
    ['192.0.2.1:80', '192.0.2.1', 80],
    ['[2001:DB8::1]:65535', '2001:db8::1', 65_535],
  ])('is %s', (text, host, port) => expect(target(text)).toEqual({ host, port }));
  it.each([
    'a.test',
    'a.test:',
    ':443',
    'a.test:0',
    'a.test:65536',
    '*.a.test:1',
    '2001:db8::1:443',
    '127.1:80',
    '[1.1.1.1]:80',
  ])('is not %s', (text) => expect(() => target(text)).toThrow('Give HOST:PORT'));
});
