import type { FumehoodError } from '@fumehood/base';
import {
  imageInvalid,
  imageNotFound,
  imageTooBig,
  registryUnauthorized,
  registryUnreachable,
} from '../errors.ts';
import type { RegistryAuths } from './registries.ts';

const shownMax = 300;

/**
 * What skopeo's last words mean. They hold whatever a registry likes to say: only the kind of the error is taken from them, and
 * for a person what is left when credentials, the queries of URLs and control characters are out.
 */
export function explainComplaint(reference: string, stderr: string, auths: RegistryAuths): FumehoodError {
  const words = readable(stderr, secretsIn(auths));
  const is = (pattern: RegExp) => pattern.test(words);
  if (is(/file too large/i)) return imageTooBig('a layer is larger than its manifest says');
  if (is(/exceeded maximum allowed size/i)) return imageTooBig('its manifest is too large');
  if (is(/unauthorized|authentication required|invalid username\/password|\bdenied\b|\b40[13]\b|forbidden/i))
    return registryUnauthorized(reference, words);
  if (is(/(manifest|name|repository|blob) unknown|not found|\b404\b/i))
    return imageNotFound(
      `the registry does not have ${reference}: ${words}`,
      'Check the name and the tag, and that the image was pushed.',
    );
  if (
    is(/digest|did not match|does not match|unsupported manifest|unsupported schema|unexpected end of JSON/i)
  )
    return imageInvalid(words);
  return registryUnreachable(reference, words);
}

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

function readable(stderr: string, secrets: readonly string[]): string {
  const line = stderr.trim().split('\n').at(-1) ?? '';
  const whole = /\bmsg="(.*)"$/.exec(line)?.[1];
  let words = (whole ?? line)
    .replaceAll(/\\(["\\])/g, '$1')
    .replace(/^Error parsing image name "[^"]*": /, '');
  for (const secret of secrets) words = words.replaceAll(secret, '…');
  // A line without its beginning was cut, maybe in the middle of a secret.
  if (whole === undefined) words = words.slice(secrets[0]?.length ?? 0);
  return words
    .replaceAll(/\?[^\s"]*/g, '?…')
    .replaceAll(/[^\x20-\x7e…]/g, ' ')
    .slice(-shownMax);
}
