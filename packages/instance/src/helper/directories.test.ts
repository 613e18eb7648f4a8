import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HelperConfig } from './config.ts';
import { makeDirectories } from './directories.ts';
import type { InstanceUsers } from './users.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-directories-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const users = { root: false, instance: { uid: process.getuid?.() } } as InstanceUsers;
const shared = () => join(directory, 'shared');
const made = (state: string, changes: Partial<HelperConfig> = {}) => {
  const config = { state: join(directory, state), shared: shared(), databaseUrl: 'postgres://db/fumehood' };
  return makeDirectories({ ...config, ...changes } as HelperConfig, users);
};

describe('replicas', () => {
  test('have their files in the directory that they share', () => {
    mkdirSync(shared());
    const directories = { blobs: join(shared(), 'blobs'), repositories: join(shared(), 'repositories') };
    expect([made('one').directories, made('two').directories]).toEqual([directories, directories]);
    expect(made('three', { shared: null }).directories.blobs).toBe(join(directory, 'three/instance/blobs'));
  });

  test('keep what is under way apart, each under a name that it keeps', () => {
    mkdirSync(shared());
    const names = [made('one').replica, made('two').replica];
    expect(new Set(names).size).toBe(2);
    expect([made('one').replica, made('two').replica]).toEqual(names);
  });

  test.each<[string, () => void, Partial<HelperConfig>]>([
    ['it does not exist', () => {}, {}],
    ['other users can change', () => (mkdirSync(shared()), chmodSync(shared(), 0o777)), {}],
    ['a database of its own', () => mkdirSync(shared()), { databaseUrl: null }],
  ])('share no directory of which is true: %s', (why, make, changes) => {
    make();
    const error = { code: 'shared_unusable', message: expect.stringContaining(why) as string };
    expect(() => made('one', changes)).toThrow(expect.objectContaining(error));
  });
});
