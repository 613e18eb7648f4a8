import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Foreground, startCommand } from './foreground.ts';
import { makeAuthority } from './integration/certificates.ts';
import type { Stack } from './stack.ts';

/** An instance that machines elsewhere reach over TLS, with a certificate of an authority of its own. */
export interface TlsInstance extends Foreground {
  readonly url: string;
  readonly caFile: string;
}

/** Starts the instance of a stack at a free port of loopback, under this name, and waits until it serves. */
export async function startTlsInstance(stack: Stack, name: string): Promise<TlsInstance> {
  const authority = makeAuthority(stack.state, 'lab');
  const { caFile } = authority;
  const { certificateFile, keyFile } = authority.issue('server', [name]);
  for (const file of [caFile, certificateFile, keyFile]) chmodSync(file, 0o644); // the instance is another user
  const port = await freePort();
  const url = `https://${name}:${port}`;
  const listen = ['--listen', `127.0.0.1:${port}`, '--tls-cert', certificateFile, '--tls-key', keyFile];
  const process = startCommand(stack, ['instance', 'start', ...listen, '--url', url, '--log-json']);
  const giveUpAt = Date.now() + 60_000;
  while ((await stack.fumehood(['jobs', 'list'])).code !== 0) {
    if (Date.now() > giveUpAt) throw new Error(process.log());
    await sleep(300);
  }
  return { ...process, url, caFile };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
