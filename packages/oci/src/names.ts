import { imageInvalid } from './errors.ts';

const whiteout = '.wh.';
const opaque = '.wh..wh..opq';
const depthMax = 200;
/** The kernel's bound: nothing could open what is longer. */
const pathMax = 4095;

/** What a member of a layer is about. */
export type Meaning =
  /** It is in the image. */
  | { readonly kind: 'shown'; readonly path: string }
  /** Nothing of a lower layer is at or below this path. */
  | { readonly kind: 'removed'; readonly path: string }
  /** Nothing of a lower layer is below this path. */
  | { readonly kind: 'emptied'; readonly path: string };

/** Errors: `image_invalid` for a path that leads out or that nothing could have. */
export function meaningOf(raw: string): Meaning {
  const path = normalPath(raw);
  const name = path.slice(path.lastIndexOf('/') + 1);
  const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
  if (name === opaque) return { kind: 'emptied', path: parent };
  if (!name.startsWith(whiteout)) return { kind: 'shown', path };
  const removed = name.slice(whiteout.length);
  if (['', '.', '..'].includes(removed)) throw imageInvalid('a member removes what has no name');
  return { kind: 'removed', path: parent === '' ? removed : `${parent}/${removed}` };
}

/** A member's path from the root, without dots. Errors: `image_invalid` for one that leads out. */
export function normalPath(raw: string): string {
  const parts: string[] = [];
  for (const part of raw.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..')
      throw imageInvalid(`a member leads out of the image: ${JSON.stringify(raw.slice(0, 200))}`);
    if (part.length > 255 || part.includes('\0')) throw imageInvalid('a member has an impossible name');
    parts.push(part);
  }
  const path = parts.join('/');
  if (parts.length > depthMax || path.length > pathMax) throw imageInvalid('a member lies too deep');
  return path;
}

/** `a`, `a/b` for `a/b/c`. */
export function parentsOf(path: string): string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_part, index) => parts.slice(0, index + 1).join('/'));
}
