import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';

/**
 * `network.c` writes to Node's IPC channel as Node itself does, and Node documents that nowhere. It is tested here for the Node that runs this:
 * what it writes for a listener and for a UDP socket is what the program writes. That Node reads it is tested by
 * `network.integration.test.ts`.
 */
const source = readFileSync(join(import.meta.dirname, 'network.c'), 'utf8');

it(`Node ${process.versions.node} writes a socket to its IPC channel as network.c does`, async () => {
  const server = createServer().listen(0, '127.0.0.1');
  const udp = createSocket('udp4').bind(0, '127.0.0.1');
  await Promise.all([once(server, 'listening'), once(udp, 'listening')]);
  const handles = [
    ['net.Native', (server as unknown as { _handle: object })._handle],
    ['dgram.Native', (udp as unknown as Record<symbol, { handle: object }>)[stateOf(udp)]?.handle],
  ] as const;
  const [format] = /(?<=snprintf\(line, sizeof line,\s+")\{.*\}(?=\\n")/.exec(source) ?? [];
  expect(format, 'network.c writes its messages in another way').toBeDefined();
  for (const [type, handle] of handles) {
    const message = { name: 'connections', namespace: 7 };
    const child = spawn('/bin/sh', ['-c', 'head -n 1 <&3'], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    const exited = once(child, 'exit');
    const line = text(child.stdout as Socket);
    child.send(message, handle as Socket);
    const values = [type, message.name, String(message.namespace)];
    const ours = (format as string).replaceAll('\\"', '"').replaceAll(/%s|%lu/g, () => values.shift() ?? '');
    expect(
      await line,
      `Node ${process.versions.node} has changed the messages of its IPC: change hand_over in network.c`,
    ).toBe(`${ours}\n`);
    expect(source).toContain(`hand_over(channel, "${type}"`);
    child.kill('SIGKILL');
    await exited;
  }
  server.close();
  udp.close();
});

/** The property in which Node keeps the handle of a UDP socket. */
function stateOf(socket: object): symbol {
  const found = Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === 'state symbol');
  return found as symbol;
}
