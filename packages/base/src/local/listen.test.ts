import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listenOnSocket, socketPathMax } from './listen.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-listen-'));
});
afterEach(() => rmSync(root, { recursive: true }));

const open = () => readdirSync('/proc/self/fd').length;

it('listens on a socket whose path is too long for the kernel, and leaves neither the socket nor a descriptor', async () => {
  const before = open();
  const directory = join(root, 'a'.repeat(200));
  mkdirSync(directory);
  const path = join(directory, 'socket');
  expect(path.length).toBeGreaterThan(socketPathMax);
  const server = createServer((socket) => socket.end('hello'));
  await listenOnSocket(server, path);
  const cwd = process.cwd();
  process.chdir(directory);
  expect(await text(connect('socket'))).toBe('hello');
  process.chdir(cwd);
  await new Promise((resolve) => server.close(resolve));
  expect(existsSync(path)).toBe(false);
  expect(open()).toBe(before);
});

it('rejects with the reason when the socket cannot be made', async () => {
  const before = open();
  mkdirSync(join(root, 'socket'));
  await expect(listenOnSocket(createServer(), join(root, 'socket'))).rejects.toThrow('EADDRINUSE');
  await expect(listenOnSocket(createServer(), join(root, 'no/socket'))).rejects.toThrow('ENOENT');
  expect(open()).toBe(before);
});
