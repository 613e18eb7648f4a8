import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serveSpawn } from '../spawn/serve.ts';
import { startChild } from './child.ts';

let directory: string;
let count = 0;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-guard-'));
  chmodSync(directory, 0o755);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Returns a file with the bytes, and a script that writes them into the IPC channel and waits. */
function scriptOf(bytes: string | Uint8Array): { script: string; payload: string } {
  count += 1;
  const payload = join(directory, `payload-${count}`);
  writeFileSync(payload, bytes);
  const script = join(directory, 'child.sh');
  writeFileSync(script, 'cat "$1" >&3 && exec sleep 60\n');
  return { script, payload };
}

/** Starts a child that writes these bytes, and returns why it was killed. */
async function endOf(bytes: string | Uint8Array): Promise<string> {
  const { script, payload } = scriptOf(bytes);
  const child = await startChild({ node: '/bin/sh', script, config: payload, identity: null });
  serveSpawn(child.process, { identity: null, commands: [], group: null, maxProcesses: 3 });
  return (await child.exited).reason ?? 'it ended by itself';
}

const message = (value: unknown) => `${JSON.stringify(value)}\n`;
const request = { label: 'x', program: '/none', args: [] };
const calls = (count: number) =>
  Array.from({ length: count }, (_, at) => message({ type: 'spawn.start', id: at + 1, request })).join('');

describe('a helper survives, and ends the child that writes', () => {
  it.each<[string, string | Uint8Array, string]>([
    ['no JSON', 'hello\n', 'JSON'],
    ['half a message', '{"type":"spawn.start"\n', 'JSON'],
    ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0x0a]), 'JSON'],
    ['two messages on a line', '{}{}\n', 'JSON'],
    ['nothing', '\n', 'JSON'],
    ['a message without an end', `"${'x'.repeat(2 ** 20 + 2 ** 16)}`, 'longer than'],
    ["an answer of Node's own protocol to nothing", message({ cmd: 'NODE_HANDLE_ACK' }), ''],
    ['calls without end, and reads no answer', calls(30_000), 'does not read'],
  ])('%s', async (_, bytes, why) => {
    const reason = await endOf(bytes);
    expect(reason).toMatch(/^it was killed/);
    expect(reason).toContain(why);
  });
});

describe('a helper survives, and ignores', () => {
  it.each([
    ['null', 'null'],
    ['a list', '[1, 2]'],
    ['deep lists', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['a type that every object has', '{"type":"constructor","id":1}'],
    ['the announcement of a descriptor that is not there', '{"cmd":"NODE_HANDLE","type":"__proto__"}'],
    ['keys of the prototype', '{"__proto__":{"type":"spawn.start"},"id":1}'],
  ])('%s', async (_, text) => {
    expect(await endOf(`${text}\nthe end\n`)).toContain('"the end" is not valid JSON');
  });
});

it('a helper survives a descriptor, and ends the child that sends it', async () => {
  const script = join(directory, 'child.mjs');
  writeFileSync(
    script,
    `import { createServer } from 'node:net';
     const server = createServer().listen(0, () => process.send({ type: 'x' }, server));`,
  );
  const child = await startChild({ node: process.execPath, script, config: 'none', identity: null });
  expect((await child.exited).reason).toContain('it sent a descriptor');
});

it.each(['hello\n', '{"cmd":"NODE_HANDLE_ACK"}\n'])('without its guard, a parent is ended by %j', (bytes) => {
  const { script, payload } = scriptOf(bytes);
  const parent = `
    import { spawn } from 'node:child_process';
    const child = spawn('/bin/sh', process.argv.slice(1), { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
    child.on('message', () => {});
    process.on('exit', () => child.kill('SIGKILL'));
    setTimeout(() => process.exit(0), 5_000);
  `;
  const ended = spawnSync(process.execPath, ['--input-type=module', '-e', parent, script, payload]);
  expect(ended.status).toBe(1);
});

it('a helper survives any bytes', async () => {
  const json = fc.json({ maxDepth: 8 });
  const line = fc.oneof(
    json,
    fc.string({ unit: 'binary' }),
    json.map((text) => text.slice(0, text.length / 2)),
    fc
      .record({
        type: fc.constantFrom('spawn.start', 'spawn.go', 'spawn.kill', 'vm.start', 'toString'),
        id: fc.oneof(fc.integer(), fc.string(), fc.constant(null)),
        request: fc.jsonValue(),
      })
      .map((value) => JSON.stringify(value)),
    fc
      .constantFrom('NODE_HANDLE', 'NODE_HANDLE_ACK', 'NODE_HANDLE_NACK', 'NODE_SOCKET_NOTIFY_CLOSE', 'NODE_')
      .map((cmd) => JSON.stringify({ cmd, key: '__proto__' })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 5 }), async (lines) => {
      expect(await endOf(`${lines.join('\n')}\nthe end\n`)).toMatch(/^it was killed/);
    }),
    { numRuns: 40 },
  );
});
