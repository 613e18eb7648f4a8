export type { Client, Position } from './client.ts';
export { openClient } from './client.ts';
