export { sqfstarMemoryMiB, takeDisk, writeDisk } from './disk.ts';
export type { TarEntry } from './entry.ts';
export { spawnInside } from './inside.ts';
export { diskSize } from './limits.ts';
export type { ReadEntry } from './reader.ts';
export { readTar } from './reader.ts';
export { tarEnd, tarHeader, tarPadding } from './writer.ts';
