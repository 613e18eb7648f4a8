export type { Client } from './client.ts';
export { openClient } from './client.ts';
export type { WantedEvents } from './events.ts';
