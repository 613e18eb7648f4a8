import type { FumehoodError } from '@fumehood/base';
import {
  imageInvalid,
  imageNotFound,
  imageTooBig,
  registryUnauthorized,
  registryUnreachable,
} from '../errors.ts';
import type { RegistryAuths } from './registries.ts';

/** Longest part of skopeo's message that an error shows, characters. */
const shownMax = 300;

/**
 * Converts the end of skopeo's stderr to an error. The text may hold anything that a registry sends: it only selects the error code,
 * and the message shows it without credentials, queries of URLs and control characters.
 */
export function skopeoError(reference: string, stderr: string, auths: RegistryAuths): FumehoodError {
  const text = sanitize(stderr, secretsIn(auths));
  const is = (pattern: RegExp) => pattern.test(text);
  if (is(/file too large/i)) return imageTooBig('a layer is larger than its manifest says');
  if (is(/exceeded maximum allowed size/i)) return imageTooBig('its manifest is too large');
  if (is(/unauthorized|authentication required|invalid username\/password|\bdenied\b|\b40[13]\b|forbidden/i))
    return registryUnauthorized(reference, text);
  if (is(/(manifest|name|repository|blob) unknown|not found|\b404\b/i))
    return imageNotFound(
      `the registry does not have ${reference}: ${text}`,
      'Check the name and the tag, and that the image was pushed.',
    );
  if (
    is(/digest|did not match|does not match|unsupported manifest|unsupported schema|unexpected end of JSON/i)
  )
    return imageInvalid(text);
  return registryUnreachable(reference, text);
}

/** Returns every form of the credentials that a message may contain, longest first. */
function secretsIn(auths: RegistryAuths): string[] {
  return Object.values(auths)
    .flatMap(({ auth }) => {
      const plain = Buffer.from(auth, 'base64').toString();
      const password = plain.slice(plain.indexOf(':') + 1);
      return [auth, plain, password, encodeURIComponent(password)];
    })
    .filter((secret) => secret !== '')
    .sort((one, other) => other.length - one.length);
}

function sanitize(stderr: string, secrets: readonly string[]): string {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  const message = /\bmsg="(.*)"$/.exec(line)?.[1];
  let text = (message ?? line)
    .replaceAll(/\\(["\\])/g, '$1')
    .replace(/^Error parsing image name "[^"]*": /, '');
  for (const secret of secrets) text = text.replaceAll(secret, '…');
  // A line without its beginning was cut off, perhaps in the middle of a secret.
  if (message === undefined) text = text.slice(secrets[0]?.length ?? 0);
  return text
    .replaceAll(/\?[^\s"]*/g, '?…')
    .replaceAll(/[^\x20-\x7e…]/g, ' ')
    .slice(-shownMax);
}
