import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

/** Starts an instance whose own fsync calls do nothing. The power-loss test must find what its stores lose then. */
Object.assign(fs, {
  fsync: (_descriptor: number, done: (error: null) => void) => process.nextTick(done, null),
  fsyncSync: () => {},
});
syncBuiltinESMExports();
const handle = await fs.promises.open('/');
Object.assign(Object.getPrototypeOf(handle) as object, { sync: async () => {} });
await handle.close();
await import('../../../packages/instance/src/main.ts');
