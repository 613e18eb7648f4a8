import { imageInvalid } from './errors.ts';

const whiteoutPrefix = '.wh.';
const opaqueName = '.wh..wh..opq';
const depthMax = 200;
/** The kernel's limit: no program could open a longer path. */
const pathMax = 4095;

/** What a member of a layer means for the paths of the image. */
export type MemberPath =
  /** The path is in the image. */
  | { readonly kind: 'content'; readonly path: string }
  /** A whiteout: hides the path, and everything below it, in the layers below. */
  | { readonly kind: 'whiteout'; readonly path: string }
  /** An opaque whiteout: hides everything below the path in the layers below. */
  | { readonly kind: 'opaque'; readonly path: string };

/** Parses the name of a layer's member. Errors: `image_invalid` for a path that leaves the image or cannot exist. */
export function parseMemberPath(raw: string): MemberPath {
  const path = normalizePath(raw);
  const name = path.slice(path.lastIndexOf('/') + 1);
  const parent = path.slice(0, Math.max(0, path.lastIndexOf('/')));
  if (name === opaqueName) return { kind: 'opaque', path: parent };
  if (!name.startsWith(whiteoutPrefix)) return { kind: 'content', path };
  const hidden = name.slice(whiteoutPrefix.length);
  if (['', '.', '..'].includes(hidden)) throw imageInvalid('a whiteout hides a path without a name');
  return { kind: 'whiteout', path: parent === '' ? hidden : `${parent}/${hidden}` };
}

/** Returns a path relative to the image's root, without dots. Errors: `image_invalid` for one that leaves the image. */
export function normalizePath(raw: string): string {
  const parts: string[] = [];
  for (const part of raw.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..')
      throw imageInvalid(`the path of a member leaves the image: ${JSON.stringify(raw.slice(0, 200))}`);
    if (part.length > 255 || part.includes('\0')) throw imageInvalid('a member has an impossible name');
    parts.push(part);
  }
  const path = parts.join('/');
  if (parts.length > depthMax || path.length > pathMax)
    throw imageInvalid('the path of a member is too long');
  return path;
}
