import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openState, type State } from '../state/state.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { adminSettings, executorHelperSettings, instanceHelperSettings, writeSettings } from './settings.ts';

let state: State;
beforeEach(() => {
  state = openState({ FUMEHOOD_STATE: mkdtempSync(join(tmpdir(), 'fumehood-settings-')) }, 0);
});
afterEach(() => rmSync(state.root, { recursive: true }));

const write = (text: string) => writeFileSync(join(state.root, 'settings.json'), text);

describe("the admin's settings", () => {
  it('default to loopback only if there is no file', () => {
    expect(adminSettings(state)).toMatchObject({ hosts: [], tls: null, port: 4177, databaseUrl: null });
  });

  it('have a ceiling for the network of jobs, as `run --network` has a policy', () => {
    expect(adminSettings(state).egressCeiling).toEqual({ mode: 'public' });
    write(JSON.stringify({ egressCeiling: 'allow:a.test:443' }));
    expect(adminSettings(state).egressCeiling).toEqual({
      mode: 'allow',
      hosts: [{ name: 'a.test', ports: [443] }],
    });
    write(JSON.stringify({ egressCeiling: 'all' }));
    expect(() => adminSettings(state)).toThrow('egressCeiling: is no policy; allowed is "none"');
  });

  it('name the hosts and the TLS address at which other machines reach the instance', () => {
    const tls = { address: '0.0.0.0', port: 8443, certificateFile: '/etc/c.pem', keyFile: '/etc/k.pem' };
    write(JSON.stringify({ hosts: ['fumehood.example.com'], tls }));
    expect(adminSettings(state)).toMatchObject({ hosts: ['fumehood.example.com'], tls });
  });

  it('name a database of the admin, in a file that others cannot read if it holds the password', () => {
    const databaseUrl = 'postgres://fumehood:pass-phrase@db.example:5432/fumehood?sslmode=require';
    write(JSON.stringify({ databaseUrl }));
    const file = join(state.root, 'settings.json');
    expect(() => adminSettings(state)).toThrow(`chmod 600 ${file}`);
    chmodSync(file, 0o600);
    expect(adminSettings(state)).toMatchObject({ databaseUrl });
    const facts = { version: '1', root: false };
    expect(instanceHelperSettings(state, {} as Runtime, facts)).toMatchObject({ databaseUrl });
    const peer = 'postgresql:///fumehood?host=/run/postgresql';
    chmodSync(file, 0o644);
    write(JSON.stringify({ databaseUrl: peer }));
    expect(adminSettings(state)).toMatchObject({ databaseUrl: peer });
  });

  it('limit the cache of the executor, which is no setting of the instance', async () => {
    const guest = { kernel: '/kernel', initramfs: '/initramfs', digest: '' };
    const what = { version: '1', root: false, instanceUrl: 'unix:/socket', tiers: [], labels: [], guest };
    const facts = { ...what, vmm: 'auto', vmms: {} } as const;
    const limit = async () => (await executorHelperSettings(state, {} as Runtime, facts)).cacheBytes;
    expect(await limit()).toBeGreaterThanOrEqual(2 ** 30);
    write('{"cacheMiB": 300}');
    expect(await limit()).toBe(300 * 2 ** 20);
    expect(instanceHelperSettings(state, {} as Runtime, facts)).not.toHaveProperty('cacheMiB');
  });

  it('are written for the instance so that nobody else reads them, whatever the file was before', async () => {
    const file = join(state.root, 'instance-helper.json');
    for (const mode of [0o644, 0o600] as const) {
      await writeSettings(file, { mode }, mode);
      expect([statSync(file).mode & 0o777, JSON.parse(readFileSync(file, 'utf8'))]).toEqual([mode, { mode }]);
    }
  });

  it.each([
    ['are not JSON', '{', ['JSON']],
    ['are no object', '[]', ['allowed are databaseUrl, port, hosts']],
    ['have an unknown key', '{"ports": 80}', ['ports is no setting', 'allowed are databaseUrl, port, hosts']],
    ['have a port that there is not', '{"port": 65536}', ['port: ', 'a whole number from 0 to 65535']],
    ['have a port in quotes', '{"port": "4177"}', ['port: ', 'a whole number from 0 to 65535']],
    [
      'have another database',
      '{"databaseUrl": "mysql://a:pass-phrase@b/c"}',
      ['databaseUrl: ', 'postgres://USER'],
    ],
    [
      'have a database without a scheme',
      '{"databaseUrl": "db:pass-phrase"}',
      ['databaseUrl: ', 'postgres://USER'],
    ],
    ['have a host alone', '{"hosts": "example.com"}', ['hosts: ', 'a list of host names']],
    ['have no room for the cache', '{"cacheMiB": 0}', ['cacheMiB: ', 'a whole number above 0, or null']],
    ['keep jobs for a word', '{"retention": {"jobs": {"days": "x"}}}', ['retention.jobs.days: ', '"maxMiB"']],
    [
      'listen on another address without a certificate',
      '{"tls": {"address": "0.0.0.0", "port": 80}}',
      ['tls.certificateFile: ', '"keyFile": "/PATH"'],
    ],
    ['name a host instead of an address', '{"tls": {"address": "all", "port": 80}}', ['tls.address: ']],
  ])('that %s are refused, with the file, the key and what is allowed', (_, text, reasons) => {
    write(text);
    const file = join(state.root, 'settings.json');
    for (const reason of [file, ...reasons]) expect(() => adminSettings(state)).toThrow(reason);
    expect(() => adminSettings(state)).not.toThrow('pass-phrase');
  });
});
