import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { secretHash } from '../auth/secret.ts';
import { ensureSecret } from './secrets.ts';
import { shareFile, shareSecrets } from './share.ts';

let directory: string;
const at = (name: string) => join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-secrets-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const hashIn = (name: string) => secretHash(readFileSync(at(name), 'utf8').trim()).toString('hex');
const share = (name: string) => {
  ensureSecret(at(name), null);
  shareFile(at(name), null, at('shared'));
  return hashIn(name);
};

describe('a secret of replicas', () => {
  test('is that of the first, and the others take it', () => {
    const first = share('one');
    expect([share('two'), share('one'), hashIn('one'), hashIn('two')]).toEqual(Array(4).fill(first));
    expect(readdirSync(directory).sort()).toEqual(['one', 'shared', 'two']);
    for (const name of readdirSync(directory)) expect(statSync(at(name)).mode & 0o777).toBe(0o600);
  });

  test('is that which the first had before there were others', () => {
    const before = ensureSecret(at('one'), null);
    expect([share('one'), share('two')]).toEqual([before, before]);
  });

  test('takes the place of another one', () => {
    const first = share('one');
    writeFileSync(at('two'), 'another\n');
    expect(share('two')).toBe(first);
  });
});

test('replicas share the token, the credential and the key of what is encrypted, unless the settings name the key', () => {
  const start = (name: string, secretsKeyFile: string | null = null) => {
    mkdirSync(at(`${name}/run`), { recursive: true });
    shareSecrets({ state: at(name), executor: null, secretsKeyFile }, at('shared'), null);
    return readdirSync(at(`${name}/run`)).sort();
  };
  mkdirSync(at('shared'));
  expect(start('one')).toEqual(['executor-credential', 'secrets-key', 'token']);
  expect(start('two')).toEqual(['executor-credential', 'secrets-key', 'token']);
  for (const name of ['executor-credential', 'secrets-key', 'token'])
    expect(readFileSync(at(`one/run/${name}`), 'utf8')).toBe(readFileSync(at(`two/run/${name}`), 'utf8'));
  expect(start('three', '/etc/fumehood/key')).toEqual(['executor-credential', 'token']);
});
