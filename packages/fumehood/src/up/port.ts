import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { instanceFileSchema } from '@fumehood/instance';
import { readJson, type State } from '../state/state.ts';

/**
 * Returns the port of an instance that was killed here, if the port is still free, so that waiting executors and clients find the new
 * instance. Otherwise returns 0, for any free port.
 */
export async function portForInstance(state: State): Promise<number> {
  const killed = instanceFileSchema.safeParse(readJson(join(state.run, 'instance.json'))).data;
  const port = killed ? Number(new URL(killed.url).port) : 0;
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
