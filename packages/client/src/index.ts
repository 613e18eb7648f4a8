export type { Client } from './client.ts';
export { openClient } from './client.ts';
export type { WantedEvents } from './events.ts';
export type { DirectoryArchive } from './workspace/archive.ts';
export { archiveDirectory } from './workspace/archive.ts';
export { unpackArtifact } from './workspace/unpack.ts';
