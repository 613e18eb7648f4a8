import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { instanceAddress } from './address.ts';
import { loginFile, readLogin, removeLogin, writeLogin } from './login.ts';
import { chooseTarget, type TargetOptions } from './target.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'fumehood-target-'));
});
afterEach(() => rmSync(home, { recursive: true }));

const saved = { url: 'https://saved.example', token: 'saved-token' };
const file = () => loginFile({ XDG_CONFIG_HOME: home });
const choose = (environment: NodeJS.ProcessEnv, options: TargetOptions = {}) =>
  chooseTarget(options, { XDG_CONFIG_HOME: home, ...environment }, () => {});

describe('the address of an instance', () => {
  it.each([
    ['https://fumehood.example:8443/', 'https://fumehood.example:8443'],
    ['https://example.com/fumehood/', 'https://example.com/fumehood'],
    ['http://127.0.0.1:4177', 'http://127.0.0.1:4177'],
    ['http://localhost:4177/', 'http://localhost:4177'],
    ['http://[::1]:4177', 'http://[::1]:4177'],
    ['unix:/var/lib/fumehood/run/instance/socket', 'unix:/var/lib/fumehood/run/instance/socket'],
  ])('%s is %s', (text, address) => {
    expect(instanceAddress(text)).toBe(address);
  });

  it.each([
    ['fumehood.example', 'is not the address'],
    ['localhost:4177', 'is not the address'],
    ['ftp://fumehood.example', 'is not the address'],
    ['unix:socket', 'is not the address'],
    ['', 'is not the address'],
    ['http://fumehood.example', 'is not encrypted'],
    ['http://127.0.0.1.example', 'is not encrypted'],
    ['https://ann:secret@fumehood.example', 'a user, a password'],
    ['https://fumehood.example/?token=secret', 'a query'],
  ])('%j is refused', (text, why) => {
    expect(() => instanceAddress(text)).toThrow(why);
    expect(() => instanceAddress(text)).not.toThrow('secret');
  });
});

describe('a command uses the instance', () => {
  it('of its options, else of the environment, else of the login, else of the state directory', async () => {
    expect(await choose({})).toEqual({ url: null, token: null });
    writeLogin(file(), saved);
    expect(await choose({})).toEqual(saved);
    const environment = { FUMEHOOD_URL: 'https://two.example', FUMEHOOD_TOKEN: 'two' };
    expect(await choose(environment)).toEqual({ url: 'https://two.example', token: 'two' });
    const three = await choose(environment, { url: 'https://three.example' });
    expect(three).toEqual({ url: 'https://three.example', token: 'two' });
  });

  it('of a state directory that FUMEHOOD_STATE names, also with a login', async () => {
    writeLogin(file(), saved);
    expect(await choose({ FUMEHOOD_STATE: '/state' })).toEqual({ url: null, token: null });
    expect(await choose({ FUMEHOOD_STATE: '/state', FUMEHOOD_TOKEN: 'own' })).toEqual({
      url: null,
      token: 'own',
    });
  });

  it('with the token of the login only at the address of the login', async () => {
    writeLogin(file(), saved);
    expect(await choose({}, { url: `${saved.url}/` })).toEqual(saved);
    await expect(choose({}, { url: 'https://other.example' })).rejects.toMatchObject({
      code: 'usage',
      message: 'there is no access token for https://other.example',
    });
  });

  it.each([
    [{ FUMEHOOD_URL: '' }, 'FUMEHOOD_URL is empty'],
    [{ FUMEHOOD_TOKEN: '' }, 'the access token in FUMEHOOD_TOKEN is empty'],
    [{ FUMEHOOD_TOKEN: 'two words' }, 'is not one line without blanks'],
    [{ FUMEHOOD_TOKEN: 'line\r\nX-Header: x' }, 'is not one line without blanks'],
  ])('not with %j', async (environment, why) => {
    await expect(choose(environment)).rejects.toMatchObject({ code: 'usage' });
    await expect(choose(environment)).rejects.toThrow(why);
  });
});

describe('a login', () => {
  it('is in a file that only its owner can read, and is replaced and removed', () => {
    for (const token of ['first', 'second']) {
      writeLogin(file(), { ...saved, token });
      expect(readLogin(file())).toEqual({ ...saved, token });
      expect(statSync(file()).mode & 0o777).toBe(0o600);
      expect(statSync(dirname(file())).mode & 0o777).toBe(0o700);
    }
    expect([removeLogin(file()), removeLogin(file()), existsSync(file())]).toEqual([true, false, false]);
    expect(readLogin(file())).toBe(null);
  });

  it('that other users can read is refused, with how to close it', () => {
    writeLogin(file(), saved);
    chmodSync(file(), 0o640);
    expect(() => readLogin(file())).toThrow(
      expect.objectContaining({
        code: 'login_exposed',
        remedy: expect.stringContaining(`chmod 600 ${file()}`),
      }),
    );
  });

  it('that is damaged is refused, and its content is not shown', () => {
    for (const text of ['{"token": "secret"', '{"token": "secret"}', '']) {
      writeLogin(file(), saved);
      writeFileSync(file(), text);
      expect(readFileSync(file(), 'utf8')).toBe(text);
      expect(() => readLogin(file())).toThrow(expect.objectContaining({ code: 'login_invalid' }));
      expect(() => readLogin(file())).not.toThrow('secret');
    }
  });
});
