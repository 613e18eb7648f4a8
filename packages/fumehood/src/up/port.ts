import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { instanceFileSchema } from '@fumehood/instance';
import { readJson, type State } from '../state/state.ts';

/**
 * The port of an instance that was killed here, if it is still free: executors and clients that wait for the instance find it
 * again. Else 0, for any port.
 */
export async function portForInstance(state: State): Promise<number> {
  const left = instanceFileSchema.safeParse(readJson(join(state.run, 'instance.json'))).data;
  const port = left ? Number(new URL(left.url).port) : 0;
  const server = createServer().listen({ host: '127.0.0.1', port });
  try {
    await once(server, 'listening');
    return port;
  } catch {
    return 0;
  } finally {
    server.close();
  }
}
