import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openState, type State } from '../state/state.ts';
import { adminSettings } from './settings.ts';

let state: State;
beforeEach(() => {
  state = openState({ FUMEHOOD_STATE: mkdtempSync(join(tmpdir(), 'fumehood-settings-')) }, 0);
});
afterEach(() => rmSync(state.root, { recursive: true }));

const write = (text: string) => writeFileSync(join(state.root, 'settings.json'), text);

describe("the admin's settings", () => {
  it('default to loopback only if there is no file', () => {
    expect(adminSettings(state)).toMatchObject({ hosts: [], tls: null, port: 4177 });
  });

  it('name the hosts and the TLS address at which other machines reach the instance', () => {
    const tls = { address: '0.0.0.0', port: 8443, certificateFile: '/etc/c.pem', keyFile: '/etc/k.pem' };
    write(JSON.stringify({ hosts: ['fumehood.example.com'], tls }));
    expect(adminSettings(state)).toMatchObject({ hosts: ['fumehood.example.com'], tls });
  });

  it.each([
    ['are not JSON', '{', 'JSON'],
    ['have an unknown key', '{"ports": 80}', 'ports'],
    ['have a port that there is not', '{"port": 65536}', 'port'],
    [
      'listen on another address without a certificate',
      '{"tls": {"address": "0.0.0.0", "port": 80}}',
      'certificateFile',
    ],
    ['name a host instead of an address', '{"tls": {"address": "all", "port": 80}}', 'address'],
  ])('that %s are refused, with the file and the reason', (_, text, reason) => {
    write(text);
    expect(() => adminSettings(state)).toThrow(reason);
    expect(() => adminSettings(state)).toThrow(join(state.root, 'settings.json'));
  });
});
