import type { PayloadVersion } from './payload.ts';

/** A build of upstream's main branch: number, date, and perhaps the last release. */
const buildPattern = /^\d+_(\d{4}-\d{2}-\d{2})_(?:\d+\.\d+)?-?[0-9a-z]{7,}(?:_patch)?$/;
const semverPattern =
  /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;
/** Executors understand the second payload from these on: release 4.3 with its pre-releases, and builds of this day. */
const since = { major: 4, minor: 3, date: '2022-11-24' };

/** Returns the payload that an executor of upstream's kind understands, by its version; null for an invalid version. */
export function payloadVersion(version: string): PayloadVersion | null {
  if (version === '') return 1;
  if (version === 'dev' || version === '0.0.0+dev') return 2;
  const buildDate = buildPattern.exec(version)?.[1];
  if (buildDate !== undefined) return buildDate >= since.date ? 2 : 1;
  const parts = semverPattern.exec(version);
  if (!parts) return null;
  const major = Number(parts[1]);
  const minor = Number(parts[2] ?? 0);
  return major > since.major || (major === since.major && minor >= since.minor) ? 2 : 1;
}
