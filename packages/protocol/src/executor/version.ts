import type { PayloadVersion } from './payload.ts';

/** Builds of upstream's main branch: number, date, and maybe the release before. */
const buildPattern = /^\d+_(\d{4}-\d{2}-\d{2})_(?:\d+\.\d+)?-?[0-9a-z]{7,}(?:_patch)?$/;
const semverPattern =
  /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;
/** The second payload came with 4.3, its pre-releases included, and with builds of this day. */
const since = { major: 4, minor: 3, date: '2022-11-24' };

/** Which payload an executor of upstream's kind understands, by its version (reference §1.6); null: that is no version. */
export function payloadVersion(version: string): PayloadVersion | null {
  if (version === '') return 1;
  if (version === 'dev' || version === '0.0.0+dev') return 2;
  const built = buildPattern.exec(version)?.[1];
  if (built !== undefined) return built >= since.date ? 2 : 1;
  const parts = semverPattern.exec(version);
  if (!parts) return null;
  const major = Number(parts[1]);
  const minor = Number(parts[2] ?? 0);
  return major > since.major || (major === since.major && minor >= since.minor) ? 2 : 1;
}
