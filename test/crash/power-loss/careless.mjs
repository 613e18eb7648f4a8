// The instance without a single fsync of its own: what its stores lose at a power loss then, the test must find.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

fs.fsync = (_descriptor, done) => process.nextTick(done, null);
fs.fsyncSync = () => {};
syncBuiltinESMExports();
const handle = await fs.promises.open('/');
Object.getPrototypeOf(handle).sync = async () => {};
await handle.close();
await import('./instance.mjs');
