import { readFileSync } from 'node:fs';
import { layout } from '#layout';

/** Returns the version of Fumehood. */
export function versionOfThis(): string {
  return (JSON.parse(readFileSync(layout.manifest, 'utf8')) as { version: string }).version;
}
