import { imageInvalid } from './errors.ts';

const whiteoutPrefix = '.wh.';
const opaqueName = '.wh..wh..opq';
/** The kernel's limit for a name, bytes. */
export const nameMax = 255;
/** The kernel's limit for a path, bytes: no program could open a longer one, and no link could have a longer target. */
export const pathMax = 4095;

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
  const [parent, name] = splitPath(path);
  if (name === opaqueName) return { kind: 'opaque', path: parent };
  if (!name.startsWith(whiteoutPrefix)) return { kind: 'content', path };
  const hidden = name.slice(whiteoutPrefix.length);
  if (['', '.', '..'].includes(hidden))
    throw imageInvalid(`the whiteout ${shownPath(raw)} hides a path without a name`);
  return { kind: 'whiteout', path: parent === '' ? hidden : `${parent}/${hidden}` };
}

/** Returns a path relative to the image's root, without dots. Errors: `image_invalid` for one that leaves the image or cannot exist. */
export function normalizePath(raw: string): string {
  const parts: string[] = [];
  for (const part of raw.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (parts.pop() === undefined)
        throw imageInvalid(`the path of a member leaves the image: ${shownPath(raw)}`);
      continue;
    }
    if (part.length > nameMax || part.includes('\0'))
      throw imageInvalid(`a member has an impossible name: ${shownPath(raw)}`);
    parts.push(part);
  }
  return parts.join('/');
}

/** Returns the directory and the name of a normalized path. */
export function splitPath(path: string): [directory: string, name: string] {
  const at = path.lastIndexOf('/');
  return [path.slice(0, Math.max(0, at)), path.slice(at + 1)];
}

/** Returns the bytes of a path as errors show them. */
export function shownPath(path: string): string {
  return JSON.stringify(Buffer.from(path.slice(0, 200), 'latin1').toString('utf8'));
}
