import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openTestServer, type TestServer } from '../../packages/instance/src/db/testing.ts';
import { startTestInstance, type TestInstance } from '../../packages/instance/src/testing/instance.ts';
import { type Authority, makeAuthority } from './certificates.ts';

/** Tests the command line of a person at an instance elsewhere, which has a certificate. */
const command = resolve(import.meta.dirname, '../../packages/fumehood/bin/fumehood.mjs');

let directory: string;
let server: TestServer;
let authority: Authority;
let instance: TestInstance;
/** The address of the instance, under a name of its certificate. */
let url: string;
/** The access token of a person who may see and start jobs. */
let token: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-login-'));
  authority = makeAuthority(directory, 'ours');
  server = openTestServer();
  const tls = { address: '127.0.0.1', port: 0, ...authority.issue('good', ['localhost']) };
  instance = await startTestInstance(await server.clone(), { tls });
  url = `https://localhost:${instance.tlsPort}`;
  await instance.api('POST', '/api/access/users', { name: 'ann', admin: false });
  const made = await instance.api('POST', '/api/access/tokens', {
    ...{ name: 'laptop', user: 'ann', scopes: ['jobs:read', 'jobs:write'] },
  });
  token = ((await made.json()) as { secret: string }).secret;
});
afterAll(async () => {
  await instance.stop();
  await server.stop();
  rmSync(directory, { recursive: true });
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line of a person whose machine trusts the authority of the certificate. */
async function fumehood(args: string[], input = '', more: Record<string, string> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [command, ...args], {
    env: { PATH: process.env.PATH, HOME: directory, NODE_EXTRA_CA_CERTS: authority.caFile, ...more },
  });
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ]);
  return { code: code as number, stdout, stderr };
}
/** The environment of a person with no instance on the machine: that of the tests may run one, as the demo does. */
const noInstance = () => ({ FUMEHOOD_STATE: join(directory, 'state') });
const refusal = async (...run: Parameters<typeof fumehood>) => {
  const { code, stdout, stderr } = await fumehood(...run);
  expect(stderr).toMatch(/^fumehood: [^\n]+\n {2}[^\n]+\n$/);
  expect({ code: code > 0, stdout }).toEqual({ code: true, stdout: '' });
  expect(stderr).not.toContain(token);
  return stderr;
};

test('a person logs in with the token on stdin, uses the instance, and logs out', async () => {
  const login = await fumehood(['login', `${url}/`], `${token}\n`);
  expect(login).toMatchObject({ code: 0, stdout: '' });
  const file = join(directory, '.config/fumehood/login.json');
  expect(login.stderr).toContain(file);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ url, token });
  expect(await fumehood(['jobs', 'list'])).toMatchObject({ code: 0, stdout: 'no jobs\n' });
  expect(await fumehood(['executors', 'list'])).toMatchObject({ code: 0 });
  expect(await refusal(['users', 'list'])).toContain('scope admin');
  expect(await fumehood(['logout'])).toMatchObject({ code: 0 });
  expect(existsSync(file)).toBe(false);
  expect(await refusal(['jobs', 'list'], '', noInstance())).toContain('no instance runs in');
});

test('the token comes from the environment or from stdin, and the address from an option', async () => {
  const environment = { FUMEHOOD_URL: url, FUMEHOOD_TOKEN: token };
  expect(await fumehood(['jobs', 'list'], '', environment)).toMatchObject({ code: 0 });
  const options = ['jobs', 'list', '--url', url, '--token-stdin'];
  expect(await fumehood(options, `${token}\n`)).toMatchObject({ code: 0, stdout: 'no jobs\n' });
  const local = { FUMEHOOD_TOKEN: token, FUMEHOOD_URL: `unix:${instance.socket}` };
  expect(await fumehood(['jobs', 'list'], '', local)).toMatchObject({ code: 0 });
});

describe('a mistake is told, and nothing is stored:', () => {
  test('a token that the instance does not know', async () => {
    const text = await refusal(['login', url], `${'0'.repeat(40)}\n`);
    expect(text).toContain(`the instance at ${url} does not accept the access token`);
  });

  test('no token', async () => {
    expect(await refusal(['login', url])).toContain('the access token in stdin is empty');
    expect(await refusal(['jobs', 'list', '--url', url])).toContain(`there is no access token for ${url}`);
  });

  test('a certificate that this machine does not trust, or that is for another name', async () => {
    const untrusting = { NODE_EXTRA_CA_CERTS: '' };
    const text = await refusal(['login', url], token, untrusting);
    expect(text).toContain(`the certificate of ${url} is not trusted`);
    expect(text).toContain('NODE_EXTRA_CA_CERTS');
    const other = url.replace('localhost', '127.0.0.1');
    expect(await refusal(['login', other], token)).toContain(`the certificate of ${other} is not trusted`);
  });

  test('plain HTTP where TLS is spoken, and the other way round', async () => {
    const plain = instance.url.replace('http:', 'https:');
    expect(await refusal(['login', plain], token)).toContain('does not answer in TLS');
    expect(await refusal(['login', url.replace('https:', 'http:')], token)).toContain('https://');
  });

  test('nothing that listens', async () => {
    expect(await refusal(['login', 'https://localhost:2'], token)).toContain('ECONNREFUSED');
    const nowhere = await refusal(['jobs', 'logs', '1', '--url', 'https://nowhere.invalid'], '', {
      FUMEHOOD_TOKEN: token,
    });
    expect(nowhere).toContain('nowhere.invalid');
  });

  test('nothing is stored', async () => {
    expect(existsSync(join(directory, '.config/fumehood/login.json'))).toBe(false);
    expect(await refusal(['jobs', 'list'], '', noInstance())).toContain('no instance runs in');
  });
});
