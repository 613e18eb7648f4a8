export { diskSize, writeDisk } from './disk.ts';
export type { TarSummary } from './disk.ts';
export type { TarEntry, TarType } from './entry.ts';
export type { ReadEntry, TarLimits } from './reader.ts';
export { readTar } from './reader.ts';
export { tarEnd, tarHeader, tarPadding } from './writer.ts';
