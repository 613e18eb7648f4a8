import { uploadStepRefused } from '../errors.ts';

/** Errors: `upload_step_refused` when one of `secrets` is anywhere in `value`, a part of a job that its guest gets. */
export function refuseCredentials(value: object, secrets: readonly string[]): void {
  const place = placeOf(
    value,
    secrets.map((secret) => Buffer.from(secret)),
    'job',
  );
  if (place !== null) throw uploadStepRefused(`one is in ${place}`);
}

/** The first place in which one of `needles` is, its own name included; null for none. */
function placeOf(value: unknown, needles: readonly Buffer[], place: string): string | null {
  if (typeof value === 'string' || value instanceof Uint8Array) {
    const bytes = Buffer.from(value as string);
    return needles.some((needle) => bytes.includes(needle)) ? place : null;
  }
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, inner] of Object.entries(value)) {
    // A name may be the secret itself: then it is not said.
    const found = placeOf(name, needles, `a name of ${place}`) ?? placeOf(inner, needles, `${place}.${name}`);
    if (found !== null) return found.slice(0, 200);
  }
  return null;
}
