import { startTestInstance } from '../../../packages/instance/src/testing/instance.ts';
import type { BenchDatabase } from '../server.ts';

export interface InstanceReady {
  readonly url: string;
  readonly accessToken: string;
  readonly credential: string;
  /** The digest of an image that the instance has. */
  readonly image: string;
}

export interface InstanceUsage {
  readonly cpuMs: number;
  readonly residentMiB: number;
}

// Ctrl-C reaches every process of the terminal. This process ends when its parent disconnects.
process.on('SIGINT', () => {});
process.once('message', (order: { connection: BenchDatabase }) => void serve(order.connection));

async function serve(connection: BenchDatabase): Promise<void> {
  const instance = await startTestInstance(connection);
  process.once('disconnect', () => void instance.stop().finally(() => process.exit()));
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    const usage: InstanceUsage = {
      cpuMs: (user + system) / 1000,
      residentMiB: process.memoryUsage.rss() / 2 ** 20,
    };
    process.send?.(usage);
  });
  const { url, accessToken, credential } = instance;
  process.send?.({ url, accessToken, credential, image: await instance.image() } satisfies InstanceReady);
}
